"""Checks, run to the end: whoever fails one hears of the others too."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from gpicl_bench.errors import ConformanceError, GpiclBenchError


@dataclass(frozen=True)
class Outcome:
    """Of one check.

    Attributes:
        check: what must hold.
        status: `passed`, `failed` or `not applicable`.
        detail: what was expected and what came, or why it does not apply; empty where it passed.
    """

    check: str
    status: Literal["passed", "failed", "not applicable"]
    detail: str = ""


Check = Callable[[], str | None]  # None where it holds; why it does not apply; a breach is raised


def require(holds: bool, what: str, *, expected: object, got: object, where: str) -> None:
    """Raise ConformanceError unless it holds."""
    if not holds:
        raise ConformanceError(what, expected=str(expected), got=got, where=where)


def require_same(what: str, got: object, expected: object, where: str) -> None:
    """Raise ConformanceError unless both are equal."""
    require(got == expected, what, expected=expected, got=got, where=where)


def require_range(name: str, values: np.ndarray, end: int, where: str) -> None:
    """Raise ConformanceError unless whole numbers are in 0 … end - 1."""
    least, most = int(values.min()), int(values.max())
    holds = least >= 0 and most < end
    require(holds, f"{name} is out of range", expected=f"0 … {end - 1}", got=f"{least} … {most}", where=where)


def outcome(name: str, check: Check) -> Outcome:
    """Run one check. What it raises is why it failed, be it an error that nobody foresaw."""
    try:
        reason = check()
    except GpiclBenchError as error:
        said = {"expected": error.expected, "got": error.got, "where": error.where}
        details = [f"{key} {value}" for key, value in said.items() if value is not None]
        return Outcome(name, "failed", ", ".join([error.what, *details]))
    except Exception as error:
        return Outcome(name, "failed", f"{type(error).__name__}: {error}")
    return Outcome(name, "passed") if reason is None else Outcome(name, "not applicable", reason)


def outcomes(checks: Mapping[str, Check]) -> tuple[Outcome, ...]:
    """Of every check, in order."""
    return tuple(outcome(name, check) for name, check in checks.items())


def judge(subject: str, found: Sequence[Outcome]) -> tuple[Outcome, ...]:
    """The outcomes, where nothing failed.

    Raises:
        ConformanceError: it names every check that failed, and why; those that failed for one reason together.
    """
    reasons: dict[str, list[str]] = {}
    for each in found:
        if each.status == "failed":
            reasons.setdefault(each.detail, []).append(each.check)
    if not reasons:
        return tuple(found)
    lines = [f"  {', '.join(names)}: {reason}" for reason, names in reasons.items()]
    failed = sum(map(len, reasons.values()))
    error = ConformanceError("\n".join([f"{subject} fails {failed} of {len(found)} checks", *lines]))
    error.outcomes = tuple(found)
    raise error
