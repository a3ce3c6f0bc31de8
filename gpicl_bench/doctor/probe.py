"""A look at something in a process of its own: what hangs or crashes there takes nothing down with it."""

import os
import subprocess
import sys
import tempfile
from pathlib import Path

SECONDS = 60.0


def probe(program: str) -> tuple[list[str], str | None]:
    """Run a program that is given a file's path, and write lines to it.

    Returns:
        The lines that it wrote, and why it did not come to its end (None if it did).
    """
    path = os.pathsep.join(place for place in sys.path if place)
    environment = {**os.environ, "PYTHONPATH": path, "XLA_PYTHON_CLIENT_PREALLOCATE": "false"}
    with tempfile.TemporaryDirectory(prefix="gpicl_bench-doctor-") as folder:
        file = Path(folder) / "told"
        file.touch()
        failure = _run([sys.executable, "-c", program, str(file)], environment)
        return file.read_text(encoding="utf-8").splitlines(), failure


def _run(command: list[str], environment: dict[str, str]) -> str | None:
    try:
        done = subprocess.run(
            command,
            env=environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            errors="replace",
            timeout=SECONDS,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no answer within {SECONDS:g} s"
    if done.returncode == 0:
        return None
    lines = [line for line in done.stderr.splitlines() if line.strip()]
    return lines[-1].strip() if lines else f"it ended with status {done.returncode}"
