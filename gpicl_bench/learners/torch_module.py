"""Torch modules as learners: `forward(x [B, T, D], y [B, T]) -> scores [B, T, C]`, or the methods of the step form.

A module gets tensors on its own device: x float32, y and keys int64, which torch takes for indices. It is asked in eval
mode and under `torch.no_grad()`. Not in inference mode: what a module keeps from a call, such as a table that it makes
once, must serve the training that goes on after it. One that learns by gradients while it answers writes
`with torch.enable_grad():` around them.

Nothing here imports torch: who has a torch module has imported it.
"""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from typing import Any

import numpy as np
from jaxtyping import Float32, Int32, UInt32


def loaded_torch() -> Any | None:
    """The module `torch` if it has been imported, whole; else None."""
    torch = sys.modules.get("torch")
    return torch if hasattr(torch, "nn") else None


def is_torch_module(learner: object) -> bool:
    torch = loaded_torch()
    return torch is not None and isinstance(learner, torch.nn.Module)


def sequence_form(module: Any) -> Callable[..., np.ndarray]:
    """The module as a function of arrays in the sequence form; its signature is that of `forward`."""

    @wraps(module.forward)
    def ask(
        x: Float32[np.ndarray, "B T D"], y: Int32[np.ndarray, "B T"], *keys: UInt32[np.ndarray, "B 2"]
    ) -> np.ndarray:
        tensors = _tensors(module, x, y, *keys)
        with _answering(module):
            return _array(module(*tensors))

    return ask


@dataclass(frozen=True)
class TorchStep:
    """A module's `init(*key)` and `step(state, x, y_prev)`, as functions of arrays.

    The state is the module's own affair: it is handed on as it is.
    """

    init: Callable[..., Any]
    step: Callable[..., tuple[Any, np.ndarray]]


def stepping(learner: Any) -> Any:
    """A learner with the step form, as it is; of a torch module, its step form as functions of arrays."""
    if not is_torch_module(learner):
        return learner

    @wraps(learner.init)
    def init(*key: UInt32[np.ndarray, "2"]) -> Any:
        tensors = _tensors(learner, *key)
        with _answering(learner):
            return learner.init(*tensors)

    @wraps(learner.step)
    def step(state: Any, x: Float32[np.ndarray, " D"], y_prev: int) -> tuple[Any, np.ndarray]:
        (shown,) = _tensors(learner, x)
        with _answering(learner):
            state, scores = learner.step(state, shown, y_prev)
            return state, _array(scores)

    return TorchStep(init, step)


@contextmanager
def _answering(module: Any) -> Iterator[None]:
    """Eval mode, and no gradients; afterwards every part is in the mode in which it was."""
    torch: Any = loaded_torch()
    modes = [(part, part.training) for part in module.modules()]
    training = any(mode for _, mode in modes)
    if training:
        module.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for part, mode in modes if training else ():
            part.train(mode)  # a whole comes before its parts, so that each part has the last word on itself


def _tensors(module: Any, *arrays: np.ndarray) -> list[Any]:
    """Copies on the module's device, float32 or int64."""
    torch: Any = loaded_torch()
    first = next(chain(module.parameters(), module.buffers()), None)
    device = "cpu" if first is None else first.device
    wide = [array if array.dtype.kind == "f" else array.astype(np.int64) for array in arrays]
    return [torch.tensor(array, device=device) for array in wide]


def _array(scores: Any) -> np.ndarray:
    """A tensor as an array in memory; bfloat16, which NumPy lacks, as float32.

    Raises:
        TypeError: it is no tensor.
    """
    torch: Any = loaded_torch()
    if not isinstance(scores, torch.Tensor):
        raise TypeError(f"a torch module must give a tensor of scores, this gives a {type(scores).__name__}")
    return (scores.float() if scores.dtype == torch.bfloat16 else scores).numpy(force=True)
