"""A learner asked again in a process of its own, which gets each label only after it has answered for it.

The parent draws the episodes. It sends the inputs, and before each position the labels of the position before; the
child sends the answers back. Labels that the child has not got yet are random where a form of learner wants some. So no
program in the child can read a label that it is to predict: it is not there.

Where the system has user namespaces, the child has no network, does not see the processes outside its own, and takes
all that it has started with it when it ends. What the child sends is a byte, 0 for scores and 1 for labels, and as many
numbers as the parent has asked for: nothing in it is trusted.
"""

import io
import json
import math
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from gpicl_bench.errors import EntryError, GpiclBenchError, InvalidArgument
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.learners.prediction import LARGEST
from gpicl_bench.learners.threads import one_thread
from gpicl_bench.reporting.text import plain
from gpicl_bench.suite import Info

_CHUNK = 2**16
_ROWS = 64  # episodes at a time
_LAST_WORDS = 4000  # bytes of what the child has printed
_LARGEST_FILE = 2**30  # bytes
_SCORES, _LABELS = 0, 1
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
_PREFIXES = ("JAX_", "XLA_", "CUDA_", "NVIDIA_", "LD_", "OMP_", "OPENBLAS_", "MKL_")

# Namespaces can be entered only while the process has one thread, so before NumPy is imported. Of the namespace of
# processes the first member does nothing but wait for the learner: when it ends, by itself or by a signal, all end.
_PROGRAM = """
import ctypes, os, sys
reads, writes, outside = int(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
ids = os.getuid(), os.getgid()
try:
    ctypes.CDLL(None).unshare(0x10000000 | 0x20000000 | 0x40000000)  # CLONE_NEWUSER, CLONE_NEWPID, CLONE_NEWNET
    maps = {"setgroups": "deny", "uid_map": f"{ids[0]} {ids[0]} 1", "gid_map": f"{ids[1]} {ids[1]} 1"}
    isolated = os.readlink("/proc/self/ns/net") != outside
    for name, text in maps.items() if isolated else ():
        with open(f"/proc/self/{name}", "w") as file:
            file.write(text)
except (OSError, AttributeError):
    isolated = False
for member in range(2 if isolated else 0):
    child = os.fork()
    if child:
        os.close(reads), os.close(writes)
        while True:
            ended, status = os.wait()
            if ended == child:
                code = os.waitstatus_to_exitcode(status)
                os._exit(code if code >= 0 else 128 - code)
from gpicl_bench.leaderboard.rerun import answer
answer(reads, writes, isolated)
"""


class CouldNotAsk(EntryError):
    """The learner did not run here: for want of time, of memory, or of something that it needs, or by its own fault."""


@dataclass(frozen=True)
class Limits:
    """Of the child: wall-clock seconds for all of its work, and bytes of its data."""

    seconds: float = 3600.0
    memory: float = 16 * 2.0**30

    def __post_init__(self) -> None:
        least, most = 2.0**28, 2.0**50
        if not (0 < self.seconds < math.inf and least <= self.memory <= most):
            raise InvalidArgument(
                "these limits cannot be",
                expected=f"more than 0 seconds, and {least / 2**30:g} GiB to {most / 2**30:g} GiB",
                got=f"{self.seconds:g} s, {self.memory / 2**30:g} GiB",
            )


@contextmanager
def asking(file: str, folder: Path, args: Mapping[str, Any], info: Info, limits: Limits) -> Iterator["Asked"]:
    """A learner file in a process of its own, which ends with the block.

    Args:
        file: relative to `folder`.
        folder: where the process runs.
        args: of make_learner.
        info: of the suite.
        limits: of the process.

    Raises:
        CouldNotAsk: the process died, ran out of time or memory, or the learner fails there.
        EntryError: it sent something that is no answer.
    """
    about = {"file": file, "args": dict(args), "info": asdict(info), "memory": int(limits.memory)}
    with _child(folder, limits) as channel:
        channel.send(np.frombuffer(json.dumps(about).encode(), np.uint8))
        yield Asked(channel, info.C, isolated=channel.take(1) == b"\1")
        channel.send(np.zeros(2, np.int64))  # that was all


