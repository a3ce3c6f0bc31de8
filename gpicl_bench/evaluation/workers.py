"""Asking a learner in several processes, through joblib. This process draws the tasks and judges the answers."""

import hashlib
import multiprocessing
import os
import pickle
import secrets
import signal
import threading
import time
import warnings
from collections.abc import Generator, Iterable, Iterator, Mapping
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64, UInt8

from gpicl_bench.errors import GpiclBenchError, InvalidArgument, LearnerError, LearnerFileError, check_integer
from gpicl_bench.evaluation.asking import Answered, drawn, judged
from gpicl_bench.evaluation.environment import device
from gpicl_bench.evaluation.planning import Plan
from gpicl_bench.learners import Adapter, Block, LoadedLearner, adapt, load_learner
from gpicl_bench.learners.prediction import calling
from gpicl_bench.learners.threads import one_thread
from gpicl_bench.suite import Info

_MOST = 1024
_AHEAD = 2  # blocks drawn at a time, for each worker
_PATIENCE = 0.5  # seconds between two looks whether the parent lives


@dataclass(frozen=True)
class _File:
    """A learner file: loaded where it is needed, if it is still the same."""

    path: Path
    args: Mapping[str, Any]
    sha256: str | None

    def learner(self, info: Info) -> Any:
        try:
            found = hashlib.sha256(self.path.read_bytes()).hexdigest()
        except OSError as error:
            found = str(error.strerror)
        if found != self.sha256:
            raise LearnerFileError(
                "a worker finds another learner file than was loaded at first",
                expected=f"SHA-256 {self.sha256}",
                got=found,
                where=str(self.path),
                hint="leave the file as it is while it is evaluated",
            )
        return load_learner(self.path, info, self.args).learner


@dataclass(frozen=True, eq=False)
class _Pickled:
    """A learner as bytes, in an array: joblib keeps one copy of a large array for all workers."""

    content: UInt8[np.ndarray, " n"]
    name: str

    def learner(self, info: Info) -> Any:
        with calling(self.name, what="the learner cannot be unpickled in a worker"):
            return pickle.loads(self.content.data)


@dataclass(frozen=True, eq=False)
class _Sent:
    """How a worker gets the learner; `token` names this evaluation."""

    source: _File | _Pickled
    info: Info
    name: str
    token: str


_alone = threading.Lock()  # the number of threads and the path of imports belong to the whole process
_running = threading.Lock()
_known: tuple[str, Adapter] | None = None


def check_workers(workers: int, plan: Plan) -> int:
    """The number of workers, 1 … 1024.

    Raises:
        InvalidArgument: it is no such number, or the learner takes whole blocks of episodes and so needs no workers.
    """
    workers = check_integer("workers", workers, 1, _MOST)
    if workers > 1 and plan.adapter.block > 1:
        raise InvalidArgument(
            f"a learner of the form {plan.adapter.form} takes no workers",
            expected=f"workers=1: it answers {plan.adapter.block} episodes a call, on one device",
            got=f"workers={workers}",
            where=plan.loaded.name,
        )
    return workers


def ask_workers(plan: Plan, blocks: Iterable[range], workers: int) -> Generator[Answered]:
    """Ask about each block of tasks in one of several processes; blocks come back as they are finished.

    Two blocks for each worker are drawn at a time, and the next ones when these have come back: memory is bounded, and
    no finished block waits for others to be drawn. An outer `joblib.parallel_config` chooses another back end.

    Raises:
        InvalidArgument: an evaluation with workers runs in this process already.
        LearnerError: the learner raised there, or returned no prediction; it cannot be sent; or a worker died.
        LearnerFileError: the learner's file was changed meanwhile, or does not run there.
    """
    sent = _Sent(_source(plan.loaded), plan.split.info, plan.loaded.name, secrets.token_hex(16))
    left = iter(blocks)
    with _only(plan.loaded.name), _dying(plan.loaded.name), _parallel(workers, sent.token) as parallel:
        while window := list(islice(left, _AHEAD * workers)):
            yield from _asked(plan, sent, window, parallel)


