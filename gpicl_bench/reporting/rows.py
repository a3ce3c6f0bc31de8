"""The numbers of a page as people read them: rows of its tables."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpicl_bench.diagnosing import Diagnosis
from gpicl_bench.evaluation.comparison import Comparison, Pair, Runs
from gpicl_bench.reporting.style import Style
from gpicl_bench.reporting.text import plain

NOTHING = "–"


@dataclass(frozen=True)
class Number:
    """A number and its 95% interval; `low` and `high` together, or neither."""

    value: str
    interval: str = ""

    def __str__(self) -> str:
        return f"{self.value} ({self.interval})" if self.interval else self.value


@dataclass(frozen=True)
class Row:
    """A learner on a suite.

    Attributes:
        over: what the intervals are over: tasks, or runs.
        link: an address of the web; None: the card has none that can be followed.
        trust: `passed`, `failed` or `none`: what stands behind the numbers, in a word.
        evidence: the same in a sentence.
        verdict: of the diagnosis on this suite.
    """

    rank: int
    name: str
    link: str | None
    style: Style
    score: Number
    accuracy: Number
    over: str
    group: int
    runs: int
    trust: str
    evidence: str
    verdict: str


def rows(comparison: Comparison, styles: Mapping[str, Style], verdicts: Mapping[str, str]) -> list[Row]:
    """The learners of a suite by rank."""
    ranked = zip(comparison.groups, comparison.learners, strict=True)
    return [
        _row(rank, group, runs, styles[runs.name], verdicts.get(runs.name, NOTHING))
        for rank, (group, runs) in enumerate(ranked, 1)
    ]


def _row(rank: int, group: int, runs: Runs, style: Style, verdict: str) -> Row:
    last = Runs(runs.name, runs.results, runs.results[0].setting.positions[-1])
    evidence = runs.evidence
    trust = "passed" if evidence.startswith("audit passed") else "failed" if evidence.startswith("AUDIT") else "none"
    return Row(
        rank=rank,
        name=plain(runs.name),
        link=_link(runs),
        style=style,
        score=Number(NOTHING) if runs.at is not None else _of_runs(runs),
        accuracy=_of_runs(last),
        over="tasks" if runs.run_interval is None else f"{len(runs.results)} runs",
        group=group,
        runs=len(runs.results),
        trust=trust,
        evidence=plain(evidence),
        verdict=verdict,
    )


def _of_runs(runs: Runs) -> Number:
    return Number(number(runs.mean), interval(runs.run_interval or runs.task_interval))


def _link(runs: Runs) -> str | None:
    """Of the card: only what a browser opens as a page."""
    link = str(runs.results[0].learner.card.get("link", ""))
    return plain(link) if link.lower().startswith(("https://", "http://")) else None


def pair_rows(pairs: Sequence[Pair]) -> list[list[str]]:
    """Every pair of learners: names, difference, p, p by Holm, verdict, detectable difference, method."""
    return [
        [
            plain(pair.first),
            plain(pair.second),
            f"{number(pair.difference)} ({interval(pair.interval)})",
            f"{pair.p:.2g}",
            f"{pair.p_holm:.2g}",
            "differs" if pair.differs else "tie",
            NOTHING if math.isnan(pair.detectable) else number(pair.detectable),
            pair.method,
        ]
        for pair in pairs
    ]


def verdicts(diagnoses: Sequence[tuple[str | None, Diagnosis]], suite: str) -> dict[str, str]:
    """What the diagnoses on a suite say of each learner; several runs of it may differ."""
    found: dict[str, Counter[str]] = {}
    for name, diagnosis in diagnoses:
        if name is not None and diagnosis.question.suite == suite:
            found.setdefault(name, Counter())[diagnosis.verdict] += 1
    return {
        name: ", ".join(_counted(*pair) for pair in sorted(counts.items(), key=lambda pair: (-pair[1], pair[0])))
        for name, counts in found.items()
    }


def _counted(verdict: str, runs: int) -> str:
    return f"{verdict} ({runs} runs)" if runs > 1 else verdict


def number(value: float) -> str:
    """With three digits, and a minus that is one."""
    return f"{value:z.3f}".replace("-", "−")


def interval(bounds: Sequence[float]) -> str:
    return "no interval: one task" if math.isnan(bounds[0]) else f"{number(bounds[0])} to {number(bounds[1])}"