@dataclass(frozen=True, eq=False)
class Asked:
    """A learner that can be asked; `isolated` says whether it has no network."""

    channel: "_Channel"
    num_classes: int
    isolated: bool

    def answers(
        self, block: Block, positions: Sequence[int]
    ) -> Float64[np.ndarray, "B P C"] | Int64[np.ndarray, "B P"]:
        """Scores or labels for a block of episodes at each position, ascending; y_t is told after the answer for t."""
        parts = [
            self._part(block.x[rows], block.y[rows], block.keys[rows], positions)
            for rows in (slice(start, start + _ROWS) for start in range(0, len(block.y), _ROWS))
        ]
        return _joined(parts, axis=0)

    def _part(self, x: np.ndarray, y: np.ndarray, keys: np.ndarray, positions: Sequence[int]) -> np.ndarray:
        for array in (np.array([len(x), len(positions)], np.int64), x, keys):
            self.channel.send(array)
        found, told = [], 0
        for k in positions:
            self.channel.send(np.array([k], np.int64))
            self.channel.send(y[:, told:k])
            told = k
            found.append(self._answer(len(x)))
        return _joined(found, axis=1)

    def _answer(self, rows: int) -> np.ndarray:
        """Checked, whatever it is."""
        kind = self.channel.take(1)[0]
        if kind == _SCORES:
            raw = self.channel.take(8 * rows * self.num_classes)
            scores = np.frombuffer(raw, "<f8").reshape(rows, 1, self.num_classes)
            if (np.abs(scores) < LARGEST).all():  # False for NaN
                return scores
        elif kind == _LABELS:
            labels = np.frombuffer(self.channel.take(8 * rows), "<i8").reshape(rows, 1)
            if ((labels >= 0) & (labels < self.num_classes)).all():
                return labels
        raise EntryError("the learner's process sent no answer", expected="finite scores, or labels of the suite")


def _joined(parts: Sequence[np.ndarray], axis: int) -> np.ndarray:
    if len({part.ndim for part in parts}) > 1:
        raise EntryError("the learner gives scores for some queries and labels for others", expected="one of the two")
    return np.concatenate(parts, axis=axis)


