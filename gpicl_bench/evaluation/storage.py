"""Results as JSON files: readable fields, packed arrays, and a digest over everything but the times.

Arrays are little-endian bytes in row-major order, compressed with zlib, in base64. The digest is the
SHA-256 of the canonical JSON (keys sorted, no spaces) of the file without `digest` and `times`, each
array replaced by the SHA-256 of its bytes: so two equal runs have equal digests on any machine whose
provenance is equal.
"""

import base64
import hashlib
import json
import math
import os
import tempfile
import zlib
from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation.results import LearnerRecord, Provenance, Result, Setting, Times

FORMAT = "gpicl-bench-result/1"
_LAYOUTS = {"prediction": "<i2", "outcome": "|b1", "log_loss": "<f4"}
_PARTS = {"setting": Setting, "learner": LearnerRecord, "provenance": Provenance, "times": Times}


def summary(result: Result) -> dict[str, Any]:
    """The derived numbers that a file shows; they are recomputed when it is read."""
    last = len(result.setting.positions) - 1
    return {
        "score": result.score,
        "score_interval": _finite(result.score_interval),
        f"accuracy@{result.setting.positions[last]}": float(result.accuracy[last]),
        f"accuracy@{result.setting.positions[last]}_interval": result.accuracy_interval[last].tolist(),
        "total_bits": result.total_bits,
        "total_bits_interval": _finite(result.total_bits_interval),
    }


def digest(result: Result) -> str:
    """The digest of a result, hex."""
    return _digest(_fields(result), {name: _raw(result, name) for name in _LAYOUTS})


def save_result(result: Result, path: Path) -> None:
    """Write a result to `path`, whole or not at all.

    Raises:
        ResultError: the file cannot be written.
    """
    packed = {name: _pack(_raw(result, name)) for name in _LAYOUTS}
    content = {**_fields(result), "arrays": packed, "digest": digest(result), "times": asdict(result.times)}
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place, then rename it.

    Raises:
        ResultError: the folder is missing or cannot be written, or the disk is full; nothing is left behind.
    """
    scratch: str | None = None
    try:
        handle, scratch = tempfile.mkstemp(prefix=f".{path.name}-", dir=path.parent)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(scratch, 0o644)
        os.replace(scratch, path)
        scratch = None
    except OSError as error:
        raise ResultError(
            "the result cannot be written", got=error.strerror, where=str(path), hint="choose another --output"
        ) from error
    finally:
        if scratch is not None and os.path.exists(scratch):
            os.unlink(scratch)


def load_result(path: str | Path) -> Result:
    """Read a result file and check it: schema, digest, and that its numbers follow from its predictions.

    Raises:
        ResultError: the file is missing, truncated, edited or inconsistent; the error says which.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ResultError("this is no result file", got=f"{type(error).__name__}: {error}", where=str(path)) from error
    try:
        return _read(content)
    except ResultError as error:
        raise ResultError(
            error.what, expected=error.expected, got=error.got, where=str(path), hint=error.hint
        ) from error


def _read(content: Any) -> Result:
    wanted = {"format", *_PARTS, "summary", "arrays", "digest"}
    if not isinstance(content, dict) or set(content) != wanted or content["format"] != FORMAT:
        found = sorted(map(str, content)) if isinstance(content, dict) else type(content).__name__
        raise ResultError("the file has the wrong fields", expected=f"{sorted(wanted)}, format {FORMAT}", got=found)
    setting, learner, provenance, times = (_validated(kind, content[name], name) for name, kind in _PARTS.items())
    _check_setting(setting)
    prediction, outcome, log_loss = _unpacked(content["arrays"], (setting.num_tasks, len(setting.positions)))
    if prediction is None or outcome is None:
        raise ResultError("the predictions are missing")
    result = Result(setting, learner, provenance, times, prediction, outcome, log_loss)
    found = _digest({k: v for k, v in content.items() if k not in ("arrays", "digest", "times")}, _raws(result))
    if found != content["digest"]:
        raise ResultError(
            "the file was altered after it was written", expected=f"digest {content['digest']}", got=found
        )
    _check_consistency(result, content["summary"])
    return result


