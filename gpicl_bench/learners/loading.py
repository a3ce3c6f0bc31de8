"""Learner files: `learner`, or `make_learner(info, **args)`, in a Python file."""

import hashlib
import importlib.util
import inspect
import sys
from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any

from gpicl_bench.errors import LearnerFileError
from gpicl_bench.suite import Info


@dataclass(frozen=True)
class LoadedLearner:
    """A learner with its origin.

    Attributes:
        learner: in any of the known forms.
        name: for tables.
        source_sha256: of the file; None where there is none.
        args: what `make_learner` was given.
    """

    learner: Any
    name: str
    source_sha256: str | None
    args: Mapping[str, Any]


def load_learner(path: str | Path, info: Info, args: Mapping[str, Any] | None = None) -> LoadedLearner:
    """Run a learner file and take its learner. Running a file runs its code: read what you run.

    Raises:
        LearnerFileError: the file is missing, does not run, or defines no learner.
    """
    path, args = Path(path), dict(args or {})
    try:
        source = path.read_bytes()
    except OSError as error:
        reason = "it is a folder" if path.is_dir() else (error.strerror or str(error))
        raise LearnerFileError(
            "the learner file cannot be read", expected="a Python file", got=reason, where=str(path)
        ) from error
    module = _run(path)
    learner = _take(module, info, args, str(path))
    return LoadedLearner(learner, path.stem, hashlib.sha256(source).hexdigest(), args)


def _run(path: Path) -> ModuleType:
    folder = str(path.resolve().parent)
    if folder not in sys.path:  # a learner file imports its neighbours, as a script would
        sys.path.insert(0, folder)
    name = f"gpicl_learner_{path.stem}_{hashlib.sha256(str(path.resolve()).encode()).hexdigest()[:8]}"
    found = importlib.util.spec_from_file_location(name, path)
    if found is None or found.loader is None:
        raise LearnerFileError("this is no Python file", expected="a file that ends in .py", got=str(path))
    module = importlib.util.module_from_spec(found)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    try:
        found.loader.exec_module(module)
    except SyntaxError as error:
        del sys.modules[name]
        where = f"{error.filename}, line {error.lineno}"
        raise LearnerFileError("the learner file has a syntax error", got=error.msg, where=where) from error
    except (Exception, SystemExit) as error:  # whatever a user's file raises is reported as its error
        del sys.modules[name]
        raise LearnerFileError(
            "the learner file raised an error while it was loaded",
            got=f"{type(error).__name__}: {error}",
            where=str(path),
            hint="--traceback shows where",
        ) from error
    return module


def _take(module: ModuleType, info: Info, args: dict[str, Any], path: str) -> Any:
    has_learner, factory = hasattr(module, "learner"), getattr(module, "make_learner", None)
    if has_learner == (factory is not None):
        raise LearnerFileError(
            "a learner file defines exactly one of `learner` and `make_learner`",
            expected="`learner`, or `make_learner(info, **args)`",
            got="both" if has_learner else "neither",
            where=path,
        )
    if factory is None:
        if args:
            raise LearnerFileError(
                "this learner takes no arguments",
                expected="make_learner(info, **args) in the file",
                got=", ".join(args),
                where=path,
            )
        return module.learner
    try:
        inspect.signature(factory).bind(info, **args)
    except TypeError as error:
        known = list(inspect.signature(factory).parameters)[1:]
        near = [
            f"{a}: did you mean {m[0]}?" for a in args if a not in known and (m := get_close_matches(a, known, n=1))
        ]
        raise LearnerFileError(
            "make_learner does not take these arguments",
            expected=f"make_learner{inspect.signature(factory)}",
            got=", ".join(f"{k}={v!r}" for k, v in args.items()) or "info alone",
            where=path,
            hint="; ".join(near) or None,
        ) from error
    try:
        learner = factory(info, **args)
    except Exception as error:  # whatever a user's code raises is reported as its error
        raise LearnerFileError(
            "make_learner raised an error",
            got=f"{type(error).__name__}: {error}",
            where=path,
            hint="--traceback shows where",
        ) from error
    if learner is None:
        raise LearnerFileError("make_learner returned nothing", expected="a learner", where=path)
    return learner
