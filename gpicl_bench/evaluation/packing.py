"""Arrays as text: little-endian bytes in row-major order, compressed with zlib, in base64."""

import base64
import math
import zlib
from collections.abc import Mapping
from typing import Any

import numpy as np

from gpicl_bench.errors import ResultError

LAYOUTS = {"prediction": "<i2", "outcome": "|b1", "log_loss": "<f4"}  # of a result


def pack_array(array: np.ndarray, layout: str) -> str:
    """One array as text."""
    return base64.b64encode(zlib.compress(array.astype(layout).tobytes(), 9)).decode()


def raw(arrays: Any) -> dict[str, bytes | None]:
    """The bytes of `prediction`, `outcome` and `log_loss`, attributes of one object; None where there is none."""
    named = {name: getattr(arrays, name) for name in LAYOUTS}
    return {name: None if a is None else a.astype(LAYOUTS[name]).tobytes() for name, a in named.items()}


def pack(arrays: Any) -> dict[str, str | None]:
    """The same, packed."""
    named = {name: getattr(arrays, name) for name in LAYOUTS}
    return {name: None if a is None else pack_array(a, LAYOUTS[name]) for name, a in named.items()}


def unpack(packed: Any, shape: tuple[int, int]) -> list[np.ndarray | None]:
    """Prediction, outcome and log-loss again.

    Raises:
        ResultError: an array is missing, damaged or of another size.
    """
    if not isinstance(packed, Mapping) or set(packed) != set(LAYOUTS):
        raise ResultError("the file has the wrong arrays", expected=", ".join(LAYOUTS))
    arrays = [None if packed[n] is None else unpack_array(n, packed[n], layout, shape) for n, layout in LAYOUTS.items()]
    if arrays[0] is None or arrays[1] is None:
        raise ResultError("the predictions are missing")
    return arrays


def unpack_array(name: str, packed: Any, layout: str, shape: tuple[int, int]) -> np.ndarray:
    """One array again; `name` is for errors.

    Raises:
        ResultError: it is damaged or of another size.
    """
    dtype = np.dtype(layout)
    size = math.prod(shape) * dtype.itemsize
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), size + 1)
    except (TypeError, ValueError, zlib.error) as error:
        raise ResultError(f"the array {name} is damaged", got=f"{type(error).__name__}: {error}") from error
    if len(raw) != size or (dtype.kind == "b" and raw.translate(None, b"\0\1")):
        raise ResultError(f"the array {name} is damaged", expected=f"{size} bytes", got=f"{len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))
