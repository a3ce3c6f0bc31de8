"""Every error that a user of the package can meet.

Each one says what went wrong, what was expected, what came, where, and what to do next.
"""

import operator
from typing import Any

import numpy as np


class GpiclBenchError(Exception):
    """Base of all errors of the package.

    Args:
        what: one sentence, the error itself.
        expected: what would have been right.
        got: the offending value, as the user gave it.
        where: learner, task, position, file: whatever locates the fault.
        hint: what to do next.
    """

    def __init__(
        self,
        what: str,
        *,
        expected: str | None = None,
        got: object = None,
        where: str | None = None,
        hint: str | None = None,
    ) -> None:
        self.what, self.expected, self.got, self.where, self.hint = what, expected, got, where, hint
        details = {"expected": expected, "got": got, "where": where, "what to do": hint}
        lines = [f"  {name}: {value}" for name, value in details.items() if value is not None]
        super().__init__("\n".join([what, *lines]))


class InvalidArgument(GpiclBenchError, ValueError):
    """An argument of a public function is outside its range."""


def check_integer(name: str, value: object, least: int, most: int) -> int:
    """`value` as a Python integer.

    Raises:
        InvalidArgument: it is no integer (of Python or NumPy), or not in least … most.
    """
    truth = isinstance(value, bool | np.bool_)  # which is an index in NumPy 2.0, with a warning
    try:
        number = least - 1 if truth else operator.index(value)  # type: ignore[arg-type]
    except TypeError:
        number = least - 1
    if not least <= number <= most:
        raise InvalidArgument(f"{name} is out of range", expected=f"an integer from {least} to {most}", got=repr(value))
    return number


class MalformedId(GpiclBenchError, ValueError):
    """An id does not follow the grammar of suites or of benchmarks."""


class SuiteNotFound(GpiclBenchError, LookupError):
    """No suite or benchmark has this name."""


class VersionNotFound(SuiteNotFound):
    """The suite exists, this version of it does not."""


class DeprecatedSuite(SuiteNotFound):
    """The version was withdrawn in favour of another."""


class AlreadyRegistered(GpiclBenchError, ValueError):
    """The id already names another suite."""


class PluginError(GpiclBenchError):
    """A plug-in cannot be loaded: it raises, or registers what is taken or malformed."""


class ConformanceError(GpiclBenchError):
    """A suite or a learner does not keep the contract; every check that failed is named.

    Attributes:
        outcomes: of all checks (`gpicl_bench.conformance.Outcome`).
    """

    outcomes: tuple[Any, ...] = ()


class DataUnavailable(GpiclBenchError):
    """The images of a base dataset are not on this machine."""


class DataCorrupt(GpiclBenchError):
    """Data is there, but it is damaged or is not what the protocol pins."""


class CacheError(GpiclBenchError, OSError):
    """The cache folder cannot be written."""


class LearnerFileError(GpiclBenchError):
    """A learner file cannot be loaded, or defines no learner."""


class LearnerError(GpiclBenchError):
    """A learner raised, or returned something that is no prediction."""


class ResultError(GpiclBenchError):
    """A result cannot be read, written or derived."""


class PictureError(GpiclBenchError):
    """A picture cannot be drawn."""


class ReportError(GpiclBenchError):
    """A report cannot be made."""


class EntryError(GpiclBenchError):
    """A leaderboard entry cannot be made, read or verified."""


class RoundError(GpiclBenchError):
    """A hidden round refuses what it was asked."""


class ResetNeeded(GpiclBenchError, RuntimeError):
    """An environment was stepped before its first reset, or after its end."""


class IndexOutOfRange(GpiclBenchError, IndexError):
    """A dataset has no element at this index."""


class ExportError(GpiclBenchError):
    """A file of episodes cannot be written."""
