"""Checks of a suite's images."""

import hashlib

import numpy as np

from gpicl_bench.conformance.outcome import require, require_range, require_same
from gpicl_bench.conformance.places import Looked
from gpicl_bench.datasets import PARTS, Part, load_part

MOST_COPIES = 0.01  # of the test images: published datasets have some


def base_dataset(looked: Looked) -> None:
    """The parts are what the dataset's row says of them, and splits show them."""
    known = looked.suite.meta_test.dataset
    for name in PARTS:
        part, where = load_part(known.name, name), f"{known.name}, {name}"
        shapes = ((known.size[name], *known.shape), (known.size[name],))
        require_same("the arrays have other shapes", (part.images.shape, part.labels.shape), shapes, where)
        types = (str(part.images.dtype), str(part.labels.dtype))
        require_same("the arrays have other types", types, ("uint8", "uint16"), where)
        require_same("the images are others", part.sha256, known.sha256[name], where)
        require_range("a label", part.labels, known.num_classes, where)
        if name == "train":
            classes = np.unique(part.labels).tolist()
            require_same("a class is missing", classes, list(range(known.num_classes)), where)
    for split in looked.splits:
        where = f"{looked.id}, {split.name}"
        require_same("a split shows other images", split.part.sha256, known.sha256[split.images], where)


def held_out(looked: Looked) -> str | None:
    """Images of the part test are none of the part train, but for a few copies that published datasets have.

    A dataset of so few images that both parts are the same ones, drawn with replacement, holds nothing out by design.
    """
    known = looked.suite.meta_test.dataset
    train, test = (load_part(known.name, part) for part in PARTS)
    if known.replacement and train.sha256 == test.sha256:
        return "both parts are the same images, by design"
    shown = _digests(train)
    copies = sum(digest in shown for digest in _each(test))
    most = int(MOST_COPIES * len(test))
    require(
        copies <= most,
        "images of the part test are in train",
        expected=f"none, or copies up to {MOST_COPIES:.0%}: {most} of {len(test)}",
        got=f"{copies} copies",
        where=known.name,
    )
    return None


def _digests(part: Part) -> set[bytes]:
    return set(_each(part))


def _each(part: Part) -> list[bytes]:
    """A digest of each image, without its label."""
    return [hashlib.blake2b(image.tobytes(), digest_size=16).digest() for image in part.pixels]
