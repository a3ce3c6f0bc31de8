"""The measurements of a machine as a JSON file: each section with what it was measured on."""

import json
import os
from pathlib import Path

import jax

from gpicl_bench import provenance

FOLDER = Path(__file__).parent


def record(section, rounds, threads, command, output=None):
    """Measure a section and write it into the file of this backend; the other sections stay."""
    measure, most = measures()[section]
    rounds = None if most is None else min(rounds, most)
    path = output or FOLDER / f"{jax.default_backend()}.json"
    about = provenance()
    found = {
        "about": {
            "command": command,
            "rounds": rounds,
            "device": hardware(threads),
            "versions": dict(about.versions),
            "commit": about.commit,
        },
        "result": measure() if rounds is None else measure(rounds),
    }
    sections = {**read(path), section: found}
    scratch = path.with_suffix(".partial")
    scratch.write_text(json.dumps(sections, indent=1) + "\n")
    os.replace(scratch, path)
    return path


def read(path):
    return json.loads(path.read_text()) if path.exists() else {}


def hardware(threads):
    """The accelerator, or the processor's name and the cores that were used."""
    if jax.default_backend() != "cpu":
        return f"{len(jax.devices())} × {jax.devices()[0].device_kind}"
    cores = f"{threads} core{'s' * (threads > 1)}"
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return f"CPU, {cores}"
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return f"{names[0] if names else 'CPU'}, {cores}"


def measures():
    """By section: what measures it, and how many rounds at the most; None: it has no rounds."""
    from tests.benchmarks.environments import measure_environments
    from tests.benchmarks.exactness import measure_exactness
    from tests.benchmarks.grid import measure_grid
    from tests.benchmarks.harness import measure_harness
    from tests.benchmarks.memory import measure_memory
    from tests.benchmarks.tasks import measure_growth, measure_tasks
    from tests.benchmarks.together import measure_together
    from tests.benchmarks.training import measure_share
    from tests.benchmarks.tried import measure_tried

    return {
        "tasks": (measure_tasks, 100),
        "growth": (measure_growth, 5),
        "exactness": (measure_exactness, None),
        "harness": (measure_harness, 100),
        "share": (measure_share, 5),
        "together": (measure_together, 3),
        "grid": (measure_grid, 5),
        "memory": (measure_memory, None),
        "environments": (measure_environments, 5),
        "tried": (measure_tried, 5),
    }