@contextmanager
def _child(folder: Path, limits: Limits) -> Iterator["_Channel"]:
    """A fresh process without our environment's surprises; it and all that it starts end with the block."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-P", "-c", _PROGRAM, str(theirs_in), str(theirs_out), _network()],
            cwd=folder,
            env=_environment(folder),
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=said,
            pass_fds=(theirs_in, theirs_out),
            start_new_session=True,
        )
        os.close(theirs_in)
        os.close(theirs_out)
        try:
            yield _Channel(ours_in, ours_out, time.monotonic() + limits.seconds, limits)
        except _Gone as error:
            _ended(process)
            said.seek(max(0, said.seek(0, os.SEEK_END) - _LAST_WORDS))  # only now: the child has the same place in it
            lines = said.read().decode(errors="replace").strip().splitlines()
            raise CouldNotAsk(
                "the learner's process ended early",
                got=f"status {process.returncode}: {plain(lines[-1]) if lines else 'no message'}",
                hint=f"it may have wanted more than {limits.memory / 2**30:g} GiB of memory",
            ) from error
        finally:
            for end in (ours_in, ours_out):
                with suppress(OSError):
                    os.close(end)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def _environment(folder: Path) -> dict[str, str]:
    """What a learner needs to run, and none of the secrets that an environment may hold; this package, and no folder
    that the parent happens to work in.
    """
    kept = {name: value for name, value in os.environ.items() if name in _KEPT or name.startswith(_PREFIXES)}
    package = str(Path(__file__).resolve().parents[2])
    fixed = {"PYTHONPATH": package, "PYTHONHASHSEED": "2718", "PYTHONDONTWRITEBYTECODE": "1", "HOME": str(folder)}
    return {**kept, **fixed}


def _ended(process: subprocess.Popen[bytes]) -> None:
    """Wait for a child that has closed its end; one that lives on is ended."""
    try:
        process.wait(10)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


class _Gone(Exception):
    """The other side has closed its end."""


class _Channel:
    """Arrays through two pipes, by the parent's clock."""

    def __init__(self, reads: int, writes: int, deadline: float, limits: Limits) -> None:
        self.reads, self.writes, self.deadline, self.limits = reads, writes, deadline, limits
        os.set_blocking(reads, False)
        os.set_blocking(writes, False)

    def send(self, array: np.ndarray) -> None:
        view = memoryview(_frame(array))
        while view:
            self._wait(self.writes, selectors.EVENT_WRITE)
            try:
                view = view[os.write(self.writes, view[:_CHUNK]) :]
            except BrokenPipeError as error:
                raise _Gone from error

    def take(self, count: int) -> bytes:
        """So many bytes of what the child sends."""
        parts = bytearray()
        while len(parts) < count:
            self._wait(self.reads, selectors.EVENT_READ)
            part = os.read(self.reads, min(_CHUNK, count - len(parts)))
            if not part:
                raise _Gone
            parts += part
        return bytes(parts)

    def _wait(self, descriptor: int, event: int) -> None:
        with selectors.DefaultSelector() as selector:
            selector.register(descriptor, event)
            if not selector.select(max(0.0, self.deadline - time.monotonic())):
                raise CouldNotAsk(
                    "the learner did not answer in time", expected=f"within {self.limits.seconds:g} s in all"
                )


def _network() -> str:
    """The network that this process is in."""
    try:
        return os.readlink("/proc/self/ns/net")
    except OSError:
        return ""


def _frame(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return len(file.getvalue()).to_bytes(8, "little") + file.getvalue()


def answer(reads: int, writes: int, isolated: bool) -> None:
    """The child: load the learner and answer position by position; it ends with a line that says why it could not."""
    import resource

    from gpicl_bench.learners import adapt, load_learner

    with os.fdopen(reads, "rb") as source, os.fdopen(writes, "wb") as sink:

        def receive() -> np.ndarray:
            content = source.read(int.from_bytes(source.read(8), "little"))
            return np.load(io.BytesIO(content), allow_pickle=False)

        def send(raw: bytes) -> None:
            sink.write(raw)
            sink.flush()

        about = json.loads(receive().tobytes())
        resource.setrlimit(resource.RLIMIT_DATA, (about["memory"], about["memory"]))
        resource.setrlimit(resource.RLIMIT_FSIZE, (_LARGEST_FILE, _LARGEST_FILE))
        send(bytes([isolated]))
        info = Info(**about["info"])
        try:
            adapter = adapt(load_learner(about["file"], info, about["args"]).learner, info, Path(about["file"]).stem)
            with one_thread():
                _answer_all(adapter, info, receive, send)
        except GpiclBenchError as error:
            sys.exit(f"{error.what}: {error.got}")
        except MemoryError:
            sys.exit("out of memory")


def _answer_all(adapter: Adapter, info: Info, receive: Callable[[], np.ndarray], send: Callable[[bytes], None]) -> None:
    rng = np.random.default_rng()  # of labels that are nobody's
    while True:
        rows, count = receive().tolist()
        if rows == 0:
            return
        x, keys = receive(), receive()
        y, told = rng.integers(0, info.C, (rows, info.T), dtype=np.int32), 0
        for _ in range(count):
            k, labels = int(receive()[0]), receive()
            y[:, told:k] = labels
            told = k
            found = adapter.predict(Block(range(rows), x, y.copy(), keys), np.array([k]))
            kind, layout = (_SCORES, "<f8") if found.ndim == 3 else (_LABELS, "<i8")
            send(bytes([kind]) + found.astype(layout).tobytes())
