"""From a dataset's name to its images: the cache, else the sources in turn, checked against the pinned hash."""

import functools

from gpicl_bench.datasets import arrays, bundled, cache, files, prepared
from gpicl_bench.datasets.part import Part, canonical, moments
from gpicl_bench.datasets.published import PUBLISHED
from gpicl_bench.datasets.table import PARTS, Dataset, dataset
from gpicl_bench.datasets.views import view
from gpicl_bench.errors import CacheError, DataCorrupt, DataUnavailable, InvalidArgument


def load_part(name: str, part: str) -> Part:
    """The images and labels of one part, `train` or `test`, of a base dataset, in canonical order.

    What is not in the cache is read from its published files in `GPICL_BENCH_DATA`, else from a folder that
    TensorFlow Datasets has prepared, else from its published files, downloaded.

    Raises:
        DataUnavailable: the data is not on this machine, and cannot be had.
        DataCorrupt: what is there is not what the protocol pins.
        InvalidArgument, SuiteNotFound: there is no such part, no such dataset.
    """
    if part not in PARTS:
        raise InvalidArgument("a dataset has no such part", expected=" or ".join(PARTS), got=repr(part))
    known = dataset(name)
    if known.in_memory:
        return arrays.REGISTERED[name][part]
    return _load(known, part, str(cache.folder()))


def at_hand(name: str) -> bool:
    """Whether episodes on the held-out images of a base dataset can be drawn without a download."""
    known = dataset(name)
    parts = PARTS if known.moments is None else ("test",)  # what is not pinned is measured on the train images
    return all(_is_here(known, part) for part in parts)


def _is_here(known: Dataset, part: str) -> bool:
    if known.in_memory or known.name in bundled.READERS or cache.place(known, part).exists():
        return True
    if known.base is not None:
        return _is_here(dataset(known.base), part)
    return bool(files.present(known.name, part)) or prepared.is_there(known)


def measured(name: str) -> tuple[int, float]:
    """`center` and `std` of a base dataset, from its train images."""
    return _measured(dataset(name), str(cache.folder()))


@functools.cache
def _measured(known: Dataset, folder: str) -> tuple[int, float]:
    return moments(load_part(known.name, "train").images)


@functools.cache
def _load(known: Dataset, part: str, folder: str) -> Part:
    """Once a process and a cache folder: later calls share the memory-mapped arrays."""
    try:
        found = cache.read(known, part)
    except DataCorrupt:
        found = None  # looked at again under the lock: another process may be rebuilding it
    except CacheError as error:
        cache.warn(f"{error.what} ({error.got}): {error.where}")
        return _checked(known, part, _read(known, part))
    return _fill(known, part) if found is None else found


def forget() -> None:
    """Let later calls look at the cache folder again."""
    _load.cache_clear()
    _measured.cache_clear()


def _fill(known: Dataset, part: str) -> Part:
    """From the source into the cache, in place of what is damaged there."""
    with cache.lock(known):
        damage = None
        try:
            found = cache.read(known, part)
        except DataCorrupt as error:
            found, damage = None, error
        if found is not None:
            return found
        try:
            fresh = _checked(known, part, _read(known, part))
        except DataUnavailable as error:
            if damage is None:
                raise
            what = "a cached dataset is damaged, and its source is not here to rebuild it"
            raise DataCorrupt(what, got=damage.got, where=damage.where, hint=error.hint) from error
        return _keep(known, part, fresh, damage)


def _keep(known: Dataset, part: str, fresh: Part, damage: DataCorrupt | None) -> Part:
    """The part as the cache has it; where the cache cannot be written the part as it is, in memory."""
    try:
        if damage is not None:
            cache.warn(f"{damage.where} is damaged ({damage.got}): it is rebuilt from its source")
            cache.remove(cache.place(known, part))
        cache.write(known, part, fresh)
        return cache.read(known, part) or fresh
    except (CacheError, DataCorrupt) as error:
        cache.warn(f"{known.name} stays in memory: {error.what} ({error.got}): {error.where}. {error.hint}")
        return fresh


def _checked(known: Dataset, name: str, part: Part) -> Part:
    """The part, after a check against what is pinned."""
    cache.check(known, name, part)
    pinned = known.sha256.get(name)
    if pinned not in (None, part.sha256):
        raise DataCorrupt(
            f"the images of {known.name} are not those of the protocol",
            expected=f"SHA-256 {pinned}",
            got=part.sha256,
            where=f"part {name}, {len(part)} images",
            hint="the source was altered or is another version: prepare or copy it again",
        )
    return part


def _read(known: Dataset, part: str) -> Part:
    """From the source; a view from what it shows."""
    if known.view is not None and known.base is not None:
        shown = load_part(known.base, part)
        return canonical(view(known.view, shown.images), shown.labels)
    if known.name in bundled.READERS:
        return bundled.READERS[known.name](part)
    paths = files.present(known.name, part)
    if paths is not None:
        return files.read(known.name, part, paths)
    try:
        return prepared.read(known, part)
    except DataUnavailable as error:
        unprepared = error
    try:
        return files.download(known.name, part)
    except DataUnavailable as error:
        raise _nowhere(known, part, [unprepared, error]) from error


def _nowhere(known: Dataset, part: str, errors: list[DataUnavailable]) -> DataUnavailable:
    wanted = ", ".join(file.name for file in PUBLISHED[known.name].files(part))
    return DataUnavailable(
        f"the images of {known.name} are not on this machine",
        expected=f"{wanted} in the folder GPICL_BENCH_DATA, or {known.tfds} in TFDS_DATA_DIR, or a network",
        got="; ".join(f"{error.what}: {error.got}" for error in errors),
        hint=(
            "set GPICL_BENCH_DATA to a folder with the published files, or TFDS_DATA_DIR to one that TFDS "
            f"has prepared; or where there is a network: python -m gpicl_bench data fetch {known.name}; "
            "or use a suite that needs no data: digits-proj-perm-v0, random-proj-perm-v0"
        ),
    )
