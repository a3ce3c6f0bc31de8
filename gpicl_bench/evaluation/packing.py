"""Arrays as text: little-endian bytes in row-major order, compressed with zlib, in base64."""

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpicl_bench.errors import ResultError

LAYOUTS = {"prediction": "<i2", "outcome": "|b1", "log_loss": "<f4"}


def raw(arrays: Any) -> dict[str, bytes | None]:
    """The bytes of `prediction`, `outcome` and `log_loss`, attributes of one object; None where there is none."""
    named = {name: getattr(arrays, name) for name in LAYOUTS}
    return {name: None if a is None else a.astype(LAYOUTS[name]).tobytes() for name, a in named.items()}


def pack(arrays: Any) -> dict[str, str | None]:
    """The same, packed."""
    return {
        name: None if part is None else base64.b64encode(zlib.compress(part, 9)).decode()
        for name, part in raw(arrays).items()
    }


def unpack(packed: Any, shape: tuple[int, int]) -> list[np.ndarray | None]:
    """Prediction, outcome and log-loss again.

    Raises:
        ResultError: an array is missing, damaged or of another size.
    """
    if not isinstance(packed, Mapping) or set(packed) != set(LAYOUTS):
        raise ResultError("the file has the wrong arrays", expected=", ".join(LAYOUTS))
    arrays = [_unpack(name, packed[name], shape) for name in LAYOUTS]
    if arrays[0] is None or arrays[1] is None:
        raise ResultError("the predictions are missing")
    return arrays


def _unpack(name: str, packed: Any, shape: tuple[int, int]) -> np.ndarray | None:
    if packed is None:
        return None
    dtype = np.dtype(LAYOUTS[name])
    size = math.prod(shape) * dtype.itemsize
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), size + 1)
    except (TypeError, ValueError, zlib.error) as error:
        raise ResultError(f"the array {name} is damaged", got=f"{type(error).__name__}: {error}") from error
    if len(raw) != size or (name == "outcome" and max(raw, default=0) > 1):
        raise ResultError(f"the array {name} is damaged", expected=f"{size} bytes", got=f"{len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))
