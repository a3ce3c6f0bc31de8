"""Users' own arrays as base datasets."""

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Integer, UInt8

from gpicl_bench.datasets import formats
from gpicl_bench.datasets.part import Part, canonical, moments
from gpicl_bench.datasets.table import DATASETS, Dataset, add
from gpicl_bench.datasets.views import VIEWS
from gpicl_bench.errors import AlreadyRegistered, DataCorrupt, GpiclBenchError, InvalidArgument

REGISTERED: dict[str, dict[str, Part]] = {}  # the parts of users' own datasets, in memory
MOST_CLASSES = 2**15 - 1  # a result keeps predictions as int16
_LARGEST = 1e300  # so that float64 holds every difference
_KEYS = ("x_train", "y_train", "x_test", "y_test")


def register_dataset(name: str, train: tuple[Any, Any], test: tuple[Any, Any], replacement: bool = False) -> Dataset:
    """Add a base dataset of one's own, for suites such as `<name>-proj-perm-v0`; the same one twice is no error.

    Args:
        name: of lower-case letters, digits and underscores.
        train: images and labels. Images are whole numbers from 0 to 255, `[n, height, width]` (grey) or
            `[n, height, width, channels]`; or flat features `[n, D]`: uint8 are taken as they are, others are quantised
            column by column to p = round(255·(v − a) / (b − a)), half to even, cut to 0 … 255, where a and b are the
            column's least and largest value in train (a constant column gives 0). Labels `[n]` are whole numbers
            0 … C-1, each of them in train, C ≤ 32,767 (results keep predictions as int16).
        test: the same, of other examples.
        replacement: whether an episode draws its examples with replacement.

    Raises:
        InvalidArgument: the arrays or the name are not as above.
        AlreadyRegistered: the name is taken.

    >>> x, y = np.arange(24).reshape(8, 3) / 7, np.arange(8) % 2
    >>> register_dataset("doc_threes", (x, y), (x + 0.1, y)).dimension
    3
    """
    _check_name(name)
    if not isinstance(replacement, bool):
        raise InvalidArgument("replacement is neither true nor false", got=repr(replacement))
    (train_x, train_y), (test_x, test_y) = _pair("train", train), _pair("test", test)
    if train_x.shape[1:] != test_x.shape[1:]:
        raise InvalidArgument(
            "train and test have other shapes", expected=str(train_x.shape[1:]), got=str(test_x.shape[1:])
        )
    num_classes = _num_classes(train_y, test_y)
    if train_x.ndim == 2:
        train_x, test_x = _features(train_x, test_x)
    parts = {"train": canonical(train_x, train_y), "test": canonical(test_x, test_y)}
    center_and_std = moments(parts["train"].images)
    if center_and_std[1] == 0:
        raise InvalidArgument("all train images are equal and constant", expected="pixels that differ", where=name)
    row = Dataset(
        name=name,
        title="a dataset of one's own",
        shape=parts["train"].images.shape[1:],
        num_classes=num_classes,
        size={part: len(there) for part, there in parts.items()},
        moments=center_and_std,
        sha256={part: there.sha256 for part, there in parts.items()},
        source="arrays given to register_dataset",
        licence="unknown",
        citation="none",
        replacement=replacement,
        in_memory=True,
    )
    _add(row, parts)
    return row


def register_file(path: str | Path) -> Dataset:
    """Register the arrays x_train, y_train, x_test and y_test of an `.npz` file, under the file's name.

    Raises:
        InvalidArgument: there is no such file, or its arrays are not as `register_dataset` takes them.
    """
    try:
        path = Path(path)
        with formats.reading(str(path)):
            x_train, y_train, x_test, y_test = formats.npz(path, _KEYS)
    except TypeError as error:
        raise InvalidArgument("this is no path", expected="an .npz file", got=repr(path)) from error
    except DataCorrupt as error:
        expected = error.expected if error.got else "an .npz file of numbers"
        raise InvalidArgument(error.what, expected=expected, got=error.got, where=str(path)) from error
    name = re.sub("[^a-z0-9_]+", "_", path.stem.lower()).strip("_")
    renaming = f"the dataset is called {name!r}, after the file: rename the file"
    try:
        _check_name(name)
    except InvalidArgument as error:
        raise _of_file(error, path, renaming) from error
    try:
        return register_dataset(name, (x_train, y_train), (x_test, y_test))
    except AlreadyRegistered as error:
        raise _of_file(error, path, renaming) from error
    except InvalidArgument as error:
        raise _of_file(error, path, error.hint) from error


def quantised(values: np.ndarray, train: np.ndarray) -> UInt8[np.ndarray, "n D"]:
    """Flat features as bytes, by the range that each column has in train.

    p = round(255·(v − a) / (b − a)), half to even, cut to 0 … 255; a constant column gives 0.
    """
    low, high = (extreme(train.astype(np.float64), axis=0) for extreme in (np.min, np.max))
    span: Float64[np.ndarray, " D"] = np.where(high > low, high - low, np.inf)
    return np.clip(np.rint(255 * ((values.astype(np.float64) - low) / span)), 0, 255).astype(np.uint8)


def _of_file(error: GpiclBenchError, path: Path, hint: str | None) -> GpiclBenchError:
    """The same error, with the file before the place in its arrays."""
    where = f"{path}, {error.where}" if error.where else str(path)
    return type(error)(error.what, expected=error.expected, got=error.got, where=where, hint=hint)


