"""A diagnosis as people read it."""

from dataclasses import dataclass

from gpicl_bench.diagnosing import Diagnosis
from gpicl_bench.diagnosing.cell import Cell, Estimate
from gpicl_bench.reporting.rows import Number, interval, number
from gpicl_bench.reporting.text import plain


@dataclass(frozen=True)
class Diagnosed:
    """A diagnosis on a page.

    Attributes:
        known: whether the page has results of this learner.
        asked: how many episodes, and how to ask them again.
        spans: the early and the late positions.
        cells: name, tasks, accuracy early and late, knowledge, improvement.
        unmeasured: what, and why not.
        symmetries: name, positions, share of predictions that follow the change.
        ledger: what, and how much.
    """

    name: str
    known: bool
    suite: str
    verdict: str
    reason: str
    asked: str
    spans: tuple[str, str]
    cells: list[tuple[str, str, Number, Number, Number, Number]]
    unmeasured: list[tuple[str, str]]
    symmetries: list[tuple[str, str, Number]]
    ledger: list[tuple[str, str]]


def diagnosed(name: str | None, diagnosis: Diagnosis) -> Diagnosed:
    """What a diagnosis found; `name` is that of its learner among the results, None if there are none."""
    question = diagnosis.question
    return Diagnosed(
        name=plain(diagnosis.learner.name if name is None else name),
        known=name is not None,
        suite=plain(question.suite),
        verdict=diagnosis.verdict,
        reason=plain(diagnosis.phase.reason),
        asked=f"{question.num_episodes:,} episodes a cell; seed {question.seed} repeats it",
        spans=diagnosis.spans,
        cells=[_cell(cell) for cell in diagnosis.cells],
        unmeasured=[(plain(what), plain(why)) for what, why in diagnosis.unmeasured.items()],
        symmetries=[(plain(s.name), _positions(s.positions), _number(s.share)) for s in diagnosis.symmetries],
        ledger=[(name, plain(cost)) for name, cost in diagnosis.costs.items()],
    )


def _cell(cell: Cell) -> tuple[str, str, Number, Number, Number, Number]:
    early, late, known, gained = (
        _number(estimate) for estimate in (cell.accuracy_early, cell.accuracy_late, cell.knowledge, cell.improvement)
    )
    return plain(cell.name), f"{cell.num_tasks:,}", early, late, known, gained


def _positions(positions: tuple[int, ...]) -> str:
    return ", ".join(map(str, positions))


def _number(estimate: Estimate) -> Number:
    return Number(number(estimate.value), interval((estimate.low, estimate.high)))
