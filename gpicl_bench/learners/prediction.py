"""What a learner may return, and the errors for everything else."""

import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np
from jaxtyping import Float64, Int16, Int64

from gpicl_bench.errors import GpiclBenchError, LearnerError
from gpicl_bench.suite import Info

LARGEST = 1e30
_MESSAGE_LINES = 4


def check_query(
    raw: object, info: Info, where: Callable[[], str]
) -> Float64[np.ndarray, "1 C"] | Int64[np.ndarray, "1"]:
    """One answer of a learner that was asked one query: scores `[1, C]` or a class label `[1]`."""
    values = _array(raw, where)
    if values.shape == (1,) and values.dtype.kind in "iu":
        if not 0 <= values[0] < info.C:
            raise LearnerError(
                "a label is out of range", expected=f"0 … {info.C - 1}", got=int(values[0]), where=where()
            )
        return values.astype(np.int64)
    if values.shape == (1, info.C) and values.dtype.kind in "fiu":
        return finite(values.astype(np.float64), lambda _: where())
    raise LearnerError(
        "this is no prediction",
        expected=f"scores of shape (1, {info.C}), or one whole-number label of shape (1,)",
        got=f"{values.dtype} of shape {values.shape}",
        where=where(),
    )


def check_scores(
    raw: object, shape: tuple[int, ...], info: Info, where: Callable[[tuple[int, ...]], str]
) -> Float64[np.ndarray, "..."]:
    """Finite scores of exactly this shape; `where` locates an element by its index."""
    values = _array(raw, lambda: where(()))
    if values.shape != shape or values.dtype.kind not in "fiu":
        raise LearnerError(
            "these are no scores",
            expected=f"numbers of shape {shape}",
            got=f"{values.dtype} of shape {values.shape}",
            where=where(()),
        )
    return finite(values.astype(np.float64), where)


def finite(values: Float64[np.ndarray, "..."], where: Callable[[tuple[int, ...]], str]) -> Float64[np.ndarray, "..."]:
    good = np.abs(values) < LARGEST  # False for NaN
    if not good.all():
        first = tuple(int(i) for i in np.argwhere(~good)[0])
        raise LearnerError(
            "a score is not finite, or too large for a float32 log-loss",
            expected=f"logits below {LARGEST:g} in size; for probabilities p, log((1-ε)p + ε/C) with ε = 1/(k+C)",
            got=float(values[first]),
            where=where(first[:-1]),
        )
    return values


@contextmanager
def calling(
    where: str, kind: type[GpiclBenchError] = LearnerError, what: str = "the learner raised an error"
) -> Iterator[None]:
    """Around a call into a user's code: whatever it raises, an exit included, becomes the package's error."""
    try:
        yield
    except KeyboardInterrupt:
        raise
    except BaseException as error:  # also SystemExit: a learner must not end the process that measures it
        message = _message(error)
        hint = "the inputs are read-only: copy before you write" if "read-only" in message else None
        raise kind(
            what,
            got=f"{type(error).__name__}: {message}",
            where=where,
            hint=hint or "--traceback shows where it was raised",
        ) from error


def _message(error: BaseException) -> str:
    """The first lines of an error's message, where many libraries say what matters."""
    try:
        lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    except Exception:  # an error whose message cannot even be made
        return "(its message cannot be shown)"
    return " / ".join(lines[:_MESSAGE_LINES])


def predicted(
    answers: Float64[np.ndarray, "task position C"] | Int64[np.ndarray, "task position"],
) -> Int16[np.ndarray, "task position"]:
    """The predicted class: labels as they are; of scores the first largest."""
    return (answers.argmax(axis=-1) if answers.ndim == 3 else answers).astype(np.int16)


def check_signature(function: Callable[..., Any], arguments: tuple[str, ...], name: str) -> None:
    """Raise LearnerError unless `function` can be called with that many positional arguments."""
    try:
        signature = inspect.signature(function)
    except (TypeError, ValueError):
        return  # a compiled function may have none: the first call will tell
    try:
        signature.bind(*arguments)
    except TypeError as error:
        raise LearnerError(
            "a learner takes the wrong arguments",
            expected=f"({', '.join(arguments)})",
            got=str(signature),
            where=name,
        ) from error


def _array(raw: object, where: Callable[[], str]) -> np.ndarray:
    with calling(where(), what="this is no array"):
        values = np.asarray(raw)
    return values.astype(np.float32) if values.dtype.name == "bfloat16" else values
