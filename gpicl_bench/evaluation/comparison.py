"""Comparisons of learners on the same tasks: paired over tasks, and over meta-training runs where there are several.

The unit is `scores[run, task]`. A run is a meta-training seed, by the learner's card; positions, queries and
learner seeds are not runs.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import combinations
from typing import Any

import numpy as np
from jaxtyping import Float64

from gpicl_bench.errors import ResultError, check_integer
from gpicl_bench.evaluation.identity import by_learner, seed_of
from gpicl_bench.evaluation.results import Result
from gpicl_bench.evaluation.statistics import (
    ALPHA,
    bootstrap,
    holm,
    mcnemar,
    minimum_detectable,
    sign_flips,
    t_interval,
    two_level,
    wilson,
)
from gpicl_bench.evaluation.storage import digest

SAME = (  # what results must share to be compared
    "suite",
    "task_set",
    "images",
    "fingerprint",
    "protocol",
    "num_examples",
    "num_classes",
    "num_tasks",
    "positions",
)
ONE_MEAN = ("num_tasks", "task_set", "protocol", "learner_seed")  # what those of a benchmark's suites must share
_TWO_LEVEL, _MCNEMAR, _FLIPS = "t over runs and tasks", "exact McNemar", "sign flips over tasks"


@dataclass(frozen=True, eq=False)
class Runs:
    """The results of one learner on one split, a result for each meta-training run."""

    name: str
    results: tuple[Result, ...]
    at: int | None = None

    def __post_init__(self) -> None:
        if len(self.results) > 1:
            _check_runs(self)

    @cached_property
    def values(self) -> Float64[np.ndarray, "run task"]:
        """Each run's score of each task; with `at`, whether it was right there."""
        return np.stack([_per_task(result, self.at) for result in self.results])

    @property
    def mean(self) -> float:
        return float(self.values.mean())

    @cached_property
    def task_interval(self) -> tuple[float, float]:
        """95% interval over tasks, for these runs as they are: Wilson's for one run's accuracy, else BCa."""
        if self.at is not None and len(self.results) == 1:
            low, high = wilson(self.values.sum(axis=1).astype(np.int64), self.values.shape[1])[0]
        else:
            low, high = bootstrap(self.values.mean(axis=0)[:, None])[0]
        return float(low), float(high)

    @cached_property
    def run_interval(self) -> tuple[float, float] | None:
        """95% t interval over run means; None with fewer than three runs."""
        return t_interval(self.values.mean(axis=1))

    @cached_property
    def accuracy(self) -> Float64[np.ndarray, " position"]:
        """accuracy@k at each position: the mean over tasks and runs."""
        return np.mean([result.accuracy for result in self.results], axis=0)

    @cached_property
    def accuracy_interval(self) -> Float64[np.ndarray, "position 2"]:
        """95% intervals of accuracy@k: over tasks, Wilson's for one run, BCa for two; over runs from three on."""
        if len(self.results) == 1:
            return self.results[0].accuracy_interval
        if len(self.results) == 2:
            return bootstrap(np.mean([result.outcome for result in self.results], axis=0))
        intervals = [t_interval(means) for means in np.stack([result.accuracy for result in self.results], axis=1)]
        return np.clip(np.array(intervals, np.float64), 0, 1)

    @property
    def untrained(self) -> bool:
        """Whether the card says that there was no meta-training: then there is nothing to run again."""
        return self.results[0].learner.card.get("meta_training") == "none"

    @property
    def evidence(self) -> str:
        """The weakest evidence among the runs."""
        return weakest(self.results)


def weakest(results: Sequence[Result]) -> str:
    """The weakest evidence among results: a failed audit, none, withheld labels, a passed audit."""
    order = ("AUDIT", "NOT AUDITED", "not audited", "audit passed")
    return min((result.evidence for result in results), key=lambda e: [e.startswith(o) for o in order].index(True))


@dataclass(frozen=True)
class Pair:
    """Two learners: difference of means (first minus second), 95% interval, p, and p by Holm's correction.

    `detectable` is the smallest true difference that such a test finds with probability 0.8.
    """

    first: str
    second: str
    difference: float
    interval: tuple[float, float]
    p: float
    p_holm: float
    detectable: float
    method: str

    @property
    def differs(self) -> bool:
        return self.p_holm < ALPHA


