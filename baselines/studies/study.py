"""What a study is: a question, what is measured of each learner, and what the measurements say."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

from baselines.studies.together import Row, Trained
from gpicl_bench.errors import GpiclBenchError

Verdict = Literal["reproduced", "not reproduced", "open"]


class StudyError(GpiclBenchError):
    """A study cannot start, or its folder holds something else."""


@dataclass(frozen=True)
class Record:
    """What is known of a finished cell; the content of its file.

    Attributes:
        name: of the cell.
        axes: its place in the grid, by axis.
        settings: that determined the weights, as JSON has them.
        measured: what the study measures.
        rows: metrics of the training.
        parameters: how many numbers were trained.
        seconds: its share of the time of its group, and then of the measurement.
    """

    name: str
    axes: dict[str, Any]
    settings: dict[str, Any]
    measured: dict[str, Any]
    rows: list[Row]
    parameters: int
    seconds: float


class Table(NamedTuple):
    """Numbers for people."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


class Finding(NamedTuple):
    """One claim of the paper beside what was measured here; `open`: these cells cannot tell."""

    claim: str
    paper: str
    here: str
    verdict: Verdict


@dataclass(frozen=True)
class Study:
    """A question and how it is answered.

    Attributes:
        name: on the command line.
        version: of what is measured; cells of another version are not mixed.
        question: one sentence.
        measure: (a trained run, how many tasks or episodes to ask) -> what JSON can hold.
        tables: of finished cells.
        draw: finished cells into a figure of matplotlib.
        findings: of finished cells.
        enough: of a run's metrics and C: whether training longer would tell nothing more; None: it always would.
    """

    name: str
    version: int
    question: str
    measure: Callable[[Trained, int], dict[str, Any]]
    tables: Callable[[Sequence[Record]], list[Table]]
    draw: Callable[[Sequence[Record], Any], None]
    findings: Callable[[Sequence[Record]], list[Finding]]
    enough: Callable[[list[Row], int], bool] | None = None


def by(records: Sequence[Record], *axes: str) -> dict[tuple[Any, ...], list[Record]]:
    """Records grouped by their places on these axes, in ascending order; the seeds of a place are a group."""
    found: dict[tuple[Any, ...], list[Record]] = {}
    for record in records:
        found.setdefault(tuple(record.axes.get(axis) for axis in axes), []).append(record)
    return dict(sorted(found.items(), key=lambda item: [_order(value) for value in item[0]]))


def learners(records: Sequence[Record], *axes: str) -> dict[str, list[Record]]:
    """Records by all that they are besides seed and places on these axes, in words: what may be compared or pooled."""
    others = [
        axis for axis in dict.fromkeys(a for r in records for a in r.axes) if axis not in ("model", "seed", *axes)
    ]
    found = {}
    for (model, *values), group in by(records, "model", *others).items():
        places = [(axis, v) for axis, v in zip(others, values, strict=True) if axis in group[0].axes]
        told = [f"{axis} {'unbounded' if v is None else v}" for axis, v in places]
        found[", ".join([model, *told])] = group
    return found


def _order(value: Any) -> tuple[int, Any]:
    """Numbers by size, then text, then None, which is an unbounded pool."""
    if value is None:
        return 2, 0
    return (1, value) if isinstance(value, str) else (0, value)


def shown(value: Any) -> str:
    """A value of an axis for people: powers of two as such."""
    if value is None:
        return "unbounded"
    if isinstance(value, int) and value >= 16 and value & (value - 1) == 0:
        return f"2^{value.bit_length() - 1}"
    return f"{value:g}" if isinstance(value, float) else str(value)
