"""A learner asked again in a process of its own, which gets each label only after it has answered for it.

The parent draws the episodes. It sends the inputs, and before each position the labels of the position before; the
child sends the answers back. Labels that the child has not got yet are random where a form of learner wants some. So no
program in the child can read a label that it is to predict: it is not there. Frames are a length of eight bytes and an
array of numbers as `numpy.save` writes it, never a pickle.
"""

import io
import json
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

from gpicl_bench.errors import EntryError, GpiclBenchError
from gpicl_bench.learners import Adapter, Block
from gpicl_bench.suite import Info

_CHUNK = 2**16
_LARGEST = 2**31  # bytes of a frame
_ROWS = 64  # episodes at a time
_KEPT = ("PATH", "LANG", "LC_ALL", "TMPDIR", "SYSTEMROOT", "VIRTUAL_ENV")
_PREFIXES = ("JAX_", "XLA_", "CUDA_", "NVIDIA_", "LD_", "OMP_", "OPENBLAS_", "MKL_")

# A user namespace can be entered only while the process has one thread, so before NumPy is imported.
_PROGRAM = """
import ctypes, os, sys
ids = os.getuid(), os.getgid()
isolated = 0
try:
    if ctypes.CDLL(None, use_errno=True).unshare(0x10000000 | 0x40000000) == 0:  # CLONE_NEWUSER, CLONE_NEWNET
        isolated = 1
        maps = {"setgroups": "deny", "uid_map": f"{ids[0]} {ids[0]} 1", "gid_map": f"{ids[1]} {ids[1]} 1"}
        for name, text in maps.items():
            with open(f"/proc/self/{name}", "w") as file:
                file.write(text)
except (OSError, AttributeError):
    pass
from gpicl_bench.leaderboard.rerun import answer
answer(int(sys.argv[1]), int(sys.argv[2]), isolated)
"""


@dataclass(frozen=True)
class Limits:
    """Of the child: wall-clock seconds for all of its work, and bytes of its data."""

    seconds: float = 3600.0
    memory: int = 16 * 2**30


@dataclass(frozen=True, eq=False)
class Answers:
    """What the child said: scores or labels of each task at each position, and whether it had no network."""

    values: Float64[np.ndarray, "B P C"] | Int64[np.ndarray, "B P"]
    isolated: bool


def ask_again(
    file: Path,
    folder: Path,
    args: Mapping[str, Any],
    info: Info,
    block: Block,
    positions: Sequence[int],
    limits: Limits,
) -> Answers:
    """Ask a learner file about a block of episodes at each position.

    Args:
        file: relative to `folder`.
        folder: where the child runs.
        args: of make_learner.
        info: of the suite.
        block: the episodes; the child gets y_t after it has answered at t.
        positions: k, ascending.
        limits: of the child.

    Raises:
        EntryError: the child died, ran out of time or memory, or the learner fails there.
    """
    about = {"file": str(file), "args": dict(args), "info": asdict(info), "memory": limits.memory}
    with _child(folder, limits) as channel:
        channel.send(np.frombuffer(json.dumps(about).encode(), np.uint8))
        isolated = bool(channel.receive()[0])
        parts = [_ask(channel, block, rows, positions) for rows in _parts(len(block.y))]
        channel.send(np.zeros(2, np.int64))  # that was all
    if len({part.ndim for part in parts}) > 1:
        raise EntryError("the learner gives scores for some tasks and labels for others", where=str(file))
    return Answers(np.concatenate(parts), isolated)


def _parts(count: int) -> Iterator[slice]:
    return (slice(start, min(start + _ROWS, count)) for start in range(0, count, _ROWS))


def _ask(channel: "_Channel", block: Block, rows: slice, positions: Sequence[int]) -> np.ndarray:
    x, y, keys = block.x[rows], block.y[rows], block.keys[rows]
    channel.send(np.array([len(x), len(positions)], np.int64))
    channel.send(x)
    channel.send(keys)
    found, told = [], 0
    for k in positions:
        channel.send(np.array([k], np.int64))
        channel.send(y[:, told:k])
        told = k
        answer = channel.receive()
        if answer.shape not in ((len(x), 1), (len(x), 1, answer.shape[-1])) or answer.dtype.kind not in "fi":
            raise EntryError("the learner's process gave no answers", got=f"{answer.dtype} of shape {answer.shape}")
        found.append(answer)
    return np.concatenate(found, axis=1)


@contextmanager
def _child(folder: Path, limits: Limits) -> Iterator["_Channel"]:
    """A fresh process without our environment's surprises; it and all that it starts end with the block."""
    (theirs_in, ours_out), (ours_in, theirs_out) = os.pipe(), os.pipe()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, str(theirs_in), str(theirs_out)],
            cwd=folder,
            env=environment(folder),
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
            said.seek(0)  # the child has the same place in this file: not before it has written its last word
            lines = said.read()[-4000:].decode(errors="replace").strip().splitlines()
            raise EntryError(
                "the learner's process ended early",
                got=f"status {process.returncode}: {lines[-1] if lines else 'no message'}",
                hint=f"it may have wanted more than {limits.memory / 2**30:g} GiB of memory",
            ) from error
        finally:
            for end in (ours_in, ours_out):
                with suppress(OSError):
                    os.close(end)
            with suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def environment(folder: Path) -> dict[str, str]:
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

    def receive(self) -> np.ndarray:
        size = int.from_bytes(self._bytes(8), "little")
        if size > _LARGEST:
            raise EntryError("the learner's process sent too much", expected=f"≤ {_LARGEST:,} bytes", got=size)
        return _array(self._bytes(size))

    def _bytes(self, count: int) -> bytes:
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
                raise EntryError(
                    "the learner did not answer in time", expected=f"within {self.limits.seconds:g} s in all"
                )


def _frame(array: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, np.ascontiguousarray(array), allow_pickle=False)
    return len(file.getvalue()).to_bytes(8, "little") + file.getvalue()


def _array(content: bytes) -> np.ndarray:
    try:
        return np.load(io.BytesIO(content), allow_pickle=False)
    except (ValueError, EOFError, OSError) as error:
        raise EntryError("the learner's process sent no array", got=str(error)) from error


def answer(reads: int, writes: int, isolated: int) -> None:
    """The child: load the learner and answer position by position; it ends with a line that says why it could not."""
    import resource

    from gpicl_bench.learners import adapt, load_learner
    from gpicl_bench.learners.threads import one_thread

    with os.fdopen(reads, "rb") as source, os.fdopen(writes, "wb") as sink:

        def receive() -> np.ndarray:
            return _array(source.read(int.from_bytes(source.read(8), "little")))

        def send(array: np.ndarray) -> None:
            sink.write(_frame(array))
            sink.flush()

        about = json.loads(receive().tobytes())
        resource.setrlimit(resource.RLIMIT_DATA, (about["memory"], about["memory"]))
        send(np.array([isolated]))
        info = Info(**about["info"])
        try:
            adapter = adapt(load_learner(about["file"], info, about["args"]).learner, info, Path(about["file"]).stem)
            with one_thread():
                _answer_all(adapter, info, receive, send)
        except GpiclBenchError as error:
            sys.exit(f"{error.what}: {error.got}")
        except MemoryError:
            sys.exit("out of memory")


def _answer_all(adapter: Adapter, info: Info, receive: Callable[[], np.ndarray], send: Callable[..., None]) -> None:
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
            send(adapter.predict(Block(range(rows), x, y.copy(), keys), np.array([k])))
