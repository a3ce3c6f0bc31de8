"""Versions: of Python, of the package, and of what it depends on beside the lowest that it supports."""

import platform
import re
from collections.abc import Iterator
from importlib.metadata import PackageNotFoundError, metadata, requires, version
from pathlib import Path
from typing import NamedTuple

import gpicl_bench
from gpicl_bench.doctor.finding import Finding

_NAME = "gpicl-bench"


class Requirement(NamedTuple):
    """A dependency: its name, the lowest version (or none), and the extra that it is of (or none)."""

    name: str
    lowest: str | None
    extra: str | None


def look() -> Iterator[Finding]:
    place = str(Path(gpicl_bench.__file__).parent)
    try:
        python, required = metadata(_NAME)["Requires-Python"], requires(_NAME) or []
    except PackageNotFoundError:
        yield _versioned("python", platform.python_version(), None)
        hint = f"pip install -e {Path(place).parent}"
        yield Finding("versions", "gpicl_bench", "broken", f"not installed, imported from {place}", hint)
        return
    yield _versioned("python", platform.python_version(), _lowest(python))
    yield Finding("versions", "gpicl_bench", "ok", f"{gpicl_bench.__version__}, {place}")
    asked = [requirement(text) for text in required]
    own = [each for each in asked if each.name != _NAME]  # else it is an extra of another extra
    absent: dict[str, list[str]] = {}  # by the extra that would bring them
    for name, lowest in sorted({(e.name, e.lowest) for e in own}, key=lambda pair: (_extras(own, pair), pair)):
        extras = _extras(own, (name, lowest))
        found = _installed(name)
        if found is None and extras:
            absent.setdefault(extras[0], []).append(name)
        elif found is None:
            yield Finding("versions", name, "broken", "not installed", f"pip install {name}")
        else:
            yield _versioned(name, found, lowest, f"; only for the extra {', '.join(extras)}" if extras else "")
    for extra, names in absent.items():
        hint = f"pip install 'gpicl-bench[{extra}]'"
        yield Finding("versions", f"extra {extra}", "missing", f"not installed: {', '.join(names)}", hint)


def requirement(text: str) -> Requirement:
    """A requirement as metadata has it.

    >>> requirement('matplotlib>=3.9; extra == "plot"')
    Requirement(name='matplotlib', lowest='3.9', extra='plot')
    """
    what, _, marker = text.partition(";")
    name = re.match(r"[\w.-]+", what.strip())
    extra = re.search(r"""extra\s*==\s*['"]([\w-]+)""", marker)
    return Requirement(name[0] if name else what, _lowest(what), extra[1] if extra else None)


def meets(found: str, lowest: str) -> bool:
    """Whether a version is not below another, by the numbers of their releases.

    >>> meets("2.10.0rc1", "2.9"), meets("2.0", "2.0.1")
    (True, False)
    """
    releases = [[int(n) for n in re.findall(r"\d+", re.split(r"[^\d.]", text)[0])] for text in (found, lowest)]
    longest = max(map(len, releases))
    one, other = (release + [0] * (longest - len(release)) for release in releases)
    return one >= other


def _lowest(text: str) -> str | None:
    bound = re.search(r">=\s*([\w.]+)", text)
    return bound[1] if bound else None


def _extras(asked: list[Requirement], pair: tuple[str, str | None]) -> list[str]:
    """The extras that a dependency is of; none if the package itself needs it."""
    extras = [each.extra for each in asked if (each.name, each.lowest) == pair]
    return [] if None in extras else [extra for extra in extras if extra is not None]


def _installed(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _versioned(name: str, found: str, lowest: str | None, more: str = "") -> Finding:
    bound = "" if lowest is None else f" (lowest supported: {lowest})"
    if lowest is None or meets(found, lowest):
        return Finding("versions", name, "ok", f"{found}{bound}{more}")
    hint = f"pip install '{name}>={lowest}'" if name != "python" else f"use Python {lowest} or later"
    return Finding("versions", name, "broken", f"{found}, too old{bound}{more}", hint)
