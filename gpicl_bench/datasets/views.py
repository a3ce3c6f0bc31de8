"""Views: a base dataset in another shape (protocol, section 3). Integers only, before the canonical order."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from gpicl_bench.errors import DataCorrupt


def grey28(images: UInt8[np.ndarray, "n 32 32 3"]) -> UInt8[np.ndarray, "n 28 28 1"]:
    """The centre of the image in grey: (77·R + 150·G + 29·B + 128) >> 8."""
    weights = np.array([77, 150, 29], np.int32)
    grey = (images.astype(np.int32) @ weights + 128) >> 8
    return grey[:, 2:30, 2:30, None].astype(np.uint8)


def rgb32(images: UInt8[np.ndarray, "n 28 28 1"]) -> UInt8[np.ndarray, "n 32 32 3"]:
    """Two rows and columns of zeros on every side, and the grey three times."""
    return np.repeat(np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0))), 3, axis=3)


def grey8(images: UInt8[np.ndarray, "n 28 28 1"]) -> UInt8[np.ndarray, "n 8 8 1"]:
    """As optdigits was made: two rows and columns of zeros on every side, then the mean of each 4×4 block, half up."""
    framed = np.pad(images, ((0, 0), (2, 2), (2, 2), (0, 0)))
    sums = framed.reshape(-1, 8, 4, 8, 4, 1).sum(axis=(2, 4), dtype=np.uint16)
    return ((sums + 8) >> 4).astype(np.uint8)


class View(NamedTuple):
    """A view: its function, and the shapes of images that it takes and gives."""

    show: Callable[[UInt8[np.ndarray, "n h w c"]], UInt8[np.ndarray, "n height width channels"]]
    takes: tuple[int, int, int]
    gives: tuple[int, int, int]


VIEWS = {
    "28": View(grey28, takes=(32, 32, 3), gives=(28, 28, 1)),
    "rgb32": View(rgb32, takes=(28, 28, 1), gives=(32, 32, 3)),
    "8": View(grey8, takes=(28, 28, 1), gives=(8, 8, 1)),
}


def view(name: str, images: UInt8[np.ndarray, "n height width channels"]) -> UInt8[np.ndarray, "n h w c"]:
    """The images in the view of this name.

    Raises:
        DataCorrupt: the images are of another size than the view takes.
    """
    known = VIEWS[name]
    if images.shape[1:] != known.takes:
        raise DataCorrupt(f"the view {name} takes another size", expected=str(known.takes), got=str(images.shape[1:]))
    return known.show(images)
