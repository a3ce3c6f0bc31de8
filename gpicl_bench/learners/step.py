"""The step form: an object with `init() -> state` and `step(state, x [D], y_prev) -> (state, scores [C])`.

`y_prev` is the label of the example before, -1 at first. A stochastic learner's `init` takes a key.
A learner with the attribute `jax = True` is run under `jit`, `vmap` and `lax.scan`: its state is a pytree
of arrays, its methods are pure.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, Int64, UInt32

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.adapter import Block, Scores
from gpicl_bench.learners.prediction import calling, check_scores, check_signature
from gpicl_bench.learners.sequence import BLOCK, padded
from gpicl_bench.learners.torch_module import is_torch_module, stepping
from gpicl_bench.suite import Info


def previous_labels(y: Int32[np.ndarray, "B T"]) -> Int32[np.ndarray, "B T"]:
    """The label of the example before, -1 at first."""
    return np.concatenate([np.full_like(y[:, :1], -1), y[:, :-1]], axis=1)


@dataclass(frozen=True)
class StepAdapter:
    """Steps through each episode in plain Python."""

    learner: Any
    info: Info
    name: str
    stochastic: bool
    form: str = "step"
    withholds_labels: bool = True
    block: int = 1

    def __post_init__(self) -> None:
        check_signature(self.learner.init, ("key",) * self.stochastic, f"{self.name}.init")
        check_signature(self.learner.step, ("state", "x", "y_prev"), f"{self.name}.step")

    def predict(self, block: Block, positions: Int64[np.ndarray, " P"]) -> Scores:
        y_prev = previous_labels(block.y)
        rows = [
            self._episode(x, y, key, int(positions[-1]) + 1, task)
            for x, y, key, task in zip(block.x, y_prev, block.keys, block.tasks, strict=True)
        ]
        return np.stack(rows)[:, positions]

    def _episode(
        self,
        x: Float32[np.ndarray, "T D"],
        y_prev: Int32[np.ndarray, " T"],
        key: UInt32[np.ndarray, "2"],
        length: int,
        task: int,
    ) -> np.ndarray:
        scores = np.empty((length, self.info.C))
        state: Any = None
        for t in range(length):
            where = f"{self.name}, task {task}, position {t}"
            shown = x[t].copy()
            shown.flags.writeable = False
            with calling(where):
                if t == 0:
                    state = self.learner.init(*([key.copy()] if self.stochastic else []))
                state, raw = self.learner.step(state, shown, int(y_prev[t]))
            scores[t] = check_scores(raw, (self.info.C,), self.info, lambda _, where=where: where)  # type: ignore[misc]
        return scores


@dataclass(frozen=True)
class JaxStepAdapter:
    """Steps through a block of episodes at once, on JAX's default device."""

    learner: Any
    info: Info
    name: str
    stochastic: bool
    form: str = "step (JAX)"
    withholds_labels: bool = True
    block: int = BLOCK

    def predict(self, block: Block, positions: Int64[np.ndarray, " P"]) -> Scores:
        length, size = int(positions[-1]) + 1, len(block.tasks)
        inputs = block.x[:, :length], previous_labels(block.y)[:, :length], block.keys
        with calling(f"{self.name}, tasks {block.tasks[0]} to {block.tasks[-1]}"):
            raw = self._run(*map(padded, inputs))
        if not hasattr(raw, "shape") or len(raw.shape) < 2:
            raise LearnerError("step must return (state, scores)", got=type(raw).__name__, where=self.name)

        def where(index: tuple[int, ...]) -> str:
            return f"{self.name}, task {block.tasks[index[0]]}, position {index[1]}" if index else self.name

        return check_scores(raw[:size], (size, length, self.info.C), self.info, where)[:, positions]

    @cached_property
    def _run(self) -> Callable[..., Any]:
        import jax

        def episode(x: Any, y_prev: Any, key: Any) -> Any:
            state = self.learner.init(*([key] if self.stochastic else []))
            return jax.lax.scan(lambda state, example: self.learner.step(state, *example), state, (x, y_prev))[1]

        return jax.jit(jax.vmap(episode))


def has_step_form(learner: object) -> bool:
    """Whether a learner has both methods of the step form; the parts of a torch module are no methods."""
    methods = getattr(learner, "init", None), getattr(learner, "step", None)
    return all(callable(method) and not is_torch_module(method) for method in methods)


def step_adapter(learner: Any, info: Info, name: str, stochastic: bool) -> StepAdapter | JaxStepAdapter:
    """The adapter for the step form of a learner, under JAX if it says so."""
    form = JaxStepAdapter if getattr(learner, "jax", False) is True else StepAdapter
    return form(stepping(learner), info, name, stochastic)
