"""Whether suites are, to the bit, what their ids mean: pinned fingerprints, computed again."""

from collections.abc import Iterator

from gpicl_bench import builtin
from gpicl_bench.datasets import Dataset, bundled, dataset
from gpicl_bench.doctor.caching import damage, kept
from gpicl_bench.doctor.finding import Finding
from gpicl_bench.registration import SPLITS, spec
from gpicl_bench.suite import Split, Suite

_QUICK = ("meta_test",)


def look(thorough: bool) -> Iterator[Finding]:
    """Of built-in suites whose images are in the cache or in the package: nothing is fetched, no folder unpacked."""
    absent = []
    for id in builtin.SUITES:
        suite = Suite(spec(id))
        pinned = [_split(suite, name) for name in (SPLITS if thorough else _QUICK) if name in suite.spec.fingerprints]
        here = [split for split in pinned if _is_sound(split.dataset, split.images)]
        if len(here) < len(pinned):
            absent.append(id)
        if here:
            yield _compared(suite, here)
    if absent:
        detail = f"{len(absent)} suites are not checked: their images are not in the cache, or damaged there"
        hint = f"python -m gpicl_bench data fetch {dataset(spec(absent[0]).dataset).base or spec(absent[0]).dataset}"
        yield Finding("fingerprints", "others", "missing", detail, hint)


def _compared(suite: Suite, splits: list[Split]) -> Finding:
    wrong = [split.name for split in splits if split.fingerprint != suite.spec.fingerprints[split.name]]
    names = ", ".join(split.name for split in splits)
    if not wrong:
        return Finding("fingerprints", suite.id, "ok", names)
    hint = "another version of the package, or a defect: report it with this output"
    return Finding("fingerprints", suite.id, "broken", f"other bits than its id means: {', '.join(wrong)}", hint)


def _split(suite: Suite, name: str) -> Split:
    return suite.seen() if name == "seen" else getattr(suite, name)


def _is_sound(known: Dataset, part: str) -> bool:
    """Whether the images can be had from the cache, or made without any file."""
    if kept(known, part):
        return damage(known, part) is None
    shown = known if known.base is None else dataset(known.base)
    return shown.name in bundled.READERS and (shown is known or _is_sound(shown, part))
