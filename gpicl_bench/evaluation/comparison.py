"""Comparisons of learners on the same tasks: paired over tasks, and over meta-training runs where there are several.

The unit is `scores[run, task]`. A run is a meta-training seed, by the learner's card; positions, queries and
learner seeds are not runs.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import combinations

import numpy as np
from jaxtyping import Float64

from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation.results import Result
from gpicl_bench.evaluation.statistics import (
    ALPHA,
    bootstrap,
    holm,
    mcnemar,
    minimum_detectable,
    sign_flip,
    t_interval,
    two_level,
    wilson,
)
from gpicl_bench.evaluation.storage import digest

_SAME = (
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


@dataclass(frozen=True, eq=False)
class Runs:
    """The results of one learner on one split, a result for each meta-training run."""

    name: str
    results: tuple[Result, ...]
    at: int | None = None

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

    @property
    def untrained(self) -> bool:
        """Whether the card says that there was no meta-training: then there is nothing to run again."""
        return self.results[0].learner.card.get("meta_training") == "none"

    @property
    def evidence(self) -> str:
        """The weakest evidence among the runs."""
        return next(
            (r.evidence for r in self.results if r.audit is None or r.audit.status != "passed"),
            self.results[0].evidence,
        )


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


def compare(results: Sequence[Result], at: int | None = None) -> Comparison:
    """Compare learners on the tasks that all of them were asked.

    Args:
        results: one or more for each learner, all of one split. Results that differ in the meta-training seed
            of their card alone are runs of one learner.
        at: compare accuracy@`at`; None: the score.

    Raises:
        ResultError: the results are not of the same tasks, or one of them is given twice.

    >>> from gpicl_bench import evaluate, load_learner, make
    >>> suite = make("digits-proj-perm-v0")
    >>> files = ["baselines/nearest_neighbour.py", "baselines/chance.py"]
    >>> found = compare([evaluate(load_learner(file, suite.info), suite, num_tasks=32) for file in files])
    >>> [learner.name for learner in found.learners], found.groups
    (['nearest_neighbour', 'chance'], (1, 2))
    """
    _check_same(results)
    learners = tuple(sorted(_grouped(results, at), key=lambda runs: -runs.mean))
    raw = [_pair(a, b) for a, b in combinations(learners, 2)]
    adjusted = holm([pair[3] for pair in raw])
    pairs = tuple(
        Pair(a, b, difference, interval, p, corrected, detectable, method)
        for (a, b, (difference, interval), p, detectable, method), corrected in zip(raw, adjusted, strict=True)
    )
    return Comparison(learners, pairs, _tie_groups([runs.name for runs in learners], pairs))


def _check_same(results: Sequence[Result]) -> None:
    if not results:
        raise ResultError("there is nothing to compare", expected="one result or more")
    first = results[0]
    for other in results[1:]:
        for field in _SAME:
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


def _grouped(results: Sequence[Result], at: int | None) -> list[Runs]:
    """Results by learner; learners of one name are told apart by their arguments or their source."""
    groups: dict[str, list[Result]] = {}
    for result in results:
        groups.setdefault(_identity(result), []).append(result)
    names = [group[0].learner.name for group in groups.values()]
    learners = []
    for group in groups.values():
        seeds = [_seed(result) for result in group]
        name = group[0].learner.name
        if len(set(seeds)) < len(seeds):
            raise ResultError(
                "two results of one learner are no two runs",
                expected="different meta-training seeds in their cards",
                got=f"{name}, seed {'none' if seeds[0] is None else seeds[0]} twice",
            )
        learners.append(Runs(_full_name(group[0]) if names.count(name) > 1 else name, tuple(group), at))
    return learners


def _identity(result: Result) -> str:
    learner = result.learner
    training = learner.card.get("meta_training")
    if isinstance(training, dict) and "seed" in training:
        trained = {key: value for key, value in training.items() if key != "seed"}
        return json.dumps([learner.name, learner.source_sha256, trained], sort_keys=True)
    return json.dumps([learner.name, learner.source_sha256, dict(learner.args)], sort_keys=True, default=repr)


def _seed(result: Result) -> object:
    training = result.learner.card.get("meta_training")
    return training.get("seed") if isinstance(training, dict) else None


def _full_name(result: Result) -> str:
    arguments = ", ".join(f"{key}={value}" for key, value in result.learner.args.items())
    return f"{result.learner.name}({arguments}) {(result.learner.source_sha256 or '')[:6]}".strip()


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


def _pair(a: Runs, b: Runs) -> tuple[str, str, tuple[float, tuple[float, float]], float, float, str]:
    per_task = a.values.mean(axis=0) - b.values.mean(axis=0)
    difference = float(per_task.mean())
    if all(len(runs.results) >= 3 or runs.untrained for runs in (a, b)) and max(len(a.results), len(b.results)) >= 3:
        means = [runs.values.mean(axis=1) for runs in (a, b)]
        interval, p, detectable = two_level(per_task, means[0], means[1])
        return a.name, b.name, (difference, interval), p, detectable, "t over runs and tasks"
    low, high = bootstrap(per_task[:, None])[0]
    interval = (float(low), float(high))
    detectable = minimum_detectable(per_task)
    single = len(a.results) == len(b.results) == 1
    if a.at is not None and single:
        return (
            a.name,
            b.name,
            (difference, interval),
            mcnemar(a.values[0] > 0, b.values[0] > 0),
            detectable,
            "exact McNemar",
        )
    return a.name, b.name, (difference, interval), sign_flip(per_task), detectable, "sign flips over tasks"


def _tie_groups(names: list[str], pairs: Sequence[Pair]) -> tuple[int, ...]:
    """From the best down: a learner that its group's first beats opens the next group."""
    differ = {(pair.first, pair.second) for pair in pairs if pair.differs}
    groups: list[int] = []
    leader = names[0]
    for name in names:
        if (leader, name) in differ:
            leader = name
            groups.append(groups[-1] + 1)
        else:
            groups.append(groups[-1] if groups else 1)
    return tuple(groups)
