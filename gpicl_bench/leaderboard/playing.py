"""One run of a frozen entry on the tasks of a round, in a process of its own.

A learner that ends its process, or changes what is in it, does no harm to the runs of others.
"""

import json
import os
import subprocess
import sys
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NoReturn

from gpicl_bench.errors import GpiclBenchError, LearnerError, LearnerFileError, RoundError
from gpicl_bench.evaluation import evaluate
from gpicl_bench.leaderboard.rerun import environment
from gpicl_bench.learners import load_learner
from gpicl_bench.registration import make

_PROGRAM = "import sys; from gpicl_bench.leaderboard.playing import play; play(sys.argv[1])"
_FAILURE = "failure.json"
_DATA = ("HOME", "GPICL_BENCH_CACHE", "GPICL_BENCH_DATA", "TFDS_DATA_DIR")


@dataclass(frozen=True)
class Job:
    """What is to be asked, of whom.

    Attributes:
        home: the folder that the learner runs in, with the files of the entry.
        file: the learner's file, in `home`.
        args: of make_learner.
        suite, seed, num_tasks: tasks 0 … num_tasks-1 of the suite's `meta_test@<seed>`.
        output: a whole path for the result; beside it the journal lies meanwhile.
        progress: whether there is a bar on standard error.
    """

    home: str
    file: str
    args: dict[str, Any]
    suite: str
    seed: str
    num_tasks: int
    output: str
    progress: bool


def played(job: Job, desk: Path, time_limit: int) -> None:
    """Run a job in another process: its result is written.

    Args:
        job: the run.
        desk: an empty folder, not the learner's, for messages between the processes.
        time_limit: seconds.

    Raises:
        LearnerError: the learner failed, ended its process, or took too long.
        RoundError: something else failed; what has been answered is kept in the journal.
    """
    (desk / "job.json").write_text(json.dumps(asdict(job)))
    data = {name: value for name, value in os.environ.items() if name in _DATA}  # the harness reads images there
    command = [sys.executable, "-P", "-c", _PROGRAM, str(desk)]
    nowhere = subprocess.DEVNULL
    shown = None if job.progress else nowhere
    try:
        done = subprocess.run(
            command,
            env={**environment(Path(job.home)), **data},
            stdin=nowhere,
            stdout=nowhere,
            stderr=shown,
            timeout=time_limit,
            check=False,
        )
    except subprocess.TimeoutExpired as error:
        raise LearnerError("the learner took too long", expected=f"at most {time_limit:,} s a run") from error
    if done.returncode == 0:
        return
    if not (desk / _FAILURE).exists():
        raise LearnerError("the learner ended the process that measured it", got=f"status {done.returncode}")
    failure = json.loads((desk / _FAILURE).read_text())
    if failure.pop("learner"):
        raise LearnerError(**failure)
    raise RoundError(**failure)


def play(desk: str) -> None:
    """In the other process: ask the learner, write its result; or say why there is none, and exit with status 1."""
    job = Job(**json.loads((Path(desk) / "job.json").read_text()))
    try:
        answer(job)
    except GpiclBenchError as error:
        told = {name: _text(getattr(error, name)) for name in ("what", "expected", "got", "where", "hint")}
        _fail(desk, isinstance(error, LearnerError | LearnerFileError), told)
    except Exception as error:  # too little memory, or modules that the learner has changed: no entry stops the others
        got = f"{type(error).__name__}: {error}"
        _fail(desk, True, {"what": "the process that measured the learner failed", "got": got})


def _text(value: object) -> str | None:
    return None if value is None else str(value)


def _fail(desk: str, learner: bool, told: dict[str, str | None]) -> NoReturn:
    (Path(desk) / _FAILURE).write_text(json.dumps({"learner": learner, **told}))
    sys.exit(1)


def answer(job: Job) -> None:
    """Ask the learner in this process, from the folder of its entry, and write the result."""
    os.chdir(job.home)
    suite = make(job.suite).at_round(job.seed)
    output = Path(job.output)
    learner = load_learner(job.file, suite.info, job.args)
    found = evaluate(learner, suite, job.num_tasks, checkpoint=journal(output), progress=job.progress)
    found.save(output)
    journal(output).unlink(missing_ok=True)


def journal(output: Path) -> Path:
    """Where finished tasks are kept while a result is not."""
    return output.with_name(f"{output.name}.partial")
