"""The capability profile: scores of learners over suites, side by side. What is missing is missing, never averaged."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.evaluation.comparison import ONE_MEAN, Runs


@dataclass(frozen=True)
class Mean:
    """A learner's score on a benchmark; None with the reason why it has none."""

    value: float | None
    reason: str = ""


def score(runs: Runs | None) -> float | None:
    """The score of a learner on a suite; None if it was not evaluated there, or not at every position."""
    return None if runs is None or runs.at is not None else runs.mean


def benchmarks(suites: Mapping[str, Mapping[str, Runs]]) -> dict[str, tuple[str, ...]]:
    """The benchmarks of which two suites or more are here."""
    return {id: members for id, members in BENCHMARKS.items() if len(set(members) & set(suites)) > 1}


def mean(name: str, members: Sequence[str], suites: Mapping[str, Mapping[str, Runs]]) -> Mean:
    """The mean over the suites of a benchmark, where all of them were run on as many tasks of the same set.

    Args:
        name: of the learner.
        members: the suites of the benchmark.
        suites: the learners on each suite.
    """
    found = {suite: suites.get(suite, {}).get(name) for suite in members}
    missing = [suite for suite, runs in found.items() if runs is None]
    if missing:
        return Mean(None, f"missing: {', '.join(missing)}")
    settings = [result.setting for runs in found.values() if runs is not None for result in runs.results]
    for field in ONE_MEAN:
        if len({getattr(setting, field) for setting in settings}) > 1:
            return Mean(None, f"its results are of different {field}")
    scores = [score(runs) for runs in found.values()]
    known = [value for value in scores if value is not None]
    return Mean(sum(known) / len(known)) if len(known) == len(scores) else Mean(None, "not every position was asked")
