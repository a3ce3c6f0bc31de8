"""What an audit found."""

from dataclasses import dataclass
from typing import Literal

from gpicl_bench.errors import InvalidArgument

Level = Literal["full", "quick"]
Status = Literal["passed", "failed", "not auditable", "not applicable"]


@dataclass(frozen=True)
class Check:
    """One property of a learner.

    Attributes:
        name: what must hold.
        status: `not applicable` where the form of the learner settles it, `not auditable` where two equal
            runs differ in a way that no key explains.
        comparisons: how many answers were compared.
        tolerance: `bits`, a relative difference, or a bound on a probability.
        detail: on failure the first offence; else why it does not apply, or what was measured.
    """

    __pydantic_config__ = {"extra": "forbid"}

    name: str
    status: Status
    comparisons: int
    tolerance: str
    detail: str


@dataclass(frozen=True)
class Audit:
    """All checks of one learner on one suite.

    Attributes:
        level: `full` or `quick`.
        num_tasks: how many tasks, half of them of record and half of a set drawn at the time.
        seed: of that set, and of every other choice; the same seed repeats the audit.
        checks: in the order in which they were made.
    """

    __pydantic_config__ = {"extra": "forbid"}

    level: Level
    num_tasks: int
    seed: str
    checks: tuple[Check, ...]

    @property
    def comparisons(self) -> int:
        return sum(check.comparisons for check in self.checks)

    @property
    def status(self) -> Literal["passed", "failed", "not auditable"]:
        """Passed only if something was compared and nothing failed."""
        found = {check.status for check in self.checks}
        if "not auditable" in found:
            return "not auditable"
        return "failed" if "failed" in found or self.comparisons == 0 else "passed"

    def check(self, name: str) -> Check:
        """The check of this name.

        Raises:
            InvalidArgument: it was not made: when equal runs differ, nothing else is.
        """
        made = {check.name: check for check in self.checks}
        if name not in made:
            raise InvalidArgument("this check was not made", expected=", ".join(made), got=repr(name))
        return made[name]
