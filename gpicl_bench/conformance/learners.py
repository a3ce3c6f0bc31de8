"""`check_learner`: what every learner must keep."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np

from gpicl_bench.auditing import audit
from gpicl_bench.auditing.report import Level
from gpicl_bench.conformance.outcome import Outcome, judge, outcome, outcomes, require_range, require_same
from gpicl_bench.datasets import load_part
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.evaluation import Result, evaluate
from gpicl_bench.learners import LoadedLearner, adapt, named
from gpicl_bench.learners.card import check_card
from gpicl_bench.registration import make
from gpicl_bench.suite import Suite

_FEW, _MORE = 3, 5  # tasks


def check_learner(
    learner: Any, suite: str | Suite = "digits-proj-perm-v0", level: Level = "quick"
) -> tuple[Outcome, ...]:
    """Check that a learner keeps the contract of learners, in whatever form it is.

    Its form and its card are known; it answers at every kind of position, with finite scores or labels in range;
    asked again it answers the same, a stochastic one with the same keys; what it says of a task does not depend on how
    many others are asked. Then the audit: nothing written into its inputs, no use of later labels or inputs, of the
    batch, its order and size, of earlier tasks, of the public tasks.

    Args:
        learner: as for `evaluate`. One that `load_learner` has loaded from a file is also run in a process of its own,
            at level full.
        suite: a suite or its id, whose images are on this machine.
        level: of the audit, `quick` or `full`.

    Returns:
        The outcome of each check.

    Raises:
        ConformanceError: a check failed; the error names every one that did, what was expected and what came.
        InvalidArgument, MalformedId, SuiteNotFound: there is no such level or suite.
        DataUnavailable: the suite's images are not on this machine.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> {outcome.status for outcome in check_learner(KNeighborsClassifier(1))} <= {"passed", "not applicable"}
    True
    """
    chosen = make(suite) if isinstance(suite, str) else suite
    if not isinstance(chosen, Suite):
        raise InvalidArgument("this is no suite", expected="a suite or its id", got=type(suite).__name__)
    if level not in ("quick", "full"):
        raise InvalidArgument("there is no such level of audit", expected="quick or full", got=repr(level))
    load_part(chosen.spec.dataset, "test")  # images that are not here are no fault of the learner
    asked = _Asked(named(learner), chosen)
    subject = f"{asked.loaded.name} on {chosen.id}"
    first = outcomes({"card": asked.card, "form": asked.form})
    if any(each.status == "failed" for each in first):
        return judge(subject, first)  # nothing else can be asked
    answers = outcome("answers", asked.answers)
    if answers.status == "failed":
        return judge(subject, [*first, answers])
    more = outcomes({"asked again": asked.again, "number of tasks": asked.number_of_tasks})
    return judge(subject, [*first, answers, *more, *_audited(asked, level)])


@dataclass(frozen=True, eq=False)
class _Asked:
    """A learner and the suite that it is asked on."""

    loaded: LoadedLearner
    suite: Suite

    def card(self) -> None:
        check_card(self.loaded.learner, self.suite.info, self.loaded.name)

    def form(self) -> None:
        adapt(self.loaded.learner, self.suite.info, self.loaded.name)

    def answers(self) -> None:
        """At the first positions, in the middle and at the last: in range, finite."""
        result, where = self._few, self.loaded.name
        require_range("a label", result.prediction, self.suite.info.C, where)
        if result.log_loss is not None:
            require_same("a log-loss is not finite", bool(np.isfinite(result.log_loss).all()), True, where)

    def again(self) -> None:
        self._same(self._few, self._result(_FEW), "asked again it answers otherwise")

    def number_of_tasks(self) -> None:
        what = f"among {_MORE} tasks it answers otherwise than among {_FEW}"
        self._same(self._few, self._result(_MORE), what)

    @cached_property
    def _few(self) -> Result:
        return self._result(_FEW)

    def _result(self, num_tasks: int) -> Result:
        last = self.suite.info.T - 1
        positions = sorted({0, 1, min(2, last), last // 2, last})
        return evaluate(self.loaded, self.suite, num_tasks=num_tasks, positions=positions, audit="off")

    def _same(self, one: Result, other: Result, what: str) -> None:
        for name in ("prediction", "log_loss"):
            a, b = getattr(one, name), getattr(other, name)
            require_same(f"{what}: scores and labels", b is None, a is None, self.loaded.name)
            for row, column in [] if a is None else np.argwhere(a != b[: len(a)])[:1].tolist():
                place = f"{self.loaded.name}, task {row}, position {one.setting.positions[column]}, {name}"
                require_same(what, b[row, column], a[row, column], place)


def _audited(asked: _Asked, level: Level) -> Sequence[Outcome]:
    """The checks of the audit."""
    made = []

    def run() -> None:
        found = audit(asked.loaded, asked.suite, level)
        for check in found.checks:
            failed = check.status in ("failed", "not auditable")
            status = "failed" if failed else "passed" if check.status == "passed" else "not applicable"
            detail = "" if status == "passed" else check.detail
            made.append(Outcome(check.name, status, f"{detail} (audit seed {found.seed})" if failed else detail))  # type: ignore[arg-type]

    whole = outcome("audit", run)
    return made if whole.status == "passed" else [*made, whole]
