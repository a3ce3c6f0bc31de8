"""The phases of Kirsch, Harrison, Sohl-Dickstein, Metz (2022), arXiv 2212.04458, section 4, by a stated rule.

Improvement and knowledge are excesses (`cell`): 0 for who looks at labels alone, 1 for who is always right. Such a
number is PRESENT if its whole 95% interval lies above 0.18, ABSENT if it lies below 0.12, and else OPEN. Between the
two nothing is ever decided: a learner at the boundary stays undetermined. ABSENT is not nearer to 0 because who only
chooses among 64 known tasks of ten classes gains up to 0.07 on unseen ones: the best of 64 guesses is a little right.

With fewer than 64 episodes a cell, and for a suite of one task, which is seen and unseen at once: *undetermined*.

1. Improvement on unseen tasks present: *general learning*; but where other base datasets were measured and it is
   present on none of them, *undetermined*.
2. It is open: *undetermined*.
3. It is absent, and
   - that of 1-NN is not present: *undetermined*: at this T nobody may be able to learn these tasks;
   - knowledge on unseen tasks is not absent: *undetermined*: something is known before any example;
   - nothing was meta-trained: *no learning*;
   - what was seen is unknown: *undetermined*;
   - improvement on seen tasks present, on training or on held-out images: *task identification*;
   - it is open on either: *undetermined*;
   - knowledge on seen tasks with training images present: *instance memorisation*; absent: *no learning*; open:
     *undetermined*.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from gpicl_bench.diagnosing.cell import Cell, Estimate, Tasks
from gpicl_bench.registration import SuiteSpec

RULE = "gpicl-bench-phases/1"
PRESENT, ABSENT = 0.18, 0.12
FEWEST = 64  # episodes: with fewer, intervals are not to be trusted

Verdict = Literal["no learning", "instance memorisation", "task identification", "general learning", "undetermined"]
Seen = Literal["known", "none", "unknown"]


@dataclass(frozen=True)
class Phase:
    """A verdict and its reason, one sentence with the numbers that decided."""

    verdict: Verdict
    reason: str


def state(estimate: Estimate) -> Literal["present", "absent", "open"]:
    """Where an interval lies."""
    if estimate.low > PRESENT:
        return "present"
    return "absent" if estimate.high < ABSENT else "open"


def phase(cells: Sequence[Cell], seen: Seen, why_unknown: str = "") -> Phase:
    """The verdict.

    Args:
        cells: unseen tasks with held-out images and the yardstick among them, and both cells of the seen tasks if
            `seen` is `known`.
        seen: whether the tasks of meta-training are known, by the learner's card; `none`: there was none.
        why_unknown: for the reason.
    """
    unseen = _cell(cells, "unseen", "test")
    spec, count = SuiteSpec(unseen.suite), len(unseen.outcome)
    if (spec.input, spec.label) == ("none", "none"):
        return Phase("undetermined", f"{spec.id} has one task only, which is seen and unseen at once")
    if count < FEWEST:
        return Phase("undetermined", f"{count} episodes a cell are too few: {FEWEST} or more")
    gain = unseen.improvement
    if state(gain) == "present":
        return _general(cells, gain)
    if state(gain) == "open":
        return Phase(
            "undetermined", f"improvement on unseen tasks {gain} is neither above {PRESENT} nor below {ABSENT}"
        )
    nothing = f"no improvement on unseen tasks {gain}"
    yardstick = _cell(cells, "yardstick", "test").improvement
    if state(yardstick) != "present":
        return Phase("undetermined", f"{nothing}, but 1-NN does not improve there either: {yardstick}")
    if state(unseen.knowledge) != "absent":
        return Phase("undetermined", f"{nothing}, but right from the first examples on: {unseen.knowledge}")
    if seen == "none":
        return Phase("no learning", f"{nothing}, and no meta-training")
    if seen == "unknown":
        left = "no learning, instance memorisation or task identification"
        return Phase("undetermined", f"{nothing}: {left}; what it has seen is unknown: {why_unknown}")
    return _seen_side(cells, nothing)


def _general(cells: Sequence[Cell], gain: Estimate) -> Phase:
    others = {cell.suite: cell.improvement for cell in cells if cell.tasks == "other"}
    learned = [suite for suite, found in others.items() if state(found) == "present"]
    if others and not learned:
        told = ", ".join(f"{suite} {found}" for suite, found in others.items())
        return Phase("undetermined", f"improvement on unseen tasks {gain}, but on no other base dataset: {told}")
    also = f", and on {len(learned)} of {len(others)} other base datasets" if others else ""
    return Phase("general learning", f"improvement on unseen tasks {gain}{also}")


def _seen_side(cells: Sequence[Cell], nothing: str) -> Phase:
    sides = [_cell(cells, "seen", images) for images in ("train", "test")]
    found = {cell.name: (state(cell.improvement), cell.improvement) for cell in sides}
    for name, (where, gain) in found.items():
        if where == "present":
            return Phase("task identification", f"improvement on {name} {gain}; {nothing}")
    for name, (where, gain) in found.items():
        if where == "open":
            return Phase("undetermined", f"{nothing}; on {name} {gain} it is open")
    known = sides[0].knowledge
    where = state(known)
    if where == "present":
        return Phase("instance memorisation", f"right on seen tasks from the first on {known}, and no improvement")
    if where == "absent":
        return Phase("no learning", f"{nothing}, none on seen tasks, and nothing is known there {known}")
    return Phase("undetermined", f"{nothing}, none on seen tasks; what is known there {known} is open")


def _cell(cells: Sequence[Cell], tasks: Tasks, images: str) -> Cell:
    return next(cell for cell in cells if (cell.tasks, cell.images) == (tasks, images))
