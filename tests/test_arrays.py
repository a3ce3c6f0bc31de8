"""Users' own arrays as base datasets: what is taken, by which rule, and what is refused."""

import math
import re
import zipfile
from fractions import Fraction

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.datasets import load_wine

import gpicl_bench
from gpicl_bench import SuiteSpec, errors, register, register_dataset
from gpicl_bench.commands import main
from gpicl_bench.datasets import arrays, load_part
from tests.conftest import ROOT
from tests.learners import first

pytestmark = pytest.mark.usefixtures("forget")


def images(n, *shape, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8)


def labels(n, num_classes=3):
    return np.arange(n) % num_classes


@pytest.mark.parametrize(
    ("shape", "stored", "num_classes"),
    [((5, 4), (5, 4, 1), 2), ((5, 4, 3), (5, 4, 3), 60), ((7,), (1, 7, 1), 3), ((1, 1), (1, 1, 1), 2)],
)
def test_a_suite_of_ones_own(shape, stored, num_classes):
    x, y = images(120, *shape), labels(120, num_classes)
    made = register_dataset("mine", (x, y), (x[::-1], y[::-1]))
    assert (made.shape, made.num_classes, made.size) == (stored, num_classes, {"train": 120, "test": 120})
    assert made.std == pytest.approx(x.std(), rel=1e-12)
    assert abs(made.center - x.mean()) <= 0.5
    register("mine-proj-perm-v0")
    suite = gpicl_bench.make("mine-proj-perm-v0")
    assert (suite.info.D, suite.info.C, suite.info.T, suite.of_record) == (math.prod(shape), num_classes, 100, False)
    episode, task = suite.meta_test.episode(3), suite.meta_test.task(3)
    shown = load_part("mine", "test")
    pixels = shown.pixels[episode.indices].astype(np.int64)
    whole = (pixels - made.center) @ task.projection.T.astype(np.int64)
    sigma = 19.94915411740558
    assert episode.x == pytest.approx(whole / (sigma * math.sqrt(math.prod(shape)) * made.std), rel=1e-6)
    assert np.array_equal(episode.y, task.label_map[shown.labels[episode.indices]])
    batch = suite.meta_train.batch(2, 3, num_tasks=5)
    drawn = np.asarray(jax.jit(lambda sampler: sampler(2).x)(suite.meta_train.sampler(3, num_tasks=5)))
    assert drawn.tobytes() == batch.x.tobytes()
    result = gpicl_bench.evaluate(lambda x, y, q: [0], suite, num_tasks=3, positions=[5])
    assert result.setting.of_record == "no"


def test_five_lines():
    x, y = load_wine(return_X_y=True)
    register_dataset("wine", train=(x[::2], y[::2]), test=(x[1::2], y[1::2]))
    register(SuiteSpec("wine-proj-perm-v0", num_examples=50))
    suite = gpicl_bench.make("wine-proj-perm-v0")
    from sklearn.neighbors import KNeighborsClassifier

    result = gpicl_bench.evaluate(KNeighborsClassifier(1), suite, num_tasks=20)
    assert result.accuracy_at(49) > 0.6  # of three classes


def test_the_order_of_the_arrays_changes_nothing():
    x, y = images(30, 4, 4), labels(30)
    first = register_dataset("mine", (x, y), (x, y))
    order = np.random.default_rng(1).permutation(30)
    assert register_dataset("mine", (x[order], y[order]), (x, y)) == first
    assert register_dataset("mine", (x[..., None].astype(np.int64), y.astype(float)), (x, y)) == first
    x[3, 2, 1] ^= 1
    with pytest.raises(errors.AlreadyRegistered, match="name is taken"):
        register_dataset("mine", (x, y), (x, y))


@given(
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), min_size=2, max_size=8),
    st.lists(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=2), min_size=1, max_size=8),
)
def test_features_are_quantised_by_the_stated_rule(train, test):
    got = arrays.quantised(np.array(test), np.array(train))
    for row, quantised in zip(test, got.tolist(), strict=True):
        for j, (v, p) in enumerate(zip(row, quantised, strict=True)):
            a, b = min(r[j] for r in train), max(r[j] for r in train)
            if a == b:
                assert p == 0
                continue
            exact = min(max(255 * (Fraction(v) - Fraction(a)) / (Fraction(b) - Fraction(a)), 0), 255)
            assert abs(p - exact) <= Fraction(1, 2) + Fraction(1, 10**6)


