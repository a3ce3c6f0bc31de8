"""The phases of Kirsch, Harrison, Sohl-Dickstein, Metz (2022), arXiv 2212.04458, section 4, by a stated rule.

A number is PRESENT if its whole 95% interval lies above 0.15, ABSENT if it lies below 0.10, and else OPEN. Between
the two nothing is ever decided: a learner at the boundary stays undetermined. Improvement and knowledge are
differences of accuracies (`cell`). ABSENT is not nearer to 0 because who only chooses among 64 known tasks gains up to
0.06 on unseen ones: the best of 64 guesses is a little right.

1. Improvement on unseen tasks present: *general learning*; but where other base datasets were measured and it is
   present on none of them, *undetermined*.
2. It is open: *undetermined*.
3. It is absent, and
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

RULE = "gpicl-bench-phases/1"
PRESENT, ABSENT = 0.15, 0.10

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
        cells: unseen tasks with held-out images among them, and both of the seen tasks if `seen` is `known`.
        seen: whether the tasks of meta-training are known, by the learner's card; `none`: there was none.
        why_unknown: for the reason.
    """
    unseen = _cell(cells, "unseen", "test")
    gain = unseen.improvement
    if state(gain) == "present":
        return _general(cells, gain)
    if state(gain) == "open":
        return Phase(
            "undetermined", f"improvement on unseen tasks {gain} is neither above {PRESENT} nor below {ABSENT}"
        )
    if state(unseen.knowledge) != "absent":
        return Phase(
            "undetermined", f"on unseen tasks it is right before any example can have taught it: {unseen.knowledge}"
        )
    nothing = f"no improvement on unseen tasks {gain}"
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
        return Phase("instance memorisation", f"right on seen tasks before any example {known}, and no improvement")
    if where == "absent":
        return Phase("no learning", f"{nothing}, none on seen tasks, and nothing is known there {known}")
    return Phase("undetermined", f"{nothing}, none on seen tasks; what is known there {known} is open")


def _cell(cells: Sequence[Cell], tasks: Tasks, images: str) -> Cell:
    return next(cell for cell in cells if (cell.tasks, cell.images) == (tasks, images))
