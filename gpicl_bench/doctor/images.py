"""Which base datasets are here, and how to get the others."""

from collections.abc import Iterator

from gpicl_bench.datasets import DATASETS, PARTS
from gpicl_bench.datasets.whereabouts import whereabouts
from gpicl_bench.doctor.finding import Finding


def look() -> Iterator[Finding]:
    for known in DATASETS.values():
        if known.base is not None:  # a view: it is where its base dataset is
            continue
        found = {part: whereabouts(known, part) for part in PARTS}
        states = {where.state for where in found.values()}
        detail = "; ".join(f"{part}: {where.where}" for part, where in found.items())
        if states == {"here"}:
            yield Finding("data", known.name, "ok", detail)
        elif "damaged" in states:
            hint = f"delete what is damaged, then: python -m gpicl_bench data fetch {known.name}"
            yield Finding("data", known.name, "broken", detail, hint)
        else:
            yield Finding("data", known.name, "missing", detail, f"python -m gpicl_bench data fetch {known.name}")
