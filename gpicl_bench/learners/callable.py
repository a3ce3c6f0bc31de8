"""The callable form: `learner(context_x [k, D], context_y [k], query_x [1, D]) -> scores or label`."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt32

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.adapter import Block, Labels, Scores
from gpicl_bench.learners.prediction import calling, check_query, check_signature
from gpicl_bench.streams import child_key
from gpicl_bench.suite import Info


@dataclass(frozen=True)
class CallableAdapter:
    """Calls the learner once for each position, with what an honest learner may know and no more.

    The context lies in a buffer that is filled as time goes on: even through an array's `.base` a
    learner finds no later example and no later label. The arrays are read-only, so that a write by mistake is
    found; who makes them writable spoils a context of its own.
    """

    learner: Callable[..., Any]
    info: Info
    name: str
    stochastic: bool
    form: str = "callable"
    withholds_labels: bool = True
    block: int = 1

    def __post_init__(self) -> None:
        arguments = ("context_x", "context_y", "query_x", "key")
        check_signature(self.learner, arguments[: 3 + self.stochastic], self.name)

    def predict(self, block: Block, positions: Int64[np.ndarray, " P"]) -> Scores | Labels:
        answers: list[np.ndarray] = []
        for x, y, key, task in zip(block.x, block.y, block.keys, block.tasks, strict=True):
            answers.append(self._episode(x, y, key, positions, task))
            if answers[-1].ndim != answers[0].ndim:
                raise _mixed(f"{self.name}, task {task}")
        return np.stack(answers)

    def _episode(
        self,
        x: Float32[np.ndarray, "T D"],
        y: Int32[np.ndarray, " T"],
        key: UInt32[np.ndarray, "2"],
        positions: Int64[np.ndarray, " P"],
        task: int,
    ) -> np.ndarray:
        shown_x, shown_y, shown = np.zeros_like(x), np.zeros_like(y), 0
        context_x, context_y = _read_only(shown_x[:]), _read_only(shown_y[:])
        answers = []
        for t in positions.tolist():
            shown_x[shown:t], shown_y[shown:t], shown = x[shown:t], y[shown:t], t
            arguments = [context_x[:t], context_y[:t], _read_only(x[t : t + 1].copy())]
            if self.stochastic:
                arguments.append(child_key(key, t))
            where = f"{self.name}, task {task}, position {t}"
            with calling(where):
                raw = self.learner(*arguments)
            answers.append(check_query(raw, self.info, lambda where=where: where)[0])  # type: ignore[misc]
            if answers[-1].ndim != answers[0].ndim:
                raise _mixed(where)
        return np.stack(answers)


def _read_only(array: np.ndarray) -> np.ndarray:
    array.flags.writeable = False
    return array


def _mixed(where: str) -> LearnerError:
    return LearnerError(
        "the learner returns scores at some positions and labels at others",
        expected="one of the two, always",
        where=where,
    )
