"""Base datasets that need no download: `digits`, which comes with scikit-learn, and `random`."""

import numpy as np

from gpicl_bench.datasets.part import Part, canonical
from gpicl_bench.errors import DataCorrupt
from gpicl_bench.streams import random_bytes, root_key

_DIGITS_TRAIN = 1437


def digits(part: str) -> Part:
    """1,797 images of 8×8 pixels, 0 … 16: in canonical order the first 1,437 are `train`."""
    from sklearn.datasets import load_digits

    bunch = load_digits()
    pixels = bunch.images.astype(np.int64)
    if not np.array_equal(pixels, bunch.images):
        raise DataCorrupt("scikit-learn's digits are not whole numbers")
    both = canonical(pixels[..., None], bunch.target)
    chosen = slice(None, _DIGITS_TRAIN) if part == "train" else slice(_DIGITS_TRAIN, None)
    return Part(both.images[chosen], both.labels[chosen])


def random(part: str) -> Part:
    """Ten images of 28×28 random bytes, one a class; both parts are these ten."""
    stream = random_bytes(root_key("gpicl-bench/1/dataset/random"), 10 * 784)
    return canonical(stream.reshape(10, 28, 28, 1), np.arange(10))


READERS = {"digits": digits, "random": random}
