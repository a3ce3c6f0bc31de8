"""One part (train or test) of a base dataset: its canonical order and its hash (protocol, section 3)."""

import hashlib
from dataclasses import dataclass
from decimal import Context, Decimal
from fractions import Fraction
from functools import cached_property

import numpy as np
from jaxtyping import Integer, UInt8, UInt16

from gpicl_bench.errors import DataCorrupt

_CHUNK = 2**24  # pixels counted at once


@dataclass(frozen=True)
class Part:
    """Images in canonical order, and their labels."""

    images: UInt8[np.ndarray, "n height width channels"]
    labels: UInt16[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.labels)

    @property
    def pixels(self) -> UInt8[np.ndarray, "n D"]:
        """The images as rows of D = height·width·channels pixels."""
        return self.images.reshape(len(self), -1)

    @cached_property
    def sha256(self) -> str:
        """SHA-256 of the digests of all images, concatenated, hex.

        Raises:
            DataCorrupt: the part is not in canonical order.
        """
        rows = digests(self)
        if not np.array_equal(_ascending(rows), np.arange(len(rows))):
            raise DataCorrupt("the images are not in canonical order", expected="ascending SHA-256")
        return hashlib.sha256(rows.tobytes()).hexdigest()


def digests(part: Part) -> UInt8[np.ndarray, "n 32"]:
    """SHA-256 of each image's bytes followed by its label as little-endian uint16."""
    pixels, labels = part.pixels, part.labels.astype("<u2")
    hashes = (hashlib.sha256(p.tobytes() + y.tobytes()).digest() for p, y in zip(pixels, labels, strict=True))
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)


def canonical(images: Integer[np.ndarray, "n height width channels"], labels: Integer[np.ndarray, " n"]) -> Part:
    """A part from images and labels in any order.

    Raises:
        DataCorrupt: a pixel or a label is outside its type's range.
    """
    part = Part(_narrow(images, np.uint8, "a pixel"), _narrow(labels, np.uint16, "a label"))
    order = _ascending(digests(part))
    ordered = Part(part.images[order], part.labels[order])
    ordered.images.flags.writeable = ordered.labels.flags.writeable = False
    return ordered


def moments(pixels: UInt8[np.ndarray, "..."]) -> tuple[int, float]:
    """Of all pixels the mean, rounded half to even, and the population standard deviation.

    Both from exact integer sums: the mean is Σp / n, the deviation √(n·Σp² − (Σp)²) / n, rounded once to float64.
    """
    flat = pixels.reshape(-1)
    counts = np.zeros(256, np.int64)
    for start in range(0, flat.size, _CHUNK):
        counts += np.bincount(flat[start : start + _CHUNK], minlength=256)
    n, total, squares = (sum(p**power * c for p, c in enumerate(counts.tolist())) for power in (0, 1, 2))
    exact = Context(prec=60)
    root = exact.sqrt(Decimal(n * squares - total**2))
    return round(Fraction(total, n)), float(exact.divide(root, Decimal(n)))


def _ascending(rows: UInt8[np.ndarray, "n 32"]) -> Integer[np.ndarray, " n"]:
    columns = rows.view(">u8").astype(np.uint64)
    return np.lexsort(columns.T[::-1])


def _narrow(values: Integer[np.ndarray, "..."], dtype: type[np.unsignedinteger], what: str) -> np.ndarray:
    limits = np.iinfo(dtype)
    if values.dtype.kind not in "iu":
        raise DataCorrupt(f"{what} is no whole number", expected="an integer type", got=str(values.dtype))
    if len(values) and not (limits.min <= values.min() and values.max() <= limits.max):
        raise DataCorrupt(
            f"{what} is out of range", expected=f"0 … {limits.max}", got=f"{values.min()} … {values.max()}"
        )
    return values.astype(dtype)
