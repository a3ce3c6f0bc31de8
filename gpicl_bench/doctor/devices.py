"""JAX's devices, as a process of its own sees them: where JAX cannot start, or hangs, the rest is told all the same."""

from collections.abc import Iterator

from gpicl_bench.doctor.finding import Finding
from gpicl_bench.doctor.probe import probe

_PROGRAM = """
import pathlib, sys
import jax
lines = [f"{d.platform}:{d.id} {d.device_kind}" for d in jax.devices()]
pathlib.Path(sys.argv[1]).write_text("\\n".join(lines), encoding="utf-8")
"""


def look() -> Iterator[Finding]:
    lines, failure = probe(_PROGRAM)
    if failure is not None:
        hint = "evaluations of NumPy and torch learners need no JAX; JAX_PLATFORMS=cpu leaves accelerators out"
        yield Finding("devices", "jax", "broken", f"JAX does not start: {failure}", hint)
    for line in lines:
        name, _, kind = line.partition(" ")
        yield Finding("devices", name, "ok", kind)
