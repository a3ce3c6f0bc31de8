"""What the processes of a run must have in common: an error of one is an error of all, for the others would wait."""

import json
import os
import sys
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from gpicl_bench.errors import GpiclBenchError

T = TypeVar("T")
ROOM = 8192  # bytes of an error
# How XLA begins what it says of a connection that is lost.
LOST = ("UNKNOWN:", "INTERNAL:", "UNAVAILABLE:", "ABORTED:", "CANCELLED:", "DEADLINE_EXCEEDED:")


class AnotherProcess(GpiclBenchError):
    """Another process of the run cannot go on, or is lost."""


def is_first() -> bool:
    """Whether this process has the folder of the run, and talks to the user; without other hosts, it does."""
    return jax.process_index() == 0


def together(work: Callable[[], T]) -> T:
    """What `work` gives in this process, once it has succeeded in all.

    Raises:
        AnotherProcess: it failed elsewhere. Where it failed its own error is raised.
    """
    if jax.process_count() == 1:
        return work()
    try:
        result = work()
    except (GpiclBenchError, OSError) as error:
        multihost_utils.process_allgather(_written(error))
        error.shared = True  # type: ignore[union-attr]
        raise
    for number, error in enumerate(multihost_utils.process_allgather(np.zeros(ROOM, np.uint8))):
        if error.any():
            said = json.loads(error.tobytes().rstrip(b"\0"))
            where = f"process {number}" + (f", {said['where']}" if said["where"] else "")
            raise AnotherProcess(**{**said, "where": where})
    return result


def by_first(work: Callable[[], tuple[T, dict[str, Any]]], like: T) -> tuple[T, dict[str, Any]]:
    """The arrays and the plain values that `work` gives in process 0, in all processes.

    Args:
        work: done in process 0 alone.
        like: the shapes of the arrays, a pytree.

    Raises:
        AnotherProcess: it failed. In process 0 its own error is raised.
    """
    if jax.process_count() == 1:
        return work()
    nothing = jax.tree.map(lambda a: np.zeros(a.shape, a.dtype), like), {}
    arrays, plain = together(work if is_first() else lambda: nothing)
    text = np.frombuffer(json.dumps(plain).encode(), np.uint8)
    size = int(multihost_utils.broadcast_one_to_all(np.int32(len(text))))
    text = multihost_utils.broadcast_one_to_all(text if is_first() else np.zeros(size, np.uint8))
    leaves, structure = jax.tree.flatten(arrays)
    # As bytes: the broadcast is a sum, and -0 + 0 = 0.
    sent = multihost_utils.broadcast_one_to_all([np.asarray(a).reshape(-1).view(np.uint8) for a in leaves])
    leaves = [b.view(a.dtype).reshape(a.shape) for a, b in zip(leaves, sent, strict=True)]
    return jax.tree.unflatten(structure, leaves), json.loads(text.tobytes())


@contextmanager
def ending_at_once() -> Iterator[None]:
    """Of a process that fails alone: at its regular end JAX would have it wait for the others, who wait for it.

    An error that all know of ends all of them, and goes its usual way.
    """
    try:
        yield
    except (GpiclBenchError, OSError) as error:
        if isinstance(error, AnotherProcess) or getattr(error, "shared", False):
            raise
        _end(f"error: {error}", 2)
    except KeyboardInterrupt:
        _end("interrupted: the same commands with --resume go on from the last checkpoint", 130)
    except Exception as error:
        lost = str(error).startswith(LOST)  # JAX raises it as JaxRuntimeError or as ValueError
        _end(traceback.format_exc() + (_lost(error) if lost else ""), 2 if lost else 1)


def _lost(error: Exception) -> str:
    lost = AnotherProcess(
        "the processes of the run have lost each other",
        got=str(error).splitlines()[0],
        hint="see what the others say; then the same commands with --resume go on from the last checkpoint",
    )
    return f"error: {lost}"


def _end(message: str, status: int) -> None:
    print(message, file=sys.stderr, flush=True)
    os._exit(status)


def _written(error: GpiclBenchError | OSError) -> np.ndarray:
    """An error as bytes, of one size for all."""
    fields = {name: getattr(error, name, None) for name in ("expected", "got", "where", "hint")}
    said = {"what": getattr(error, "what", str(error)), **fields}
    short = {name: None if value is None else str(value)[:250] for name, value in said.items()}
    return np.frombuffer(json.dumps(short).encode().ljust(ROOM, b"\0"), np.uint8)  # 5 × 250 × 6 bytes at the most
