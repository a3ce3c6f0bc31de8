"""Learner files: `learner`, or `make_learner(info, **args)`, in a Python file."""

import hashlib
import importlib
import inspect
import json
import os
import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from difflib import get_close_matches
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from gpicl_bench.errors import LearnerFileError
from gpicl_bench.learners.prediction import calling
from gpicl_bench.suite import Info

_PLAIN = (str, int, bool, type(None))


@dataclass(frozen=True)
class LoadedLearner:
    """A learner with its origin.

    Attributes:
        learner: in any of the known forms.
        name: for tables.
        source_sha256: of the file; None where there is none.
        args: what `make_learner` was given.
        path: of the file; None where there is none.
    """

    learner: Any
    name: str
    source_sha256: str | None = None
    args: Mapping[str, Any] = field(default_factory=dict)
    path: Path | None = None


def named(learner: Any) -> LoadedLearner:
    """A learner that was given as an object, with the name that tables show."""
    if isinstance(learner, LoadedLearner):
        return learner
    settings = learner.get_params() if hasattr(learner, "get_params") and not isinstance(learner, type) else {}
    args = {key: value if isinstance(value, _PLAIN) else repr(value) for key, value in settings.items()}
    return LoadedLearner(learner, str(getattr(learner, "__name__", type(learner).__name__)), args=args)


def load_learner(path: str | Path, info: Info, args: Mapping[str, Any] | None = None) -> LoadedLearner:
    """Run a learner file and take its learner. Running a file runs its code: read what you run.

    Args:
        path: of the file. The recorded hash is of these bytes; modules that it imports are not covered.
        info: of the suite.
        args: for `make_learner`; plain values, as JSON has them.

    Raises:
        LearnerFileError: the file is missing, does not run, or defines no learner; or args are no plain values.
    """
    path, args = Path(path), _plain(args)
    if not path.name.isprintable():  # nor has a name that is no UTF-8 a place in a file
        raise LearnerFileError(
            "the learner file has a name that cannot be written down", expected="printable text", got=repr(path.name)
        )
    try:
        source = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = "it is a folder" if path.is_dir() else str(getattr(error, "strerror", error))
        raise LearnerFileError(
            "the learner file cannot be read", expected="a Python file", got=reason, where=str(path)
        ) from error
    module = _run(path.resolve(), source)
    learner = _take(module, info, args, str(path))
    return LoadedLearner(learner, path.stem, hashlib.sha256(source).hexdigest(), args, path.resolve())


def _plain(args: Mapping[str, Any] | None) -> dict[str, Any]:
    try:
        plain: dict[str, Any] = json.loads(json.dumps(dict(args or {}), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise LearnerFileError(
            "the arguments of make_learner are no plain values",
            expected="numbers, strings, true, false, null, and lists and objects of them",
            got=repr(args),
        ) from error
    return plain


def _run(path: Path, source: bytes) -> ModuleType:
    """Run exactly these bytes: Python's own import may take an older compiled copy."""
    _enter(path.parent)
    name = f"gpicl_learner_{path.stem}_{hashlib.sha256(os.fsencode(path)).hexdigest()[:8]}"
    module = ModuleType(name)
    module.__file__ = str(path)
    sys.modules[name] = module  # dataclasses and pickling look their module up
    try:
        code = compile(source, str(path), "exec", dont_inherit=True)
    except (SyntaxError, ValueError) as error:
        line = getattr(error, "lineno", None)
        where = str(path) if line is None else f"{path}, line {line}"
        raise LearnerFileError("the learner file has a syntax error", got=str(error), where=where) from error
    with calling(str(path), LearnerFileError, "the learner file raised an error while it was loaded"):
        exec(code, module.__dict__)
    return module


class _Entered(NamedTuple):
    """The folders of the learner file before, which of them were put on the path, and what was imported before."""

    places: tuple[str, ...]
    fresh: tuple[str, ...]
    before: frozenset[str]


_entered = _Entered((), (), frozenset())


def _enter(folder: Path) -> None:
    """Let a learner file import its neighbours, as a script would, and not those of the file before.

    A file of a package imports that package by its name too.
    """
    global _entered
    package = _package(folder)
    places = (str(folder),) if package is None else (str(folder), str(package.parent))
    if _entered.places == places:
        return
    if _entered.fresh and _entered.places[0] in _entered.fresh:
        _leave(Path(_entered.places[0]), _entered.before)
    sys.path[:] = [place for place in sys.path if place not in _entered.fresh]
    fresh = tuple(place for place in places if place not in sys.path)
    sys.path[:0] = fresh
    importlib.invalidate_caches()
    _entered = _Entered(places, fresh, frozenset(sys.modules))


def _leave(left: Path, before: frozenset[str]) -> None:
    """Forget the neighbours of the file before; a package keeps its modules, for its name is its own."""
    package = _package(left)
    for name, module in list(sys.modules.items()):
        within = left in Path(getattr(module, "__file__", None) or os.sep).parents
        whole = name.partition(".")[0] in ("gpicl_bench", package.name if package else "")
        if within and name not in before and not whole:
            del sys.modules[name]


def _package(folder: Path) -> Path | None:
    """The outermost package that a folder belongs to.

    Raises:
        LearnerFileError: another package of its name is imported.
    """
    if not (folder / "__init__.py").exists():
        return None
    while (folder.parent / "__init__.py").exists():
        folder = folder.parent
    imported = getattr(sys.modules.get(folder.name), "__file__", None)
    if imported is not None and Path(imported).resolve().parent != folder:
        raise LearnerFileError(
            "another package of this name is imported already",
            expected=str(folder),
            got=imported,
            hint="load this learner in a process of its own",
        )
    return folder


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
    if not callable(factory):
        raise LearnerFileError("make_learner is no function", got=type(factory).__name__, where=path)
    _check_arguments(factory, info, args, path)
    with calling(path, LearnerFileError, "make_learner raised an error"):
        learner = factory(info, **args)
    if learner is None:
        raise LearnerFileError("make_learner returned nothing", expected="a learner", where=path)
    return learner


def _check_arguments(factory: Callable[..., Any], info: Info, args: dict[str, Any], path: str) -> None:
    try:
        signature = inspect.signature(factory)
    except (TypeError, ValueError):
        return  # a compiled function may have none: the call will tell
    try:
        signature.bind(info, **args)
    except TypeError as error:
        known = list(signature.parameters)[1:]
        near = {a: get_close_matches(a, known, n=1) for a in args if a not in known}
        raise LearnerFileError(
            "make_learner does not take these arguments",
            expected=f"make_learner{signature}",
            got=", ".join(f"{k}={v!r}" for k, v in args.items()) or "info alone",
            where=path,
            hint="; ".join(f"{a}: did you mean {match[0]}?" for a, match in near.items() if match) or None,
        ) from error
