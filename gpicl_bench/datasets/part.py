"""One part (train or test) of a base dataset: its canonical order and its hash (protocol, section 3)."""

import hashlib
from dataclasses import dataclass

import numpy as np
from jaxtyping import Integer, UInt8, UInt16

from gpicl_bench.errors import DataCorrupt


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


def digests(part: Part) -> UInt8[np.ndarray, "n 32"]:
    """SHA-256 of each image's bytes followed by its label as little-endian uint16."""
    pixels, labels = part.pixels, part.labels.astype("<u2")
    hashes = (hashlib.sha256(p.tobytes() + y.tobytes()).digest() for p, y in zip(pixels, labels, strict=True))
    return np.frombuffer(b"".join(hashes), np.uint8).reshape(-1, 32)


def part_sha256(part: Part) -> str:
    """The hash of a part in canonical order: SHA-256 of its digests, concatenated.

    Raises:
        DataCorrupt: the part is not in canonical order.
    """
    rows = digests(part)
    if not np.array_equal(_ascending(rows), np.arange(len(rows))):
        raise DataCorrupt("the images are not in canonical order", expected="ascending SHA-256")
    return hashlib.sha256(rows.tobytes()).hexdigest()


def canonical(images: Integer[np.ndarray, "n height width channels"], labels: Integer[np.ndarray, " n"]) -> Part:
    """A part from images and labels in any order.

    Raises:
        DataCorrupt: a pixel or a label is outside its type's range.
    """
    part = Part(_narrow(images, np.uint8, "a pixel"), _narrow(labels, np.uint16, "a label"))
    order = _ascending(digests(part))
    return Part(part.images[order], part.labels[order])


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
