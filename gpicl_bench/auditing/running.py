"""The audit: draws its tasks, asks, and puts the checks together."""

import secrets
from dataclasses import replace
from typing import Any

import numpy as np
from jaxtyping import Int64

from gpicl_bench.auditing import checks
from gpicl_bench.auditing.asking import Answers, Bench, ask, ask_mixed, draw_bench
from gpicl_bench.auditing.perturbation import CUTS, plan
from gpicl_bench.auditing.process import fresh_process
from gpicl_bench.auditing.report import Audit, Check, Level
from gpicl_bench.errors import InvalidArgument, LearnerError, check_integer
from gpicl_bench.learners import Adapter, LoadedLearner, adapt, load_learner, named
from gpicl_bench.learners.card import is_stochastic
from gpicl_bench.learners.prediction import predicted
from gpicl_bench.learners.step import has_step_form, step_adapter
from gpicl_bench.learners.threads import one_thread
from gpicl_bench.progress import bar
from gpicl_bench.registration import make
from gpicl_bench.streams import root_key
from gpicl_bench.suite import Suite

_BENCHES = {"quick": 1, "full": 2}  # of 64 tasks
_CUTS = {"quick": 2, "full": 6}  # of each kind, for each task
_POSITIONS = 8  # asked of learners that answer one query at a time


def audit(
    learner: Any,
    suite: str | Suite,
    level: Level = "full",
    *,
    learner_seed: int = 0,
    seed: str | None = None,
    progress: bool = False,
) -> Audit:
    """Look for evidence that a learner's predictions rest on anything but the examples before.

    Args:
        learner: as for `evaluate`.
        suite: a suite or its id.
        level: `full` (128 tasks) or `quick` (64 tasks, fewer cuts, no process of its own).
        learner_seed: of the keys that a stochastic learner gets; the audit keeps them fixed.
        seed: 64 hex digits that decide every choice of the audit; None: drawn now, so that no learner can know it.
        progress: show a bar on standard error.

    Raises:
        LearnerError: the learner raised, or returned something that is no prediction.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> audit(KNeighborsClassifier(1), "digits-proj-perm-v0", "quick").status
    'passed'
    """
    chosen = make(suite) if isinstance(suite, str) else suite
    if not isinstance(chosen, Suite):
        raise InvalidArgument("this is no suite", expected="a suite or its id", got=type(suite).__name__)
    if level not in _BENCHES:
        raise InvalidArgument("there is no such level of audit", expected=", ".join(_BENCHES), got=repr(level))
    learner_seed = check_integer("learner_seed", learner_seed, 0, 2**64 - 1)
    seed = secrets.token_hex(32) if seed is None else seed
    record, fresh = chosen.meta_test, chosen.at_round(seed).meta_test
    rng = np.random.default_rng(root_key(f"gpicl-bench/audit/{seed}"))
    loaded = named(learner)
    adapter = adapt(loaded.learner, record.info, loaded.name)
    benches = [draw_bench(record, fresh, learner_seed, rng) for _ in range(_BENCHES[level])]
    positions = _positions(adapter, record.info.T, rng)
    calls = len(benches) * (2 + (0 if adapter.withholds_labels else len(CUTS) * _CUTS[level]))
    with one_thread(), bar(f"audit of {loaded.name}", calls, progress) as advance:
        found = _Audited(adapter, loaded, benches, positions, level, rng)
        done = found.run(advance)
    return Audit(level, sum(len(b.tasks) for b in benches), seed, tuple(done))


def unanswered(error: LearnerError) -> Check:
    """The check that fails where a learner that has answered raises, or answers with what is no prediction."""
    return Check("answers", "failed", 0, "", f"{error.what}: {error.got}, {error.where}")