def test_bytes_are_taken_as_they_are_and_others_are_not():
    x, y = images(20, 6), labels(20)
    register_dataset("bytes", (x, y), (x, y))
    assert np.array_equal(np.unique(load_part("bytes", "train").pixels, axis=0), np.unique(x, axis=0))
    register_dataset("wide", (x.astype(int), y), (x.astype(int), y))
    pixels = load_part("wide", "train").pixels
    assert (pixels.min(axis=0).tolist(), pixels.max(axis=0).tolist()) == ([0] * 6, [255] * 6)


X, Y = images(30, 4, 4), labels(30)
FLAT = np.random.default_rng(3).normal(size=(30, 5))


def changed(array, index, value):
    array = array.astype(float)
    array[index] = value
    return array


@pytest.mark.parametrize(
    ("train", "test", "says"),
    [
        ((X / 255, Y), (X, Y), "are no pixels"),
        ((X, Y), (X / 255, Y), "images of test are no pixels"),
        ((X.astype(int) + 1, Y), (X, Y), "are no pixels"),
        ((X.astype(int) - 1, Y), (X, Y), "are no pixels"),
        ((X > 3, Y), (X, Y), "are no pixels"),
        ((X.astype(str), Y), (X, Y), "are no numbers"),
        ((X.astype(object), Y), (X, Y), "are no numbers"),
        ((X.astype(complex), Y), (X, Y), "are no numbers"),
        (([[1, 2], [3]], [0, 1]), (X, Y), "are no array"),
        ((changed(FLAT, (3, 2), np.nan), Y), (FLAT, Y), r"(?s)images of train are not finite.*index \[3, 2\]"),
        ((FLAT, Y), (changed(FLAT, (0, 0), np.inf), Y), "images of test are not finite"),
        ((X[0, 0], Y), (X, Y), "wrong rank"),
        ((X[None, None], Y), (X, Y), "wrong rank"),
        ((np.uint8(3), Y), (X, Y), "wrong rank"),
        ((X, Y[:-1]), (X, Y), "do not match"),
        ((X, Y[:, None]), (X, Y), "do not match"),
        ((X[:0], Y[:0]), (X, Y), "train is empty"),
        ((X[:, :0], Y), (X, Y), "train is empty"),
        ((X, Y), (X[:0], Y[:0]), "test is empty"),
        ((X, Y), (X[:, :3], Y), "other shapes"),
        ((X, Y), (FLAT, Y), "other shapes"),
        ((X, Y * 0), (X, Y * 0), "nothing to tell apart"),
        ((X, Y * 2), (X, Y), r"(?s)gaps.*no label 1.*return_inverse"),
        ((X, Y + 1), (X, Y), r"(?s)gaps.*no label 0"),
        ((X, Y - 1), (X, Y), "is negative"),
        ((X, Y + 0.5), (X, Y), "is no class"),
        ((X, changed(Y, 3, np.nan)), (X, Y), "not finite"),
        ((X, Y.astype(str)), (X, Y), "labels of train are no numbers"),
        ((X, Y), (X, Y + 1), "class of test is not in train"),
        ((np.ma.masked_equal(X, X[0, 0, 0]), Y), (X, Y), "images of train are masked"),
        ((X, np.ma.masked_equal(Y, 1)), (X, Y), "labels of train are masked"),
        ((changed(FLAT, (0, 0), 1.7e308), Y), (FLAT, Y), "not finite"),
        ((X[:, 0], Y), (X[:, 0].astype(int), Y), "only one part is uint8"),
        ((X[:, 0] > 3, Y), (X[:, 0], Y), "only one part is uint8"),
        ((X * 0, Y), (X, Y), "equal and constant"),
        ((FLAT * 0, Y), (FLAT, Y), "equal and constant"),
    ],
)
def test_arrays_that_are_refused(train, test, says):
    with pytest.raises(errors.InvalidArgument, match=says):
        register_dataset("mine", train, test)
    assert "mine" not in gpicl_bench.datasets.DATASETS


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.longdouble])
@pytest.mark.parametrize("value", [np.inf, -np.inf, np.nan])
@pytest.mark.parametrize("kind", ["images", "features", "labels"])
def test_what_is_not_finite_is_named_by_its_index(dtype, value, kind):
    x, y = (FLAT if kind == "features" else X).astype(dtype), Y.astype(dtype)
    array, index = (y, (29,)) if kind == "labels" else (x, (17, 2, 3)[: x.ndim])
    array[index] = value
    what = f"{'labels' if kind == 'labels' else 'images'} of test are not finite"
    with pytest.raises(errors.InvalidArgument) as caught:
        register_dataset("mine", (FLAT if kind == "features" else X, Y), (X if kind == "labels" else x, y))
    assert (what in caught.value.what, caught.value.where) == (True, f"index {list(index)}")
    assert np.array_equal(caught.value.got, value, equal_nan=True)


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_the_largest_numbers_are_quantised_by_the_same_rule(dtype):
    """The range of float64 is used up to 1e300: the difference of two numbers must be a number too."""
    most = min(float(np.finfo(dtype).max), 1e300)
    x = np.array([[-most], [0], [most / 2], [most]], dtype)
    register_dataset("mine", (x, (y := np.array([0, 1, 0, 1], dtype))), (x, y))
    assert sorted(load_part("mine", "train").pixels[:, 0].tolist()) == [0, 128, 191, 255]  # 127.5 to even, 191.25