@dataclass(frozen=True, eq=False)
class Comparison:
    """Learners by rank, every pair of them, and the tie group of each: 1 for the best and all it does not beat."""

    learners: tuple[Runs, ...]
    pairs: tuple[Pair, ...]
    groups: tuple[int, ...]

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curves of all learners, with 95% bands, beside reference learners in grey.

        Args:
            ax: matplotlib's Axes to draw into; None: those of a new Figure. Names stand to the right of the axes.

        Returns:
            The Axes; `.figure.savefig("curves.png")` keeps them.

        Raises:
            PictureError: matplotlib is not installed: pip install 'gpicl-bench[plot]'.
        """
        from gpicl_bench.reporting.curves import plot

        return plot(self.learners, ax)


def compare(results: Iterable[Result] | Mapping[str, Iterable[Result]], at: int | None = None) -> Comparison:
    """Compare learners on the tasks that all of them were asked.

    Args:
        results: one or more for each learner, all of one split. Results that differ in the meta-training seed
            of their card and in what follows from it alone are runs of one learner. Or the runs of each learner,
            by a name of your own.
        at: compare accuracy@`at`; None: the score.

    Raises:
        ResultError: the results are not of the same tasks, one of them is given twice, or runs are no runs.

    >>> from gpicl_bench import evaluate, load_learner, make
    >>> suite = make("digits-proj-perm-v0")
    >>> files = ["baselines/nearest_neighbour.py", "baselines/chance.py"]
    >>> found = compare([evaluate(load_learner(file, suite.info), suite, num_tasks=32) for file in files])
    >>> [learner.name for learner in found.learners], found.groups
    (['nearest_neighbour', 'chance'], (1, 2))
    """
    at = None if at is None else check_integer("at", at, 0, 2**31 - 1)
    groups = (
        {name: tuple(runs) for name, runs in results.items()} if isinstance(results, Mapping) else by_learner(results)
    )
    _check_same([result for runs in groups.values() for result in runs])
    learners = sorted((Runs(name, runs, at) for name, runs in groups.items()), key=lambda runs: -runs.mean)
    both = list(combinations(learners, 2))
    differences = [a.values.mean(axis=0) - b.values.mean(axis=0) for a, b in both]
    intervals = bootstrap(np.stack(differences, axis=1)) if both else np.zeros((0, 2))
    tests = [_test(a, b) for a, b in both]
    flips = iter(sign_flips([d for d, test in zip(differences, tests, strict=True) if test == _FLIPS]))
    raw = [
        _pair(a, b, test, d, interval, next(flips) if test == _FLIPS else None)
        for (a, b), test, d, interval in zip(both, tests, differences, intervals, strict=True)
    ]
    pairs = [replace(pair, p_holm=p) for pair, p in zip(raw, holm([pair.p for pair in raw]), strict=True)]
    return Comparison(tuple(learners), tuple(pairs), _tie_groups(len(learners), pairs))


def _check_same(results: Sequence[Result]) -> None:
    if not results:
        raise ResultError("there is nothing to compare", expected="one result or more")
    first = results[0]
    for other in results[1:]:
        for field in SAME:
            a, b = getattr(first.setting, field), getattr(other.setting, field)
            if a != b:
                raise ResultError(
                    f"results of different {field} cannot be compared",
                    expected=f"{a}, as of {first.learner.name}",
                    got=f"{b}, of {other.learner.name}",
                    hint="evaluate both on the same tasks; for suites of a benchmark: --benchmark",
                )
    seen: set[str] = set()
    for result in results:
        if (found := digest(result)) in seen:
            raise ResultError("a result is given twice", got=f"{result.learner.name}, digest {found[:16]}…")
        seen.add(found)


def _check_runs(runs: Runs) -> None:
    """Several results of one learner must be several runs: other seeds, and so other predictions."""
    same = next(
        (pair for pair in combinations(runs.results, 2) if repr(seed_of(pair[0])) == repr(seed_of(pair[1]))), None
    )
    if same is not None:
        seed, (one, other) = seed_of(same[0]), (digest(result)[:16] for result in same)
        raise ResultError(
            "two results of one learner are no two runs",
            expected="different meta-training seeds in their cards",
            got=f"{runs.name}, seed {'none' if seed is None else seed} twice: digests {one}… and {other}…",
            hint='for different learners: compare({"name": [result], …})',
        )
    if len({result.prediction.tobytes() for result in runs.results}) < len(runs.results):
        raise ResultError("two runs predict exactly the same", expected="one result for each run", got=runs.name)


def _per_task(result: Result, at: int | None) -> Float64[np.ndarray, " task"]:
    if at is not None:
        result.accuracy_at(at)  # raises where the position was not asked
        return result.outcome[:, result.setting.positions.index(at)].astype(np.float64)
    if result.areas is None:
        raise ResultError(
            "this result has no score",
            expected="every position from 1 to T-1",
            where=result.learner.name,
            hint="compare --at K",
        )
    return result.areas


def _test(a: Runs, b: Runs) -> str:
    """The test that the two sides allow."""
    counts = [len(runs.results) for runs in (a, b)]
    if max(counts) > 1 and all(count > 1 or runs.untrained for runs, count in zip((a, b), counts, strict=True)):
        return _TWO_LEVEL
    return _MCNEMAR if a.at is not None and counts == [1, 1] else _FLIPS


def _pair(
    a: Runs,
    b: Runs,
    test: str,
    per_task: Float64[np.ndarray, " task"],
    over_tasks: Float64[np.ndarray, "2"],
    flips: float | None,
) -> Pair:
    """Without several runs of what was trained it speaks of these runs only. `flips` is the p of sign flips."""
    difference = float(per_task.mean())
    if test == _TWO_LEVEL:
        interval, p, detectable = two_level(per_task, a.values.mean(axis=1), b.values.mean(axis=1))
        return Pair(a.name, b.name, difference, interval, p, p, detectable, test)
    low, high = (float(bound) for bound in over_tasks)
    p = mcnemar(a.values[0] > 0, b.values[0] > 0) if flips is None else flips
    scope = "" if a.untrained and b.untrained else ", of these runs only"
    return Pair(a.name, b.name, difference, (low, high), p, p, minimum_detectable(per_task), test + scope)


def _tie_groups(count: int, pairs: Sequence[Pair]) -> tuple[int, ...]:
    """From the best down: a learner that its group's first beats opens the next group."""
    differ = {ranks for ranks, pair in zip(combinations(range(count), 2), pairs, strict=True) if pair.differs}
    groups, leader = [1], 0
    for rank in range(1, count):
        opens = (leader, rank) in differ
        leader = rank if opens else leader
        groups.append(groups[-1] + opens)
    return tuple(groups)
