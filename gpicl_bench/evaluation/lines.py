"""Lines in a file that only grows: each a JSON object with its own SHA-256, on the disk before the next is begun.

The hash is of the canonical JSON of the other fields (keys sorted, no spaces). A last line without its end was being
written when the process died: it is dropped. Any other damage is an error.
"""

import errno
import json
import os
import stat
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from gpicl_bench.errors import GpiclBenchError, ResultError
from gpicl_bench.evaluation.storage import json_sha256

Record = dict[str, Any]


@contextmanager
def locked(path: Path) -> Iterator[int]:
    """The file, made if it is missing, for this process alone; the lock goes with the process.

    Raises:
        ResultError: it is in use, or cannot be opened.
    """
    with _opened(path, os.O_RDWR | os.O_CREAT) as file:
        try:
            alone = _lock(file) and os.path.samestat(os.fstat(file), path.stat())  # else it was finished, and removed
        except OSError as error:
            raise _unusable(path, error) from error
        if not alone:
            raise ResultError(
                "another process writes this journal", where=str(path), hint="wait for it, or choose another file"
            )
        yield file


@contextmanager
def readable(path: Path) -> Iterator[int]:
    """The file, to be read."""
    with _opened(path, os.O_RDONLY) as file:
        yield file


def read(file: int, path: Path, kind: str) -> Iterator[tuple[int, Record]]:
    """Number and fields of each whole line; the first has the format `kind`.

    Raises:
        ResultError: a line is damaged, or the file is something else.
    """
    start = json.dumps({"format": kind}, separators=(",", ":"))[:-1].encode()
    with os.fdopen(os.dup(file), "rb") as stream:
        stream.seek(0)
        for number, line in enumerate(stream, 1):
            if number == 1 and line[: len(start)] != start[: len(line)]:
                raise ResultError(
                    "this file is no journal",
                    expected=f"one that begins with {start.decode()}",
                    where=str(path),
                    hint="choose another file",
                )
            if line.endswith(b"\n"):
                yield number, _checked(line, path, number)


def cut(file: int) -> None:
    """Remove a last line without its end."""
    with os.fdopen(os.dup(file), "rb") as stream:
        stream.seek(0)
        size = sum(len(line) for line in stream if line.endswith(b"\n"))
    os.ftruncate(file, size)


def append(file: int, path: Path, record: Record) -> None:
    """Write a line, whole and on the disk.

    Raises:
        ResultError: it cannot be written; the file is as before.
    """
    line = json.dumps({**record, "sha256": json_sha256(record)}, separators=(",", ":")).encode() + b"\n"
    end = os.lseek(file, 0, os.SEEK_END)
    try:
        while line:
            line = line[os.write(file, line) :]
        os.fsync(file)
    except OSError as error:
        os.ftruncate(file, end)
        raise ResultError(
            "the journal cannot be written",
            got=error.strerror,
            where=str(path),
            hint="what is in it stays: make room and go on with it",
        ) from error


def damaged(path: Path, number: int, error: Exception) -> ResultError:
    """The error for a line that is not as it was written."""
    return ResultError(
        "the journal is damaged",
        got=error.what if isinstance(error, GpiclBenchError) else f"{type(error).__name__}: {error}",
        where=f"{path}, line {number}",
        hint="delete the journal" if number == 1 else f"delete line {number}: tasks that it kept are asked again",
    )


def _checked(line: bytes, path: Path, number: int) -> Record:
    try:
        record = json.loads(line)
        if not isinstance(record, dict) or record.pop("sha256", None) != json_sha256(record):
            raise ValueError("the line does not have its hash")
    except (ValueError, RecursionError) as error:
        raise damaged(path, number, error) from error
    return record


@contextmanager
def _opened(path: Path, flags: int) -> Iterator[int]:
    try:
        file = os.open(path, flags | getattr(os, "O_NONBLOCK", 0), 0o666)  # a pipe must not make us wait
    except (OSError, ValueError) as error:
        raise _unusable(path, error) from error
    try:
        if not stat.S_ISREG(os.fstat(file).st_mode):
            raise _unusable(path, OSError(errno.EINVAL, "it is no ordinary file"))
        yield file
    finally:
        os.close(file)


def _lock(file: int) -> bool:
    if sys.platform == "win32":
        return True  # no such lock there: tasks that two processes have kept are found when they are read
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        return True  # a file system without locks: as above
    return True


def _unusable(path: Path, error: OSError | ValueError) -> ResultError:
    reason = getattr(error, "strerror", None) or str(error)
    return ResultError("the journal cannot be opened", got=reason, where=str(path), hint="choose another place")
