"""Views, pixel by pixel in plain Python; what is pinned of the view 8, recomputed another way."""

import hashlib
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gpicl_bench.datasets import DATASETS, PARTS, load_part
from gpicl_bench.datasets.views import VIEWS, view
from gpicl_bench.errors import DataCorrupt


def images(shape):
    return npst.arrays(np.uint8, (2, *shape), elements=st.integers(0, 255))


@given(images((32, 32, 3)))
@settings(max_examples=10)
def test_28_is_the_grey_centre(given_images):
    shown = view("28", given_images)
    assert shown.shape == (2, 28, 28, 1)
    for n, row, column in np.random.default_rng(0).integers((2, 28, 28), size=(200, 3)):
        red, green, blue = (int(p) for p in given_images[n, row + 2, column + 2])
        assert int(shown[n, row, column, 0]) == (77 * red + 150 * green + 29 * blue + 128) // 256


@given(images((28, 28, 1)))
@settings(max_examples=10)
def test_rgb32_is_framed_in_zeros_and_grey(given_images):
    shown = view("rgb32", given_images)
    assert shown.shape == (2, 32, 32, 3)
    for row in range(32):
        for column in range(32):
            inside = 2 <= row < 30 and 2 <= column < 30
            expected = given_images[:, row - 2, column - 2, 0] if inside else np.zeros(2, np.uint8)
            assert np.array_equal(shown[:, row, column], np.stack([expected] * 3, axis=1))


@given(images((28, 28, 1)))
@settings(max_examples=10)
def test_28_undoes_rgb32(given_images):
    """Because 77 + 150 + 29 = 256."""
    assert np.array_equal(view("28", view("rgb32", given_images)), given_images)


@given(images((28, 28, 1)))
@settings(max_examples=10)
def test_8_is_the_mean_of_each_block_half_up(given_images):
    shown = view("8", given_images)
    assert shown.shape == (2, 8, 8, 1)
    for n in range(2):
        framed = [[0] * 32 for _ in range(32)]
        for row in range(28):
            for column in range(28):
                framed[row + 2][column + 2] = int(given_images[n, row, column, 0])
        for row in range(8):
            for column in range(8):
                block = [framed[4 * row + i][4 * column + j] for i in range(4) for j in range(4)]
                assert int(shown[n, row, column, 0]) == (sum(block) + 8) // 16


def test_8_of_the_extremes():
    """Frame and rounding: an edge has 8 of 16 pixels, a corner 4; a block of 255 gives 255, a sum of 8 gives 1."""
    white = view("8", np.full((1, 28, 28, 1), 255, np.uint8))[0, :, :, 0].tolist()
    corners, edges = [64, *[128] * 6, 64], [128, *[255] * 6, 128]
    assert white == [corners, *[edges] * 6, corners]
    single = np.zeros((2, 28, 28, 1), np.uint8)
    single[:, 2, 5] = [[7], [8]]
    assert view("8", single)[:, 1, 1, 0].tolist() == [0, 1]
    assert view("8", single).sum() == 1


@pytest.mark.parametrize("name", ["random", "mnist", "fashion_mnist"])
def test_what_is_pinned_of_8_is_that_of_the_images(name, request):
    """Blocks as a product of matrices, Σp and Σp² in int64, digests sorted by Python."""
    if name != "random":
        request.getfixturevalue("prepared_data")
    known, blocks = DATASETS[f"{name}_8"], np.kron(np.eye(8), np.ones(4))[:, 2:30].astype(int)
    for part in PARTS:
        base = load_part(name, part)
        pixels = ((blocks @ base.images[..., 0] @ blocks.T + 8) // 16).astype(np.uint8).reshape(-1, 64)
        rows = sorted(
            hashlib.sha256(p.tobytes() + int(y).to_bytes(2, "little")).digest()
            for p, y in zip(pixels, base.labels, strict=True)
        )
        assert known.sha256[part] == hashlib.sha256(b"".join(rows)).hexdigest()
        assert known.size[part] == len(rows)
        if part == "train":
            whole = pixels.astype(np.int64)
            mean = Fraction(int(whole.sum()), whole.size)
            assert known.center == round(mean)
            assert known.std == pytest.approx(
                float(Fraction(int((whole**2).sum()), whole.size) - mean**2) ** 0.5, rel=1e-15
            )


@pytest.mark.parametrize("name", VIEWS)
def test_another_size_is_refused(name):
    with pytest.raises(DataCorrupt, match="takes another size"):
        view(name, np.zeros((1, 8, 8, 1), np.uint8))


def test_every_view_in_the_table_names_its_base():
    for name, known in DATASETS.items():
        if known.base is not None:
            assert name == f"{known.base}_{known.view}"
            assert VIEWS[known.view].takes == DATASETS[known.base].shape
            assert VIEWS[known.view].gives == known.shape
        else:
            assert not name.endswith(tuple(f"_{view}" for view in VIEWS))
