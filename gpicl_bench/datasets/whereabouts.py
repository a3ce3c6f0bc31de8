"""Where a part of a base dataset is, or where it would come from: nothing is read, nothing is downloaded."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from gpicl_bench.datasets import cache, files, prepared
from gpicl_bench.datasets.published import PUBLISHED
from gpicl_bench.datasets.table import Dataset
from gpicl_bench.errors import DataCorrupt, DataUnavailable


@dataclass(frozen=True)
class Whereabouts:
    """Whether a part can be had without a network, and for people where."""

    state: Literal["here", "to download", "damaged"]
    where: str


def whereabouts(known: Dataset, part: str) -> Whereabouts:
    """Where a part is; of published files that are here the content is checked."""
    try:
        return _found(known, part)
    except DataCorrupt as error:
        return Whereabouts("damaged", f"DAMAGED: {error.where}")
    except DataUnavailable as error:
        return Whereabouts("damaged", f"UNREADABLE: {error.where or error.got}")
    except OSError as error:
        return Whereabouts("damaged", f"UNREADABLE: {error.filename or error}")


def _found(known: Dataset, part: str) -> Whereabouts:
    place = cache.place(known, part)
    if place.is_symlink() and not place.exists():
        return Whereabouts("damaged", f"DAMAGED: {place}")
    if place.exists():
        return Whereabouts("here", f"in the cache, {megabytes(place)}")
    if known.base is not None:
        return Whereabouts("here", f"a view of {known.base}")
    if known.tfds is None:
        return Whereabouts("here", f"from {known.origin}")
    if files.present(known.name, part):
        return Whereabouts("here", "published files")
    if prepared.is_there(known):
        return Whereabouts("here", f"prepared: {prepared.find(known)}")
    size = sum(file.size for file in PUBLISHED[known.name].files(part))
    return Whereabouts("to download", f"to download, {size / 1e6:,.1f} MB")


def megabytes(place: Path) -> str:
    """The size of a folder with all that is in it."""
    return f"{sum(path.stat().st_size for path in place.rglob('*') if path.is_file()) / 1e6:,.1f} MB"