@pytest.mark.parametrize("name", ["", "Mine", "my-set", "my set", "mine_28", "x_rgb32", "mine_8", "é", "mine\n"])
def test_names_that_are_refused(name):
    with pytest.raises(errors.InvalidArgument, match="name"):
        register_dataset(name, (X, Y), (X, Y))


@pytest.mark.parametrize("name", ["mnist", "digits"])
def test_a_name_that_is_taken(name):
    with pytest.raises(errors.AlreadyRegistered, match="name is taken"):
        register_dataset(name, (X, Y), (X, Y))


def test_fewer_images_than_examples():
    register_dataset("mine", (X, Y), (X, Y))
    register("mine-none-perm-v0")
    with pytest.raises(errors.InvalidArgument, match=r"(?s)longer than the pool.*num_examples ≤ 30"):
        gpicl_bench.make("mine-none-perm-v0")
    assert gpicl_bench.make("mine-none-perm-v0", num_examples=30).meta_test.episode(0).x.shape == (30, 16)
    register_dataset("again", (X, Y), (X, Y), replacement=True)
    register("again-none-perm-v0")
    assert gpicl_bench.make("again-none-perm-v0").meta_test.episode(0).x.shape == (100, 16)


def test_a_projection_that_would_not_fit_is_refused():
    x = images(6, 20_000)
    register_dataset("long", (x, labels(6)), (x, labels(6)))
    register("long-proj-perm-v0")
    register("long-pixperm-perm-v0")
    with pytest.raises(errors.InvalidArgument, match=r"(?s)too large.*long-pixperm-perm-v0"):
        gpicl_bench.make("long-proj-perm-v0", num_examples=5)
    assert gpicl_bench.make("long-pixperm-perm-v0", num_examples=5).meta_test.episode(0).x.shape == (5, 20_000)


def test_a_file_of_arrays(tmp_path):
    path = tmp_path / "My Set.npz"
    np.savez(path, x_train=X, y_train=Y, x_test=X, y_test=Y)
    assert arrays.register_file(path).name == "my_set"
    assert arrays.register_file(path) == register_dataset("my_set", (X, Y), (X, Y))


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (None, "(?s)cannot be read.*No such file"),
        (b"", "cannot be read"),
        (b"PK\x03\x04 and so on", "cannot be read"),
        ({"x_train": X, "y_train": Y, "x_test": X}, "0 arrays y_test"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": Y[:3]}, "do not match"),
        ({"x_train": X, "y_train": Y, "x_test": X, "y_test": np.array([{}] * 30)}, "cannot be read"),
    ],
)
def test_files_that_are_refused(tmp_path, content, says):
    path = tmp_path / "mine.npz"
    if isinstance(content, bytes):
        path.write_bytes(content)
    elif content is not None:
        np.savez(path, **content)
    with pytest.raises(errors.InvalidArgument, match=says):
        arrays.register_file(path)


def test_other_arrays_of_a_file_are_not_read(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=X, y_train=Y, x_test=X, y_test=Y, about=np.array([{}]))
    assert arrays.register_file(path).size == {"train": 30, "test": 30}


def test_an_array_twice_in_a_file_is_refused(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=X, y_train=Y, x_test=X, y_test=Y)
    with pytest.warns(UserWarning, match="Duplicate"), zipfile.ZipFile(path, "a") as archive:
        archive.writestr("x_train.npy", b"another")
    with pytest.raises(errors.InvalidArgument, match="2 arrays x_train"):
        arrays.register_file(path)


