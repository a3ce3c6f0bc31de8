"""What a learner may return, and the errors for everything else."""

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from gpicl_bench.errors import LearnerError
from gpicl_bench.suite import Info

LARGEST = 1e30


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


def raised(error: Exception, where: str) -> LearnerError:
    """The error for a learner that raised."""
    reason = str(error).strip().splitlines()
    hint = "the inputs are read-only: copy before you write" if "read-only" in str(error) else None
    return LearnerError(
        "the learner raised an error",
        got=f"{type(error).__name__}: {reason[0] if reason else ''}",
        where=where,
        hint=hint or "--traceback shows where it was raised",
    )


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
    try:
        values = np.asarray(raw)
    except (TypeError, ValueError) as error:
        raise LearnerError("this is no array", got=f"{type(raw).__name__}: {error}", where=where()) from error
    return values.astype(np.float32) if values.dtype.name == "bfloat16" else values