def _asked(plan: Plan, sent: _Sent, window: list[range], parallel: Any) -> Generator[Answered]:
    """The blocks of a window; the first error is raised when all others have been answered."""
    import joblib

    waiting: dict[int, tuple[range, np.ndarray, float]] = {}

    def calls() -> Iterator[Any]:
        for tasks in window:
            begin = time.perf_counter()
            block = drawn(plan, tasks)
            waiting[tasks.start] = tasks, block.y[:, plan.positions], time.perf_counter() - begin
            yield joblib.delayed(_answer)(sent, pickle.dumps(block), plan.positions)  # bytes: joblib keeps arrays

    errors: dict[int, GpiclBenchError] = {}
    with _dropping(parallel(calls())) as answers:
        for start, values, seconds, where in answers:
            tasks, y, task_seconds = waiting.pop(start)
            if isinstance(values, GpiclBenchError):
                errors[start] = values
            else:
                yield judged(tasks, y, values, task_seconds, seconds, where)
    if errors:
        raise errors[min(errors)]


@contextmanager
def _only(name: str) -> Iterator[None]:
    """One evaluation with workers at a time: joblib has one pool of processes, and a worker answers one question."""
    if _alone.locked() or not _running.acquire(blocking=False):
        raise InvalidArgument(
            "an evaluation with workers runs in this process already", expected="workers=1 beside it", where=name
        )
    try:
        yield
    finally:
        _running.release()


@contextmanager
def _dying(name: str) -> Iterator[None]:
    try:
        yield
    except BrokenProcessPool as error:
        raise LearnerError(
            "a worker process died",
            got=str(error).splitlines()[0],
            where=name,
            hint="fewer workers if memory ran out; with one, the learner runs in this process",
        ) from error


def _parallel(workers: int, token: str) -> Any:
    """Processes of their own for this evaluation: older ones have older modules, folders and environments."""
    import joblib

    options = {"n_jobs": workers, "batch_size": 1, "pre_dispatch": "all", "initializer": _follow}
    try:
        return joblib.Parallel(return_as="generator_unordered", initargs=(os.getpid(), token), **options)
    except ValueError:  # a back end, such as Ray's, that gives all answers together
        return joblib.Parallel(return_as="list", initargs=(os.getpid(), token), **options)


@contextmanager
def _dropping(answers: Any) -> Iterator[Any]:
    """Whatever ends the block, the workers end what they are doing; joblib would warn that answers are lost."""
    try:
        yield answers
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)
            if isinstance(answers, Generator):
                answers.close()


def _source(loaded: LoadedLearner) -> _File | _Pickled:
    if loaded.path is not None:
        return _File(loaded.path, loaded.args, loaded.source_sha256)
    import cloudpickle

    try:
        content = cloudpickle.dumps(loaded.learner)
    except Exception as error:  # whatever an object's own methods raise
        raise LearnerError(
            "this learner cannot be sent to other processes",
            got=f"{type(error).__name__}: {error}",
            where=loaded.name,
            hint="workers=1, or put it in a learner file: a file is loaded anew in each worker",
        ) from error
    return _Pickled(np.frombuffer(content, np.uint8), loaded.name)


def _answer(
    sent: _Sent, content: bytes, positions: Int64[np.ndarray, " P"]
) -> tuple[int, Float64[np.ndarray, "B P C"] | Int64[np.ndarray, "B P"] | GpiclBenchError, float, str]:
    """In a worker: the first task, its block's answers or why there are none, the seconds it took, and the device."""
    block: Block = pickle.loads(content)
    with _alone, one_thread():
        begin = time.perf_counter()
        try:
            adapter = _adapter(sent)
            with one_thread():  # a learner that was loaded just now may have brought torch, or another BLAS
                answers = adapter.predict(block, positions)
        except GpiclBenchError as error:
            return block.tasks[0], error, 0.0, device()
        return block.tasks[0], answers, time.perf_counter() - begin, device()


def _adapter(sent: _Sent) -> Adapter:
    """The learner of this evaluation: loaded once in each process."""
    global _known
    if _known is None or _known[0] != sent.token:
        _known = None  # two learners need not fit
        _known = sent.token, adapt(sent.source.learner(sent.info), sent.info, sent.name)
    return _known[1]


def _follow(parent: int, token: str) -> None:
    """First of all in a process that was started to answer: leave ctrl-C to the parent, and end when the parent has."""
    starter = multiprocessing.parent_process()
    if starter is None or starter.pid != parent:
        return
    if threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, signal.SIG_IGN)
    threading.Thread(target=_watch, args=(parent,), daemon=True).start()


def _watch(parent: int) -> None:
    """A parent that was killed cannot say so, and a worker would wait for minutes."""
    while os.getppid() == parent:
        time.sleep(_PATIENCE)
    os._exit(1)