def test_a_member_that_is_no_array_is_named(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=X, x_test=X, y_test=Y)
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("y_train.npy", b"0, 1, 2")  # NumPy gives these bytes as they are
    with pytest.raises(errors.InvalidArgument, match=r"(?s)no array.*got: bytes"):
        arrays.register_file(path)


@pytest.mark.parametrize("name", ["mnist", "digits", "---", "foo_28"])
def test_a_file_with_a_name_that_will_not_do(tmp_path, name):
    path = tmp_path / f"{name}.npz"
    np.savez(path, x_train=X, y_train=Y, x_test=X, y_test=Y)
    with pytest.raises((errors.AlreadyRegistered, errors.InvalidArgument), match="name") as caught:
        arrays.register_file(path)
    assert caught.value.where == str(path)
    assert "rename the file" in caught.value.hint


@pytest.mark.parametrize(
    ("x", "y", "place", "hint"),
    [
        (changed(FLAT, (3, 2), np.nan), Y, ", index [3, 2]", None),
        (FLAT, changed(Y, 7, np.inf), ", index [7]", None),
        (X[0, 0], Y, "", None),
        (X.astype(complex), Y, "", None),
        (X, Y * 2, "", "number the classes anew"),
    ],
)
def test_an_error_in_a_file_keeps_its_place_and_its_hint(tmp_path, x, y, place, hint):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(errors.InvalidArgument) as caught:
        arrays.register_file(path)
    assert caught.value.where == f"{path}{place}"
    assert (caught.value.hint or "").startswith(hint or "")
    assert (caught.value.hint is None) == (hint is None)


def test_too_many_classes():
    x, y = images(2**15, 1), np.arange(2**15)
    with pytest.raises(errors.InvalidArgument, match="too many classes"):
        register_dataset("mine", (x, y), (x, y))


@pytest.fixture
def file(tmp_path):
    path = tmp_path / "mine.npz"
    np.savez(path, x_train=X, y_train=Y, x_test=X, y_test=Y)
    return str(path)


LEARNER = str(ROOT / "baselines" / "nearest_neighbour.py")


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["evaluate", LEARNER, "--num-tasks", "4"], "mine on mine-proj-perm-v0|nearest_neighbour on mine-proj-perm-v0"),
        (["evaluate", LEARNER, "--suite", "mine-none-perm-v0", "--num-tasks", "4"], "mine-none-perm-v0"),
        (
            ["evaluate", LEARNER, "--suite", "mine-none-perm-v0", "--suite", "digits-none-perm-v0", "--num-tasks", "4"],
            "digits",
        ),
        (["audit", LEARNER, "--level", "quick"], "audit"),
        (["show"], "arrays of one's own, in memory"),
        (["show", "mine-pixperm-none-v3"], "x = .p.q. "),
        (["show", "--overlap"], "Both parts are the same images"),
    ],
)
def test_a_file_on_the_command_line(file, capsys, command, says):
    assert main([*command, "--data", file, "--num-examples", "20"]) == 0
    assert re.search(says, capsys.readouterr().out)


@pytest.mark.parametrize(
    ("command", "says"),
    [
        (["evaluate", LEARNER], r"(?s)longer than the pool.*--num-examples 30"),
        (["evaluate", LEARNER, "--num-examples", "31"], r"(?s)longer than the pool.*≤ 30"),
        (["evaluate", LEARNER, "--suite", "digits-proj-perm-v0"], "--data is not used"),
        (["audit", LEARNER, "--suite", "digits-proj-perm-v0"], "--data is not used"),
        (["show", "gpicl-28-v0"], "--data is not used"),
        (["show", "mine-proj"], "no suite id"),
    ],
)
def test_what_data_on_the_command_line_refuses(file, capsys, command, says):
    assert main([*command, "--data", file]) == 2
    assert re.search(says, capsys.readouterr().err)


def test_a_suite_without_its_dataset_is_listed(capsys):
    register("nothere-proj-perm-v0")
    assert main(["list"]) == 0
    assert re.search(r"nothere-proj-perm-v0 .* is not registered", capsys.readouterr().out)


def test_workers_need_no_data():
    register_dataset("mine", (X, Y), (X, Y))
    register(SuiteSpec("mine-proj-perm-v0", num_examples=10))
    one, two = (gpicl_bench.evaluate(first, "mine-proj-perm-v0", num_tasks=40, workers=n) for n in (1, 2))
    assert np.array_equal(one.prediction, two.prediction)
