"""Views, pixel by pixel in plain Python."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from gpicl_bench.datasets import DATASETS
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
            assert not name.endswith(("_28", "_rgb32"))
