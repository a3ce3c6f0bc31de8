"""The ledger: what a learner carries, how large it is, and how long it takes."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, fields, is_dataclass
from typing import Any

import numpy as np

from gpicl_bench.errors import LearnerError
from gpicl_bench.evaluation.metrics import ties
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.card import is_stochastic
from gpicl_bench.learners.prediction import calling
from gpicl_bench.learners.step import has_step_form, step_adapter
from gpicl_bench.learners.torch_module import loaded_torch, stepping

_NUMBER = 8  # bytes of a Python number, at least
_TIE = 1e-3  # relative: two forms may take their sums in another order
_NO_STATE = "no step form: it is given the whole context"


@dataclass(frozen=True)
class Ledger:
    """Costs.

    Attributes:
        state_bytes: what the step form carries from one example to the next, in bytes, at its largest; None: see
            `state`.
        state: how it was measured, or why not.
        parameters: of a module all its numbers, trained or not; else what the card says; None if unknown.
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

    Of a JAX learner the shapes say it all; of another one the first episode of the block is stepped through. Where the
    learner is asked in another form, its step form must answer alike: else it is the state of another learner.
    """
    if not has_step_form(learner):
        return None, _NO_STATE
    key = [block.keys[0].copy()] if is_stochastic(learner) else []
    try:
        if not adapter.form.startswith("step") and not _same_answers(learner, adapter, block):
            return None, "not measured: the step form answers otherwise"
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


def _same_answers(learner: Any, adapter: Adapter, block: Block) -> bool:
    """Whether the step form predicts as the adapter does, up to ties, on the first episode of the block.

    Raises:
        LearnerError: the step form fails.
    """
    one, asked = Block(block.tasks[:1], block.x[:1], block.y[:1], block.keys[:1]), np.arange(block.y.shape[1])
    stepped = step_adapter(learner, adapter.info, adapter.name, adapter.stochastic).predict(one, asked)
    return bool(ties(adapter.predict(one, asked), stepped.argmax(axis=2), _TIE).all())


def _known(size: int, how: str) -> tuple[int | None, str]:
    """Who keeps what it knows elsewhere has an empty state, and nothing can be said of its size."""
    return (size, how) if size else (None, "the state is empty: what it carries lies elsewhere")


def parameters(learner: Any, card: Mapping[str, Any], name: str) -> int | None:
    """How many numbers a learner has: of a module all that are counted, trained or not; else by its card.

    Raises:
        LearnerError: the card contradicts the count.
    """
    claimed = card.get("parameters")
    told = None if claimed is None else int(claimed)
    modules = getattr(learner, "parameters", None)
    if not callable(modules) or not hasattr(learner, "state_dict"):
        return told
    with calling(f"{name}.parameters"):
        counted = sum(int(parameter.numel()) for parameter in modules())
    if not counted:  # where they are kept is unknown: quantised modules pack them elsewhere
        return told
    if told not in (None, counted):
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


def _size(state: Any, seen: set[int] | None = None) -> int:
    """Bytes of arrays and numbers, however nested; memory that several arrays look at counts once.

    Args:
        state: of the step form.
        seen: the memory that has been counted, by its address.

    Raises:
        TypeError: it holds something else.
    """
    seen = set() if seen is None else seen
    if state is None:
        return 0
    if isinstance(state, int):
        return max(_NUMBER, (state.bit_length() + 7) // 8)
    if isinstance(state, float):
        return _NUMBER
    array = _array_size(state, seen)
    if array is not None:
        return array
    if isinstance(state, Mapping):
        return sum(_size(value, seen) for value in state.values())
    if isinstance(state, tuple | list):
        return sum(_size(value, seen) for value in state)
    if is_dataclass(state):
        return sum(_size(getattr(state, field.name), seen) for field in fields(state))
    import jax

    leaves = jax.tree.leaves(state)
    if len(leaves) == 1 and leaves[0] is state:
        raise TypeError(f"a state of the unknown kind {type(state).__name__}")
    return sum(_size(leaf, seen) for leaf in leaves)


def _array_size(state: Any, seen: set[int]) -> int | None:
    """Bytes of an array of NumPy, torch or JAX that have not been counted yet; None if it is none."""
    torch = loaded_torch()
    if isinstance(state, np.ndarray):
        return _memory(state, seen)
    if torch is not None and isinstance(state, torch.Tensor):
        if state.layout != torch.strided:
            raise TypeError(f"a tensor of the unknown kind {state.layout}")
        storage = state.untyped_storage()
        return _once(storage.data_ptr(), storage.nbytes(), seen)
    import jax

    if isinstance(state, np.generic | jax.ShapeDtypeStruct):
        _refuse_objects(state.dtype)
        return int(np.prod(state.shape, dtype=np.int64)) * int(state.dtype.itemsize)
    if isinstance(state, jax.Array):
        return _once(id(state), int(state.nbytes), seen)
    return None


def _memory(array: np.ndarray, seen: set[int]) -> int:
    """Of the array that owns the memory; what is broadcast has as much as there is."""
    mask = np.ma.getmask(array)
    more = _memory(mask, seen) if isinstance(mask, np.ndarray) else 0
    while isinstance(array.base, np.ndarray):
        array = array.base
    _refuse_objects(array.dtype)
    reach = sum((n - 1) * abs(stride) for n, stride in zip(array.shape, array.strides, strict=True))
    size = reach + array.itemsize if array.size else 0
    return more + _once(array.__array_interface__["data"][0], size, seen)


def _once(address: int, size: int, seen: set[int]) -> int:
    """The size at first, then 0."""
    fresh = address not in seen
    seen.add(address)
    return size if fresh else 0


def _refuse_objects(dtype: Any) -> None:
    if getattr(dtype, "hasobject", False):
        raise TypeError("an array of objects")
