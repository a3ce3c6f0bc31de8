"""Results as JSON files: readable fields, packed arrays, and a digest over everything but the times.

Arrays are packed (`packing`). The digest is the SHA-256 of the canonical JSON (keys sorted, no spaces) of
the file without `digest` and `times`, each array replaced by the SHA-256 of its bytes: so two equal runs
have equal digests on any machine whose provenance is equal.
"""

import errno
import hashlib
import json
import math
import os
import re
import secrets
from collections.abc import Callable, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from gpicl_bench.auditing.report import Audit
from gpicl_bench.errors import InvalidArgument, MalformedId, ResultError
from gpicl_bench.evaluation.packing import pack, raw, unpack
from gpicl_bench.evaluation.results import LearnerRecord, Provenance, Result, Setting, Times
from gpicl_bench.registration import SuiteSpec
from gpicl_bench.suite import PROTOCOL, Split

FORMAT = "gpicl-bench-result/1"
_ROUNDING = 1e-5
T = TypeVar("T")
_PARTS: dict[str, Any] = {
    "setting": Setting,
    "learner": LearnerRecord,
    "provenance": Provenance,
    "times": Times,
    "audit": Audit | None,
}


def summary(result: Result) -> dict[str, Any]:
    """The derived numbers that a file shows; they are recomputed when it is read."""
    last = len(result.setting.positions) - 1
    return {
        "of_record": result.setting.of_record,
        "score": result.score,
        "score_interval": _finite(result.score_interval),
        f"accuracy@{result.setting.positions[last]}": float(result.accuracy[last]),
        f"accuracy@{result.setting.positions[last]}_interval": result.accuracy_interval[last].tolist(),
        "total_bits": result.total_bits,
        "total_bits_interval": _finite(result.total_bits_interval),
    }


def digest(result: Result) -> str:
    """The digest of a result, hex."""
    return _digest(_fields(result), raw(result))


def save_result(result: Result, path: Path) -> None:
    """Write a result to `path`, whole or not at all.

    Raises:
        ResultError: the file cannot be written.
    """
    content = {**_fields(result), "arrays": pack(result), "digest": digest(result), "times": asdict(result.times)}
    write_text(path, json.dumps(content, indent=1, sort_keys=True) + "\n")


def write_text(path: Path, text: str) -> None:
    """Write a file beside its place, then rename it. A link is followed.

    Raises:
        ResultError: it cannot be written: no folder, no right, no room, no ordinary file; nothing is left behind.
    """
    scratch: Path | None = None
    try:
        path = path.resolve()
        if path.exists() and not path.is_file():
            raise OSError(errno.EINVAL, "it is no ordinary file")
        scratch = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
        with scratch.open("x", encoding="utf-8") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ResultError(
            "the result cannot be written", got=reason, where=str(path), hint="choose another --output"
        ) from error
    finally:
        if scratch is not None:
            scratch.unlink(missing_ok=True)


def load_result(path: str | Path) -> Result:
    """Read a result file and check it: schema, digest, and that its numbers follow from its predictions.

    Raises:
        ResultError: the file is missing, truncated, edited or inconsistent; the error says which.
    """
    return read_json(path, "result", result_of)


def read_json(path: str | Path, kind: str, read: Callable[[Any], T]) -> T:
    """What `read` makes of the content of a JSON file.

    Raises:
        ResultError: the file cannot be read, or `read` refuses it; the error names the file.
    """
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError, TypeError) as error:  # TypeError: what was given is no path
        got = f"{type(error).__name__}: {error}"
        raise ResultError(f"this is no {kind} file", got=got, where=str(path)) from error
    try:
        return read(content)
    except ResultError as error:
        raise ResultError(
            error.what, expected=error.expected, got=error.got, where=str(path), hint=error.hint
        ) from error


def result_of(content: Any) -> Result:
    """The result that the content of a file holds, checked.

    Raises:
        ResultError: as `load_result`.
    """
    check_format(content, FORMAT, {"format", *_PARTS, "summary", "arrays", "digest"})
    setting, learner, provenance, times, audit = (validated(kind, content[name], name) for name, kind in _PARTS.items())
    _check_setting(setting)
    arrays: Any = unpack(content["arrays"], (setting.num_tasks, len(setting.positions)))
    result = Result(setting, learner, provenance, times, audit, *arrays)
    found = _digest({k: v for k, v in content.items() if k not in ("arrays", "digest", "times")}, raw(result))
    if found != content["digest"]:
        raise ResultError(
            "the file was altered after it was written", expected=f"digest {content['digest']}", got=found
        )
    _check_consistency(result, content["summary"])
    return result