class _Audited:
    """One learner on its benches."""

    def __init__(
        self,
        adapter: Adapter,
        loaded: LoadedLearner,
        benches: list[Bench],
        positions: Int64[np.ndarray, " P"],
        level: Level,
        rng: np.random.Generator,
    ) -> None:
        self.adapter, self.loaded, self.benches = adapter, loaded, benches
        self.positions, self.level, self.rng = positions, level, rng
        self.info = adapter.info
        self.first: list[Answers] = []

    def run(self, advance: Any) -> list[Check]:
        equal = self._equal_runs()
        if equal.status != "passed":
            return [equal]  # nothing can be concluded from differences while equal runs differ
        found = [equal]
        try:
            found += self._mixed(advance)
            found += self._shapes()
            again = np.concatenate([ask(self.adapter, bench, self.positions) for bench in self.benches])
            found.append(self._equal("earlier tasks", again, "after other tasks"))
        except LearnerError as error:  # it answered before: an answer that depends on what is asked, or when
            found.append(unanswered(error))
        if self.level == "full":
            found.append(fresh_process(self.adapter, self.loaded, self.info, self.benches[0], self.positions))
        return found

    def _equal_runs(self) -> Check:
        self.first = [ask(self.adapter, bench, self.positions) for bench in self.benches]
        again = np.concatenate([ask(self.adapter, bench, self.positions) for bench in self.benches])
        equal = self._equal("equal runs", again, "when asked again")
        if equal.status == "passed":
            return equal
        if self._reproducible():
            return replace(equal, detail=f"{equal.detail}: state is kept between calls")
        cause = "randomness without a key, or state kept between calls"
        return replace(equal, status="not auditable", detail=f"{equal.detail}: {cause}")

    def _reproducible(self) -> bool:
        """Whether two fresh copies of the learner, without history, answer alike."""
        if self.loaded.path is None:
            return False
        fresh = [
            adapt(load_learner(self.loaded.path, self.info, self.loaded.args).learner, self.info, self.loaded.name)
            for _ in range(2)
        ]
        one, other = (ask(adapter, self.benches[0], self.positions) for adapter in fresh)
        return np.array_equal(one, other)

    def _mixed(self, advance: Any) -> list[Check]:
        cuts = 0 if self.adapter.withholds_labels else _CUTS[self.level]
        plans = [plan(len(bench.tasks), self.info.T, cuts, self.rng) for bench in self.benches]
        mixed = [
            ask_mixed(self.adapter, bench, self.positions, variants, self.rng, advance)
            for bench, variants in zip(self.benches, plans, strict=True)
        ]
        beside = np.concatenate([m.answers[0] for m in mixed])
        found = [self._equal("batch neighbours", beside, "beside other tasks")]
        if cuts:
            each = [
                checks.perturbed(self.adapter, bench, self.positions, variants, m)
                for bench, variants, m in zip(self.benches, plans, mixed, strict=True)
            ]
            found += [_merged(same) for same in zip(*each, strict=True)]
        else:
            reason = "the harness withholds what comes later"
            found += [Check(kind, "not applicable", 0, "", reason) for kind in CUTS]
        shown = np.concatenate([m.labels[-1] for m in mixed])[:, self.positions]
        correct = predicted(np.concatenate([m.answers[-1] for m in mixed])) == shown
        found.append(checks.honeypots(int(correct.sum()), correct.size, self.info.C))
        y = np.concatenate([bench.y for bench in self.benches])[:, self.positions]
        accuracy = (predicted(np.concatenate(self.first)) == y).mean(axis=1)
        found.append(checks.public_tasks(accuracy, np.concatenate([bench.stratum for bench in self.benches])))
        return found

    def _shapes(self) -> list[Check]:
        bench, whole = self.benches[0], self.first[0]
        length = int(self.rng.integers(self.info.T // 2, self.info.T))
        learner, name = self.loaded.learner, self.loaded.name
        two_forms = self.adapter.form == "sequence" and has_step_form(learner)
        step = step_adapter(learner, self.info, name, is_stochastic(learner)) if two_forms else None
        return [
            *checks.batch(self.adapter, bench, self.positions, whole, self.rng),
            checks.shorter(self.adapter, bench, self.positions, length, whole),
            checks.queries(self.adapter, bench, self.positions),
            checks.forms_agree(step, bench, self.positions, whole),
            checks.untouched(self.adapter, bench),
        ]

    def _equal(self, name: str, answers: Answers, blame: str) -> Check:
        return _merged(
            [
                checks.equal_bits(name, bench, self.positions, first, part, blame)
                for bench, first, part in zip(
                    self.benches, self.first, np.split(answers, len(self.benches)), strict=True
                )
            ]
        )


def _positions(adapter: Adapter, length: int, rng: np.random.Generator) -> Int64[np.ndarray, " P"]:
    """Every position; of a learner that is asked one query at a time, some and the last."""
    if adapter.form not in ("callable", "scikit-learn"):
        return np.arange(length)
    some = rng.choice(length - 1, size=min(_POSITIONS, length - 1), replace=False)
    return np.append(np.sort(some), length - 1).astype(np.int64)


def _merged(same: Any) -> Check:
    """One check over all benches: the first failure, and all comparisons."""
    parts = list(same)
    worst = next((part for part in parts if part.status == "failed"), parts[0])
    return Check(worst.name, worst.status, sum(p.comparisons for p in parts), worst.tolerance, worst.detail)
