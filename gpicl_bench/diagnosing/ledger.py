"""The ledger: what a learner carries, how large it is, and how long it takes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.card import is_stochastic
from gpicl_bench.learners.prediction import calling
from gpicl_bench.learners.step import has_step_form
from gpicl_bench.learners.torch_module import stepping

_NUMBER = 8  # bytes of a Python number
_NO_STATE = "no step form: it is given the whole context"


@dataclass(frozen=True)
class Ledger:
    """Costs.

    Attributes:
        state_bytes: what the step form carries from one example to the next, in bytes, at its largest; None: see
            `state`.
        state: how it was measured, or why not.
        parameters: numbers that meta-training has set, by the module or by the card; None if unknown.
        first_seconds: of the first call, compilation included.
        episode_seconds: of an episode in later calls.
        episodes_a_call: 64 for learners that take batches, else 1.
        device: where.
    """

    __pydantic_config__ = {"extra": "forbid"}

    state_bytes: int | None
    state: str
    parameters: int | None
    first_seconds: float
    episode_seconds: float
    episodes_a_call: int
    device: str


def state_bytes(learner: Any, adapter: Adapter, block: Block) -> tuple[int | None, str]:
    """The bytes of the state of the step form, and how they were found; None with the reason if they cannot be.

    Of a JAX learner the shapes say it all; of another one the first episode of the block is stepped through.
    """
    if not has_step_form(learner):
        return None, _NO_STATE
    key = [block.keys[0].copy()] if is_stochastic(learner) else []
    try:
        with calling(adapter.name):
            if getattr(learner, "jax", False) is True:
                import jax

                return _known(_size(jax.eval_shape(learner.init, *key)), "shapes of init()")
            stepped = stepping(learner)
            largest, state = 0, stepped.init(*key)
            for t in range(len(block.y[0])):
                state, _ = stepped.step(state, block.x[0, t].copy(), int(block.y[0, t - 1]) if t else -1)
                largest = max(largest, _size(state))
            return _known(largest, "largest within an episode")
    except LearnerError as error:
        return None, f"not measured: {error.got}"


def _known(size: int, how: str) -> tuple[int | None, str]:
    """Who keeps what it knows elsewhere has an empty state, and nothing can be said of its size."""
    return (size, how) if size else (None, "the state is empty: what it carries lies elsewhere")


def parameters(learner: Any, card: Mapping[str, Any], name: str) -> int | None:
    """How many numbers meta-training has set: counted where the learner is a module, else by its card.

    Raises:
        LearnerError: the card contradicts the count.
    """
    claimed = card.get("parameters")
    modules = getattr(learner, "parameters", None)
    if not callable(modules) or not hasattr(learner, "state_dict"):
        return None if claimed is None else int(claimed)
    with calling(f"{name}.parameters"):
        counted = sum(int(parameter.numel()) for parameter in modules())
    if claimed not in (None, counted):
        raise LearnerError(
            "the card contradicts the learner", expected=f"parameters: {counted}", got=claimed, where=name
        )
    return counted


def timed(adapter: Adapter, block: Block, repeats: int = 3) -> tuple[float, float]:
    """Seconds of the first call, and of an episode in the fastest of some later ones."""
    positions = np.arange(block.y.shape[1])
    seconds = []
    for _ in range(1 + repeats):
        begin = time.perf_counter()
        adapter.predict(block, positions)
        seconds.append(time.perf_counter() - begin)
    return seconds[0], min(seconds[1:]) / len(block.tasks)


def _size(state: Any) -> int:
    """Bytes of arrays and numbers, however nested.

    Raises:
        TypeError: it holds something else.
    """
    if state is None:
        return 0
    if isinstance(state, bool | int | float):
        return _NUMBER
    if hasattr(state, "dtype") and hasattr(state, "shape") and hasattr(state.dtype, "itemsize"):
        if state.dtype == object:
            raise TypeError("an array of objects")
        return int(np.prod(state.shape, dtype=np.int64)) * int(state.dtype.itemsize)
    if isinstance(state, Mapping):
        return sum(map(_size, state.values()))
    if isinstance(state, tuple | list):
        return sum(map(_size, state))
    if is_dataclass(state):
        return sum(_size(getattr(state, field.name)) for field in fields(state))
    import jax

    leaves = jax.tree.leaves(state)
    if len(leaves) == 1 and leaves[0] is state:
        raise TypeError(f"a state of the unknown kind {type(state).__name__}")
    return sum(map(_size, leaves))