def _features(train: np.ndarray, test: np.ndarray) -> tuple[UInt8[np.ndarray, "n 1 D 1"], UInt8[np.ndarray, "m 1 D 1"]]:
    """Flat features as images of one row."""
    as_they_are = [part.dtype == np.uint8 for part in (train, test)]
    if any(as_they_are) != all(as_they_are):
        raise InvalidArgument(
            "only one part is uint8, which is taken as it is",
            expected="both parts, or none: others are quantised by the range of train",
            got=f"{train.dtype} and {test.dtype}",
        )
    if not all(as_they_are):
        train, test = quantised(train, train), quantised(test, train)
    return train[:, None, :, None], test[:, None, :, None]


def _check_name(name: str) -> None:
    if not isinstance(name, str) or not re.fullmatch("[a-z0-9_]+", name, re.ASCII):
        raise InvalidArgument(
            "this is no dataset's name", expected="lower-case letters, digits, underscores", got=repr(name)
        )
    if any(name.endswith(f"_{view}") for view in VIEWS):
        raise InvalidArgument(
            "this name is kept for views", expected=f"a name that does not end in _{' or _'.join(VIEWS)}", got=name
        )


def _pair(part: str, given: tuple[Any, Any]) -> tuple[np.ndarray, Integer[np.ndarray, " n"]]:
    """Images or features, and labels, after every check that needs one part alone."""
    if not isinstance(given, tuple | list) or len(given) != 2:
        raise InvalidArgument(f"{part} is no pair", expected="(images, labels)", got=type(given).__name__)
    images, labels = _numbers(f"the images of {part}", given[0]), _numbers(f"the labels of {part}", given[1])
    if images.ndim not in (2, 3, 4):
        raise InvalidArgument(
            f"the images of {part} have the wrong rank",
            expected="[n, D], [n, height, width] or [n, height, width, channels]",
            got=str(list(images.shape)),
        )
    if labels.shape != images.shape[:1]:
        raise InvalidArgument(
            f"images and labels of {part} do not match",
            expected=f"{len(images)} labels, [n]",
            got=f"labels of shape {list(labels.shape)}",
        )
    if images.size == 0:
        raise InvalidArgument(f"{part} is empty", expected="images, of a pixel or more", got=str(list(images.shape)))
    return _pixels(part, images) if images.ndim > 2 else images, _labels(part, labels)


def _numbers(what: str, given: Any) -> np.ndarray:
    """An array of finite numbers."""
    try:
        array = np.asarray(given)
    except (TypeError, ValueError, RuntimeError) as error:
        raise InvalidArgument(f"{what} are no array", expected="equally long rows", got=str(error)) from error
    if np.ma.is_masked(given):
        raise InvalidArgument(f"{what} are masked", expected="numbers only", hint="leave these examples out")
    if array.dtype.kind not in "iufb":
        raise InvalidArgument(f"{what} are no numbers", expected="integers or floats", got=str(array.dtype))
    good = np.isfinite(array)
    if array.dtype.kind == "f" and array.dtype.itemsize >= 8:  # narrower floats cannot even hold the limit
        good &= np.abs(array) <= _LARGEST
    if not good.all():
        where = tuple(int(i) for i in np.argwhere(~good)[0])
        raise InvalidArgument(
            f"{what} are not finite",
            expected=f"numbers, up to {_LARGEST} in size",
            got=array[where],
            where=f"index {list(where)}",
        )
    return array


def _pixels(part: str, images: np.ndarray) -> Integer[np.ndarray, "n height width channels"]:
    least, most = images.min(), images.max()
    if images.dtype.kind not in "iu" or least < 0 or most > 255:
        raise InvalidArgument(
            f"the images of {part} are no pixels",
            expected="integers from 0 to 255",
            got=f"{images.dtype}, {least} … {most}",
            hint="of floats from 0 to 1 make (255 * images).round().astype('uint8')",
        )
    return images[..., None] if images.ndim == 3 else images


def _labels(part: str, labels: np.ndarray) -> Integer[np.ndarray, " n"]:
    try:
        integers = formats.whole(labels)
    except DataCorrupt as error:
        raise InvalidArgument(f"a label of {part} is no class", expected="0 … C-1", got=error.got) from error
    if integers.min() < 0:
        raise InvalidArgument(f"a label of {part} is negative", expected="0 … C-1", got=integers.min())
    return integers


def _num_classes(train: Integer[np.ndarray, " n"], test: Integer[np.ndarray, " m"]) -> int:
    """C; every class is in train."""
    classes = np.unique(train)
    num_classes = len(classes)
    if num_classes < 2:
        raise InvalidArgument("there is nothing to tell apart", expected="two classes or more", got=num_classes)
    if num_classes > MOST_CLASSES:
        raise InvalidArgument("there are too many classes", expected=f"up to {MOST_CLASSES}", got=num_classes)
    if classes[-1] != num_classes - 1:
        gap = next(c for c, there in enumerate(classes.tolist()) if c != there)
        raise InvalidArgument(
            "the labels of train have gaps",
            expected=f"each of 0 … {classes[-1]}",
            got=f"no label {gap}",
            hint="number the classes anew: np.unique(labels, return_inverse=True)[1], over train and test together",
        )
    if test.max() >= num_classes:
        raise InvalidArgument("a class of test is not in train", expected=f"0 … {num_classes - 1}", got=test.max())
    return num_classes


def _add(row: Dataset, parts: Mapping[str, Part]) -> None:
    old = DATASETS.get(row.name)
    if old not in (None, row):
        raise AlreadyRegistered(
            "this name is taken by another dataset", expected="a new name", got=row.name, hint="name it differently"
        )
    add(row)
    REGISTERED[row.name] = dict(parts)
