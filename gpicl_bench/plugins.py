"""Plug-ins: suites and base datasets of other distributions, through the entry point group `gpicl_bench.suites`.

An entry point names a callable without arguments, which calls `gpicl_bench.register_dataset` and
`gpicl_bench.register`. All are called, in the order of their distributions' names and their own, when somebody first
asks for an id or a dataset that is not here, or for the whole registry. A broken one leaves nothing behind and stops
nobody.
"""

import re
import sys
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from gpicl_bench.errors import AlreadyRegistered, GpiclBenchError, PluginError

if TYPE_CHECKING:
    from importlib.metadata import Distribution, EntryPoint

GROUP = "gpicl_bench.suites"


@dataclass(frozen=True)
class Plugin:
    """A plug-in that was found, and what became of it.

    Attributes:
        name: of the entry point.
        distribution: that it comes with, with its version, as `tinyplugin 0.1`.
        value: what the entry point names, `module:function`.
        suites, datasets: what it has registered; nothing if it is broken.
        error: why it is broken, or None.
    """

    name: str
    distribution: str
    value: str
    suites: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()
    error: GpiclBenchError | None = None

    def __str__(self) -> str:
        return f"plug-in {self.name} of {self.distribution}"


_known: list[Plugin] = []
_done = _loading = False
_alone = threading.RLock()


def load() -> tuple[Plugin, ...]:
    """Every plug-in, loaded when this is first called; within a plug-in, those before it."""
    return tuple(loading())


def loading() -> Iterator[Plugin]:
    """The same, each as soon as it is loaded."""
    global _done, _loading
    with _alone:
        yield from _known
        if _done or _loading:
            return
        _loading = True
        try:
            for plugin, entry_point in find()[len(_known) :]:  # after an interrupt, the rest
                _known.append(plugin if entry_point is None else _called(plugin, entry_point))
                yield _known[-1]
            _done = True
        finally:
            _loading = False


def or_broken(hint: str) -> str:
    """What to do about an id that nobody knows, where a broken plug-in may be the one that has it."""
    broken = ", ".join(f"{plugin.name} of {plugin.distribution}" for plugin in _known if plugin.error is not None)
    return f"{hint}; or is it of a broken plug-in ({broken})? `python -m gpicl_bench doctor`" if broken else hint


def find() -> "list[tuple[Plugin, EntryPoint | None]]":
    """The plug-ins of the group with their entry points, by distribution and name; none of them is imported.

    Of several distributions of one name the first on the path counts, as it does for imports. One whose entry points
    or whose name cannot be read is a broken plug-in without an entry point.
    """
    from importlib.metadata import distributions

    found: dict[str, list[tuple[Plugin, EntryPoint | None]]] = {}
    for distribution in distributions():
        name = titled = str(getattr(distribution, "_path", "?"))  # its folder, until it has told its name
        try:
            with _calling(titled, "the entry points of a distribution cannot be read"):
                if GROUP not in (distribution.read_text("entry_points.txt") or ""):
                    continue
                name = _name(distribution)
                titled = f"{name} {distribution.version}"
                own = sorted(point for point in distribution.entry_points if point.group == GROUP)
        except PluginError as error:
            found.setdefault(name, [(Plugin("?", titled, "?", error=error), None)])
        else:
            found.setdefault(name, [(Plugin(point.name, titled, point.value), point) for point in own])
    return [each for name in sorted(found) for each in found[name]]


def _name(distribution: "Distribution") -> str:
    """The name of a distribution, as it is compared."""
    told = distribution.metadata["Name"]
    if not told:
        raise PluginError("a distribution does not tell its name", expected="a file METADATA with a line Name")
    return re.sub("[-_.]+", "-", told).lower()


def _called(plugin: Plugin, entry_point: "EntryPoint") -> Plugin:
    """The plug-in with what it has registered, or with its error, and then as if it had never been called."""
    tables = _tables()
    before = [dict(table) for table in tables]
    whole = False
    try:
        _run(plugin, entry_point)
        for table, content in zip(tables, before, strict=True):
            _refuse_taken(plugin, table, content)
        whole = True
    except PluginError as error:
        return replace(plugin, error=error)
    finally:
        if not whole:
            for table, content in zip(tables, before, strict=True):
                _restore(table, content)
    suites, datasets, _ = (tuple(k for k in table if k not in old) for table, old in zip(tables, before, strict=True))
    return replace(plugin, suites=suites, datasets=datasets)


def _run(plugin: Plugin, entry_point: "EntryPoint") -> None:
    """Import what the entry point names, and call it. What it prints goes to standard error: no answer is spoilt."""
    with redirect_stdout(sys.stderr):
        with _calling(str(plugin), "the plug-in cannot be imported"):
            function = entry_point.load()
        if not callable(function):
            raise PluginError(
                "the entry point of a plug-in names no function",
                expected="a callable without arguments",
                got=f"{plugin.value}: {type(function).__name__}",
                where=str(plugin),
            )
        with _calling(str(plugin), "the plug-in raised an error"):
            function()


@contextmanager
def _calling(where: str, what: str) -> Iterator[None]:
    """Around foreign code: whatever it raises, an exit included, becomes a PluginError; the package's own say more."""
    from gpicl_bench.learners.prediction import calling

    try:
        with calling(where, PluginError, what):
            yield
    except PluginError as error:
        cause, hint = error.__cause__, "mend it, or remove its distribution"
        if isinstance(cause, AlreadyRegistered):
            raise _taken(where, str(cause.got)) from cause
        if isinstance(cause, GpiclBenchError):
            what, hint = f"{what}: {cause.what}", cause.hint or hint
            raise PluginError(what, expected=cause.expected, got=cause.got, where=where, hint=hint) from cause
        raise PluginError(what, got=error.got, where=where, hint=hint) from cause


def _refuse_taken(plugin: Plugin, table: Mapping[str, Any], before: Mapping[str, Any]) -> None:
    """Raise PluginError if the plug-in has registered what was there, be it the same: one id has one origin."""
    for key, value in before.items():
        if table.get(key) is not value:
            raise _taken(str(plugin), key)


def _taken(where: str, key: str) -> PluginError:
    return PluginError(
        "the plug-in registers what is taken",
        expected="ids and names of datasets of its own",
        got=f"{key}, which belongs to {_owner(key)}",
        where=where,
        hint="rename it there; or remove one of the two",
    )


def _owner(key: str) -> str:
    from gpicl_bench.builtin import SUITES
    from gpicl_bench.datasets.table import BUILT_IN

    if key in SUITES or key in BUILT_IN:
        return "gpicl_bench itself"
    owners = (str(plugin) for plugin in _known if key in (*plugin.suites, *plugin.datasets))
    return next(owners, "what this program has registered, or the plug-in itself before")


def _tables() -> tuple[dict[str, Any], dict[str, Any], dict[str, Any]]:
    """What a plug-in can change: suites, base datasets, and their arrays."""
    from gpicl_bench import registration
    from gpicl_bench.datasets import arrays, table

    return registration._suites, table._rows, arrays.REGISTERED


def _restore(table: dict[str, Any], before: Mapping[str, Any]) -> None:
    """Without a moment in which what stays is missing: other threads may read."""
    for key in [key for key in table if key not in before]:
        del table[key]
    table.update(before)
