"""The cache: whether it can be written, how large it is, and whether every part in it has its hash."""

import os
from collections.abc import Iterator

from gpicl_bench.datasets import DATASETS, PARTS, Dataset, cache
from gpicl_bench.datasets.whereabouts import megabytes
from gpicl_bench.doctor.finding import Finding
from gpicl_bench.errors import CacheError, DataCorrupt, GpiclBenchError


def look() -> Iterator[Finding]:
    where = cache.folder()
    above = next(path for path in (where, *where.absolute().parents) if os.path.lexists(path))
    if not above.is_dir() or not os.access(above, os.W_OK):
        hint = "set GPICL_BENCH_CACHE to another folder; until then images stay in memory"
        yield Finding("cache", "folder", "broken", f"{where} cannot be written", hint)
    elif not where.exists():
        yield Finding("cache", "folder", "ok", f"{where}, which is made when it is first needed")
    found = [(known, part, damage(known, part)) for known in DATASETS.values() for part in PARTS if kept(known, part)]
    for known, part, error in found:
        if error is not None:
            detail = f"{error.what}: {error.got}: {error.where}"
            yield Finding("cache", f"{known.name}, {part}", "broken", detail, error.hint)
    if where.is_dir():
        whole = sum(error is None for *_, error in found)
        detail = f"{where}, {megabytes(where)}, {whole} of {len(found)} parts are as their hashes say"
        yield Finding("cache", "content", "ok" if whole == len(found) else "broken", detail)


def kept(known: Dataset, part: str) -> bool:
    """Whether something stands where the cache keeps a part."""
    return not known.in_memory and os.path.lexists(cache.place(known, part))


def damage(known: Dataset, part: str) -> GpiclBenchError | None:
    """Why a part cannot be read from the cache; None if it can, or is not there."""
    try:
        cache.read(known, part)
    except (CacheError, DataCorrupt) as error:
        return error
    return None