def _check_setting(setting: Setting) -> None:
    if not 1 <= setting.num_tasks <= 2**32 or not setting.positions:
        raise ResultError("the result is empty", expected="a task and a position, or more", got=setting.num_tasks)
    if list(setting.positions) != sorted({p for p in setting.positions if 0 <= p < setting.num_examples}):
        raise ResultError("the positions are out of range", expected=f"ascending, 0 … {setting.num_examples - 1}")


def _check_consistency(result: Result, shown: Mapping[str, Any]) -> None:
    setting = result.setting
    if not ((result.prediction >= 0) & (result.prediction < setting.num_classes)).all():
        raise ResultError("a prediction is out of range", expected=f"0 … {setting.num_classes - 1}")
    for name, value in summary(result).items():
        if name not in shown or not _close(shown[name], value):
            raise ResultError(f"{name} does not follow from the predictions", expected=str(value), got=shown.get(name))


def _close(shown: Any, value: Any) -> bool:
    if value is None or shown is None:
        return shown is value
    return bool(np.allclose(np.asarray(shown, np.float64), np.asarray(value, np.float64), rtol=1e-6, atol=1e-9))


def _fields(result: Result) -> dict[str, Any]:
    parts = {name: asdict(getattr(result, name)) for name in _PARTS if name != "times"}
    fields: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **parts, "summary": summary(result)}))
    return fields


def _digest(fields: Mapping[str, Any], raws: Mapping[str, bytes | None]) -> str:
    arrays = {name: None if raw is None else hashlib.sha256(raw).hexdigest() for name, raw in raws.items()}
    canonical = json.dumps({**fields, "arrays": arrays}, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(canonical.encode()).hexdigest()


def _raw(result: Result, name: str) -> bytes | None:
    array = getattr(result, name)
    return None if array is None else array.astype(_LAYOUTS[name]).tobytes()


def _raws(result: Result) -> dict[str, bytes | None]:
    return {name: _raw(result, name) for name in _LAYOUTS}


def _pack(raw: bytes | None) -> str | None:
    return None if raw is None else base64.b64encode(zlib.compress(raw, 9)).decode()


def _unpacked(arrays: Any, shape: tuple[int, int]) -> list[np.ndarray | None]:
    if not isinstance(arrays, dict) or set(arrays) != set(_LAYOUTS):
        raise ResultError("the file has the wrong arrays", expected=", ".join(_LAYOUTS))
    return [_unpack(name, arrays[name], shape) for name in _LAYOUTS]


def _unpack(name: str, packed: Any, shape: tuple[int, int]) -> np.ndarray | None:
    if packed is None:
        return None
    dtype = np.dtype(_LAYOUTS[name])
    size = math.prod(shape) * dtype.itemsize
    try:
        raw = zlib.decompressobj().decompress(base64.b64decode(packed, validate=True), size + 1)
    except (TypeError, ValueError, zlib.error) as error:
        raise ResultError(f"the array {name} is damaged", got=f"{type(error).__name__}: {error}") from error
    if len(raw) != size or (name == "outcome" and max(raw, default=0) > 1):
        raise ResultError(f"the array {name} is damaged", expected=f"{size} bytes", got=f"{len(raw)} bytes")
    return np.frombuffer(raw, dtype).reshape(shape).astype(dtype.newbyteorder("="))


def _validated(kind: type, values: Any, name: str) -> Any:
    from pydantic import ConfigDict, TypeAdapter, ValidationError
    from pydantic.dataclasses import dataclass as checked

    strict = checked(kind, frozen=True, config=ConfigDict(extra="forbid"))
    try:
        TypeAdapter(strict).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise ResultError(
            f"the field {name}.{where} is malformed", expected=first["msg"], got=first["input"]
        ) from error
    if kind is Setting:
        values = {**values, "positions": tuple(values["positions"])}
    return kind(**values)


def _finite(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval that cannot be given is null in JSON."""
    return None if interval is None or math.isnan(interval[0]) else interval
