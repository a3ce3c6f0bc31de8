"""From a dataset's name to its images: the cache, else the source, checked against the pinned hash."""

from functools import cache

from gpicl_bench.datasets import bundled, prepared
from gpicl_bench.datasets import cache as kept
from gpicl_bench.datasets.part import Part, canonical, part_sha256
from gpicl_bench.datasets.table import Dataset, dataset
from gpicl_bench.datasets.views import view
from gpicl_bench.errors import DataCorrupt


def load_part(name: str, part: str) -> Part:
    """The images and labels of one part, `train` or `test`, of a base dataset, in canonical order.

    Raises:
        DataUnavailable: the data is not on this machine.
        DataCorrupt: what is there is not what the protocol pins.
        CacheError: the cache folder cannot be written.
    """
    known = dataset(name)
    sha256 = known.sha256[part]
    return _load(known, part, str(kept.place(name, part, sha256)))


def _read(known: Dataset, part: str) -> Part:
    """From the source; a view from the source of what it shows."""
    if known.view is not None and known.base is not None:
        shown = load_part(known.base, part)
        return canonical(view(known.view, shown.images), shown.labels)
    return bundled.READERS[known.name](part) if known.tfds is None else prepared.read(known.tfds, part)


@cache
def _load(known: Dataset, part: str, place: str) -> Part:
    """Once a process and a cache folder: later calls share the memory-mapped arrays."""
    where, sha256 = kept.place(known.name, part, known.sha256[part]), known.sha256[part]
    found = kept.read(where, known, part)
    if found is not None:
        return found
    fresh = _read(known, part)
    if part_sha256(fresh) != sha256:
        raise DataCorrupt(
            f"the images of {known.name} are not those of the protocol",
            expected=f"SHA-256 {sha256}",
            got=part_sha256(fresh),
            where=f"part {part}, {len(fresh)} images, from {known.origin}",
            hint="the source was altered or is another version: prepare or copy it again",
        )
    kept.write(where, fresh)
    written = kept.read(where, known, part)
    if written is None:
        raise DataCorrupt("a dataset vanished from the cache while it was written", where=str(where))
    return written