def check_format(content: Any, format: str, fields: set[str]) -> None:
    """The content of a file is of this format and has these fields.

    Raises:
        ResultError: it is another file of the package, of another version, or something else; the error says which.
    """
    told = content.get("format") if isinstance(content, dict) else None
    kind, _, version = told.rpartition("/") if isinstance(told, str) else ("", "", "")
    ours, _, known = format.rpartition("/")
    if kind != ours and re.fullmatch(r"gpicl-bench-[a-z]+", kind):
        what = f"this is a {kind.removeprefix('gpicl-bench-')} file"
    elif kind == ours and version != known:
        what = "the file is of another version of the format"
    elif kind != ours or set(content) != fields:
        what = "the file has the wrong fields"
    else:
        return
    found = f"{sorted(map(str, content))}, format {told}" if isinstance(content, dict) else type(content).__name__
    raise ResultError(what, expected=f"{sorted(fields)}, format {format}", got=found)


def _check_setting(setting: Setting) -> None:
    ranges = {
        "num_tasks": (1, 2**32),
        "num_examples": (2, 2**20),
        "num_classes": (2, 2**15 - 1),
        "learner_seed": (0, 2**64 - 1),
        "protocol": (PROTOCOL, PROTOCOL),
    }
    for name, (least, most) in ranges.items():
        if not least <= getattr(setting, name) <= most:
            raise ResultError(f"{name} is out of range", expected=f"{least} … {most}", got=getattr(setting, name))
    if not setting.positions:
        raise ResultError("the result is empty", expected="a position, or more")
    if list(setting.positions) != sorted({p for p in setting.positions if 0 <= p < setting.num_examples}):
        raise ResultError("the positions are out of range", expected=f"ascending, 0 … {setting.num_examples - 1}")
    try:
        Split(SuiteSpec(setting.suite), setting.task_set, setting.images)
    except (InvalidArgument, MalformedId) as error:
        raise ResultError("the result is of no split", expected=error.expected, got=error.got) from error
    if not re.fullmatch("[0-9a-f]{64}", setting.fingerprint):
        raise ResultError("the fingerprint is malformed", expected="64 hex digits", got=setting.fingerprint)


def _check_consistency(result: Result, shown: Any) -> None:
    setting = result.setting
    if not ((result.prediction >= 0) & (result.prediction < setting.num_classes)).all():
        raise ResultError("a prediction is out of range", expected=f"0 … {setting.num_classes - 1}")
    if result.log_loss is not None:
        # The predicted class has the largest probability: right, at least 1/C; wrong, the label has at most 1/2.
        least = np.where(result.outcome, 0, math.log(2))
        most = np.where(result.outcome, math.log(setting.num_classes), np.inf)
        if not ((least - _ROUNDING <= result.log_loss) & (result.log_loss <= most + _ROUNDING)).all():
            raise ResultError("a log-loss contradicts its outcome", expected="right: 0 … log C; wrong: log 2 or more")
    derived = summary(result)
    if not isinstance(shown, dict) or set(shown) != set(derived):
        raise ResultError("the summary has the wrong fields", expected=", ".join(derived))
    for name, value in derived.items():
        if not close(shown[name], value):
            raise ResultError(f"{name} does not follow from the predictions", expected=str(value), got=shown[name])


def close(shown: Any, value: Any) -> bool:
    """Equal up to the rounding of another machine's sums."""
    if isinstance(value, dict):
        return (
            isinstance(shown, dict) and shown.keys() == value.keys() and all(close(shown[k], value[k]) for k in value)
        )
    if isinstance(value, list | tuple):
        return isinstance(shown, list) and len(shown) == len(value) and all(map(close, shown, value))
    if isinstance(value, float) and isinstance(shown, float | int):
        return math.isclose(shown, value, rel_tol=1e-6, abs_tol=1e-9)
    return type(shown) is type(value) and bool(shown == value)


def _fields(result: Result) -> dict[str, Any]:
    parts = {name: plain(getattr(result, name)) for name in _PARTS if name != "times"}
    fields: dict[str, Any] = json.loads(json.dumps({"format": FORMAT, **parts, "summary": summary(result)}))
    return fields


def _digest(fields: Mapping[str, Any], raws: Mapping[str, bytes | None]) -> str:
    arrays = {name: None if part is None else hashlib.sha256(part).hexdigest() for name, part in raws.items()}
    return json_sha256({**fields, "arrays": arrays})


def json_sha256(content: Mapping[str, Any]) -> str:
    """SHA-256, hex, of the canonical JSON: keys sorted, no spaces."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def plain(part: Any) -> dict[str, Any] | None:
    """A dataclass as plain values."""
    return None if part is None else asdict(part)


def validated(kind: Any, values: Any, name: str) -> Any:
    """Plain values as a dataclass of this kind.

    Raises:
        ResultError: a field is missing, unknown or of the wrong type.
    """
    from pydantic import TypeAdapter, ValidationError

    try:
        return TypeAdapter(kind).validate_json(json.dumps(values), strict=True)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, (name, *first["loc"])))
        raise ResultError(f"the field {where} is malformed", expected=first["msg"], got=first["input"]) from error


def _finite(interval: tuple[float, float] | None) -> tuple[float, float] | None:
    """An interval that cannot be given is null in JSON."""
    return None if interval is None or math.isnan(interval[0]) else interval
