"""Every plug-in, loaded in a process of its own: one that hangs or crashes is named too."""

import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

from gpicl_bench import plugins
from gpicl_bench.doctor.finding import Finding
from gpicl_bench.doctor.probe import probe

_PROGRAM = "import sys; from gpicl_bench.doctor.plugged import tell; tell(sys.argv[1])"
_WHY = ("expected", "got")


def look() -> Iterator[Finding]:
    lines, failure = probe(_PROGRAM)
    told = [Finding(**json.loads(line)) for line in lines]
    yield from told
    left = plugins.find()[len(told) :]
    for plugin, _ in left:
        at_fault = plugin is left[0][0]
        detail = f"it stops the process: {failure}" if at_fault else "not tried, after the one before"
        yield Finding("plug-ins", _name(plugin), "broken", detail, "mend it, or remove its distribution")
    if failure is not None and not left:
        yield Finding("plug-ins", "all", "broken", failure)


def tell(path: str) -> None:
    """The other process: one line for each plug-in, as soon as it is known."""
    with Path(path).open("w", encoding="utf-8") as file:
        for plugin in plugins.loading():
            file.write(json.dumps(asdict(_finding(plugin))) + "\n")
            file.flush()


def _finding(plugin: plugins.Plugin) -> Finding:
    if plugin.error is None:
        given = f"suites: {', '.join(plugin.suites) or 'none'}; base datasets: {', '.join(plugin.datasets) or 'none'}"
        return Finding("plug-ins", _name(plugin), "ok", given)
    said = {name: getattr(plugin.error, name) for name in _WHY}
    why = "; ".join([plugin.error.what, *(f"{name}: {value}" for name, value in said.items() if value is not None)])
    return Finding("plug-ins", _name(plugin), "broken", why, plugin.error.hint)


def _name(plugin: plugins.Plugin) -> str:
    return f"{plugin.name} of {plugin.distribution}"
