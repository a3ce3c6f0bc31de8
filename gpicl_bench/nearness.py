"""Images that the two parts of a base dataset share, and images that nearly are the same."""

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from gpicl_bench.datasets import Part
from gpicl_bench.progress import bar

NEAR = 0.01  # of the pixel variance: a mean squared difference of at most this is a near-duplicate
SHARES = (0.0, 0.01, 0.1, 0.5)  # of the test images: the quantiles of their distances that are reported
_CLOSEST = 5
_EXACT = 1024  # pixels: |p − 128| ≤ 2^7, so no partial sum of so many products passes 2^24, where float32 is exact
_TEST_ROWS, _TRAIN_ROWS = 1000, 2000  # of one block of distances: 16 MB


@dataclass(frozen=True)
class Pair:
    """A test image and the train image nearest to it.

    Attributes:
        test, train: their numbers in the canonical order of their parts.
        test_label, train_label: classes of the base dataset.
        distance: mean squared pixel difference / pixel variance.
    """

    test: int
    train: int
    test_label: int
    train_label: int
    distance: float


@dataclass(frozen=True)
class Duplicates:
    """What two parts have in common, in numbers of images.

    Attributes:
        train, test: images of each part.
        same_parts: whether both parts are the same images.
        copies: test images with the same pixels as a train image.
        copies_of_another_label: those of them that have another label than such a train image.
        train_repeats, test_repeats: images with the same pixels as an earlier one of their own part.
        near: test images whose nearest train image is at a distance of at most NEAR; copies are among them.
        quantiles: of the distances of the test images to their nearest train images, at SHARES.
        closest: the pairs of smallest distance, one for each test image, at most five.
    """

    train: int
    test: int
    same_parts: bool
    copies: int
    copies_of_another_label: int
    train_repeats: int
    test_repeats: int
    near: int
    quantiles: tuple[float, ...]
    closest: tuple[Pair, ...]


def duplicates(train: Part, test: Part, variance: float, progress: bool = False) -> Duplicates:
    """Compare every test image with every train image.

    Args:
        train: a part of a base dataset.
        test: the other part of it.
        variance: of the pixels; distances are in units of it.
        progress: show a bar on standard error.
    """
    in_train, in_test = _digests(train), _digests(test)
    labels: dict[bytes, set[int]] = {}
    for digest, label in zip(in_train, train.labels.tolist(), strict=True):
        labels.setdefault(digest, set()).add(label)
    copies = [(labels[d], y) for d, y in zip(in_test, test.labels.tolist(), strict=True) if d in labels]
    squared, nearest_train = nearest(test.pixels, train.pixels, progress)
    distances = squared / (test.pixels.shape[1] * variance)
    closest = np.lexsort((np.arange(len(test)), squared))[:_CLOSEST].tolist()
    return Duplicates(
        len(train),
        len(test),
        same_parts=in_train == in_test,
        copies=len(copies),
        copies_of_another_label=sum(found != {label} for found, label in copies),
        train_repeats=len(in_train) - len(labels),
        test_repeats=len(in_test) - len(set(in_test)),
        near=int((distances <= NEAR).sum()),
        quantiles=tuple(np.quantile(distances, SHARES, method="inverted_cdf").tolist()),
        closest=tuple(_pair(train, test, i, int(nearest_train[i]), float(distances[i])) for i in closest),
    )


def nearest(
    test: UInt8[np.ndarray, "n D"], train: UInt8[np.ndarray, "m D"], progress: bool = False
) -> tuple[Int64[np.ndarray, " n"], Int64[np.ndarray, " n"]]:
    """The squared distance of each test image to its nearest train image, exact, and the first such train image."""
    squared, found = np.full(len(test), np.inf), np.zeros(len(test), np.int64)
    with bar("images", len(test), progress) as advance:
        for rows in _blocks(len(test), _TEST_ROWS):
            for columns in _blocks(len(train), _TRAIN_ROWS):
                block = squared_distances(test[rows], train[columns])
                column, least = block.argmin(axis=1), block.min(axis=1)
                closer = least < squared[rows]
                squared[rows] = np.where(closer, least, squared[rows])
                found[rows] = np.where(closer, column + columns.start, found[rows])
            advance(rows.stop - rows.start)
    return squared.astype(np.int64), found


def squared_distances(a: UInt8[np.ndarray, "n D"], b: UInt8[np.ndarray, "m D"]) -> Float64[np.ndarray, "n m"]:
    """|a_i − b_j|² = |a_i|² + |b_j|² − 2·a_i·b_j, as whole numbers: matrix products of float32 that are exact."""
    a_shifted, b_shifted = (pixels.astype(np.float32) - np.float32(128) for pixels in (a, b))
    distances = np.zeros((len(a), len(b)))
    for pixels in _blocks(a.shape[1], _EXACT):
        distances += a_shifted[:, pixels] @ b_shifted[:, pixels].T
    distances *= -2
    distances += np.square(a_shifted).sum(axis=1, dtype=np.float64)[:, None]
    distances += np.square(b_shifted).sum(axis=1, dtype=np.float64)
    return distances


def _blocks(total: int, size: int) -> Iterable[slice]:
    return (slice(start, min(start + size, total)) for start in range(0, total, size))


def _digests(part: Part) -> list[bytes]:
    """SHA-256 of each image's pixels: equal where, and only where, the pixels are."""
    return [hashlib.sha256(pixels.tobytes()).digest() for pixels in part.pixels]


def _pair(train: Part, test: Part, i: int, j: int, distance: float) -> Pair:
    return Pair(i, j, int(test.labels[i]), int(train.labels[j]), distance)
