"""A learner file asked again in a process of its own, with another hash seed and no history."""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path

import numpy as np
from jaxtyping import Int64

from gpicl_bench.auditing.asking import Answers, Bench, ask
from gpicl_bench.auditing.checks import equal_bits
from gpicl_bench.auditing.report import Check
from gpicl_bench.errors import GpiclBenchError
from gpicl_bench.learners import Adapter, LoadedLearner, adapt, load_learner
from gpicl_bench.learners.threads import one_thread
from gpicl_bench.suite import Info

NAME = "fresh process"
_TIME_LIMIT = 600.0
_ROWS = 16
_PROGRAM = "import sys; from gpicl_bench.auditing.process import answer; answer(sys.argv[1])"


def fresh_process(
    adapter: Adapter, loaded: LoadedLearner, info: Info, bench: Bench, positions: Int64[np.ndarray, " P"]
) -> Check:
    """The same answers, to the bit, from the same file in another process, after another first call.

    A file that does not run there, or not within ten minutes, has failed.
    """
    if loaded.path is None:
        return Check(NAME, "not applicable", 0, "", "the learner is no file: it cannot be loaded again")
    if adapter.block == 1:
        bench = bench.rows(list(range(_ROWS)))  # one call a prediction: enough to see a difference
    here = ask(adapter, bench, positions)
    with tempfile.TemporaryDirectory(prefix="gpicl_bench-audit-") as folder:
        np.savez(Path(folder) / "bench.npz", x=bench.x, y=bench.y, keys=bench.keys, positions=positions)
        about = {"path": str(loaded.path), "args": dict(loaded.args), "info": asdict(info)}
        (Path(folder) / "about.json").write_text(json.dumps(about))
        failure = _run([sys.executable, "-c", _PROGRAM, folder])
        if failure:
            return Check(NAME, "failed", 0, "bits", failure)
        there: Answers = np.load(Path(folder) / "answers.npy")
    if there.shape != here.shape:
        return Check(NAME, "failed", here.size, "bits", "scores in one process, labels in the other")
    return equal_bits(NAME, bench, positions, here, there, "in a process of its own")


def _run(command: list[str]) -> str:
    """Why the process did not answer; empty if it did."""
    environment = {**os.environ, "PYTHONHASHSEED": "2718", "PYTHONPATH": os.pathsep.join(p for p in sys.path if p)}
    try:
        done = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=_TIME_LIMIT, check=False
        )
    except subprocess.TimeoutExpired:
        return f"the learner did not answer within {_TIME_LIMIT:g} s"
    reason = (done.stderr.strip().splitlines() or ["no message"])[-1]
    return f"the learner does not run there: {reason}" if done.returncode else ""


def answer(folder: str) -> None:
    """The other process: load, ask, leave the answers in the folder; or end with one line that says why not."""
    about = json.loads((Path(folder) / "about.json").read_text())
    given = np.load(Path(folder) / "bench.npz")
    info = Info(**about["info"])
    try:
        adapter = adapt(load_learner(about["path"], info, about["args"]).learner, info, Path(about["path"]).stem)
        x, y, tasks = given["x"], given["y"], tuple(range(len(given["x"])))
        bench = Bench(x, y, given["keys"], tasks, np.zeros(len(x), np.int64), x, info.C)
        with one_thread():
            ask(adapter, bench, given["positions"], np.roll(x, 1, axis=0), np.roll(y, 1, axis=0))  # another history
            np.save(Path(folder) / "answers.npy", ask(adapter, bench, given["positions"]))
    except GpiclBenchError as error:
        sys.exit(f"{error.what}: {error.got}")
