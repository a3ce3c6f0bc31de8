"""The sequence form: a function marked `@gpicl_bench.sequence_learner`, a whole batch of episodes at once.

`(x [B, T, D], y [B, T]) -> scores [B, T, C]`; position t may use y before t only. The harness cannot
withhold the labels here: what such a learner scores needs an audit.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, UInt32

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.adapter import Block, Scores
from gpicl_bench.learners.prediction import calling, check_scores, check_signature
from gpicl_bench.suite import Info

BLOCK = 64  # episodes a call, always: a compiled learner compiles once, and no score depends on the batch

_MARK = "__gpicl_bench_sequence_learner__"
F = TypeVar("F", bound=Callable[..., Any])


def sequence_learner(function: F) -> F:
    """Mark a function `(x [B, T, D], y [B, T]) -> scores [B, T, C]` as a learner in the sequence form.

    A stochastic one (by its card) takes a third argument, keys uint32 `[B, 2]`.
    """
    if isinstance(function, type):
        raise LearnerError("only functions and objects can be marked", got=function.__name__, hint="mark an instance")
    try:
        setattr(function, _MARK, True)
    except AttributeError as error:
        raise LearnerError(
            "this object cannot be marked", got=type(function).__name__, hint="wrap it: a `def` that calls it"
        ) from error
    return function


def is_sequence_learner(learner: object) -> bool:
    return getattr(learner, _MARK, False) is True


def padded(array: np.ndarray) -> np.ndarray:
    """The array with its last row repeated up to a whole block, read-only."""
    missing = BLOCK - len(array)
    full = np.concatenate([array, np.repeat(array[-1:], missing, axis=0)]) if missing else array.copy()
    full.flags.writeable = False
    return full


@dataclass(frozen=True)
class SequenceAdapter:
    """Calls the learner once for each block."""

    learner: Callable[..., Any]
    info: Info
    name: str
    stochastic: bool
    form: str = "sequence"
    withholds_labels: bool = False
    block: int = BLOCK

    def __post_init__(self) -> None:
        check_signature(self.learner, ("x", "y", "keys")[: 2 + self.stochastic], self.name)

    def predict(self, block: Block, positions: Int64[np.ndarray, " P"]) -> Scores:
        size = len(block.tasks)
        names = [*block.tasks, *[block.tasks[-1]] * (BLOCK - size)]
        return self.scores(padded(block.x), padded(block.y), padded(block.keys), names)[:size, positions]

    def scores(
        self,
        x: Float32[np.ndarray, "B T D"],
        y: Int32[np.ndarray, "B T"],
        keys: UInt32[np.ndarray, "B 2"],
        tasks: Sequence[int] | None = None,
    ) -> Float64[np.ndarray, "B T C"]:
        """What the learner says of a batch as it is; `tasks` are the numbers of its rows, for errors."""

        def where(index: tuple[int, ...]) -> str:
            if not index:
                return self.name if tasks is None else f"{self.name}, tasks {tasks[0]} to {tasks[-1]}"
            row = index[0] if tasks is None else tasks[index[0]]
            return f"{self.name}, task {row}, position {index[1]}"

        with calling(where(())):
            raw = self.learner(*(x, y, keys)[: 2 + self.stochastic])
        return check_scores(raw, (*y.shape, self.info.C), self.info, where)
