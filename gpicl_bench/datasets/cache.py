"""The cache: parts of base datasets as memory-mapped arrays, checked by hash whenever they are opened.

The folder is `GPICL_BENCH_CACHE`, or `gpicl_bench` in the user's cache folder. A part is a folder of `.npy` files,
named by the part's pinned hash; where nothing is pinned, the hash stands in a file beside them. It is written beside
its place and renamed, so a half-written one is never seen. A lock keeps processes from doing the same work twice;
nothing depends on it, for not every file system has locks.
"""

import logging
import os
import secrets
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

from gpicl_bench.datasets import formats
from gpicl_bench.datasets.part import Part
from gpicl_bench.datasets.table import Dataset
from gpicl_bench.errors import CacheError, DataCorrupt

_PATIENCE = 2.0  # seconds of waiting before the user is told
_UNFINISHED = (".train-*", ".test-*", ".downloads-*", "downloads/tmp*")  # what a killed process leaves


def folder() -> Path:
    """The cache folder."""
    chosen = os.environ.get("GPICL_BENCH_CACHE")
    if chosen:
        return user_path(chosen)
    return user_path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "gpicl_bench"


def user_path(text: str) -> Path:
    """A path from the environment, `~` expanded."""
    try:
        return Path(text).expanduser()
    except RuntimeError as error:
        raise CacheError("a folder of the environment does not exist", got=text, hint="give its whole path") from error


def place(known: Dataset, part: str) -> Path:
    """Where a part is kept."""
    return folder() / known.name / f"{part}-{known.sha256.get(part, 'unpinned')[:16]}"


def read(known: Dataset, part: str) -> Part | None:
    """The part of a dataset as it is kept, or None if it is not.

    Raises:
        DataCorrupt: the files are damaged or altered.
        CacheError: the files cannot be read now, which says nothing about what is in them.
    """
    where = place(known, part)
    try:
        if not os.path.lexists(where):  # a link that leads nowhere is damage
            return None
        kept = Part(_open(where / "images.npy"), _open(where / "labels.npy"))
        check(known, part, kept)
        expected = known.sha256.get(part) or (where / "sha256").read_text()
        found = kept.sha256
    except DataCorrupt as error:
        raise _damaged(where, error.expected, f"{error.what}: {error.got}") from error
    except (FileNotFoundError, NotADirectoryError, IsADirectoryError) as error:
        raise _damaged(where, "images.npy and labels.npy", f"{error.strerror}: {error.filename}") from error
    except OSError as error:
        raise CacheError(
            "a cached dataset cannot be read",
            got=f"{type(error).__name__}: {error.strerror or error}",
            where=str(where),
            hint="make the folder readable, or set GPICL_BENCH_CACHE to another one",
        ) from error
    except formats.DAMAGE as error:
        raise _damaged(where, "the files as they were written", f"{type(error).__name__}: {error}") from error
    if found != expected:
        raise _damaged(where, f"SHA-256 {expected}", found)
    return kept


def check(known: Dataset, name: str, part: Part) -> None:
    """Raise DataCorrupt unless a part has the shape, the size, the types and the labels that its row says."""
    shapes = part.images.shape, part.labels.shape
    expected = (known.size[name], *known.shape), (known.size[name],)
    if shapes != expected:
        raise DataCorrupt("the arrays have other shapes", expected=str(expected), got=str(shapes))
    if (str(part.images.dtype), str(part.labels.dtype)) != ("uint8", "uint16"):
        raise DataCorrupt("the arrays have other types", got=f"{part.images.dtype}, {part.labels.dtype}")
    if part.labels.max() >= known.num_classes:
        raise DataCorrupt("a label is out of range", expected=f"below {known.num_classes}", got=part.labels.max())


def write(known: Dataset, name: str, part: Part) -> None:
    """Keep a part: its files in a new folder, then one rename. What stood there, damaged, goes.

    Raises:
        CacheError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    where = place(known, name)
    scratch: Path | None = None
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{where.name}-", dir=where.parent))
        np.save(scratch / "images.npy", part.images)
        np.save(scratch / "labels.npy", part.labels)
        if name not in known.sha256:
            (scratch / "sha256").write_text(part.sha256)
        scratch.chmod(0o755)
        _rename(scratch, where)
    except OSError as error:
        raise _unwritable(where.parent, error) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def remove(where: Path) -> None:
    """Delete a folder of the cache: out of sight by one rename first.

    Raises:
        CacheError: the folder cannot be written.
    """
    gone = where.with_name(f".{where.name}-{secrets.token_hex(4)}")
    try:
        where.rename(gone)
        _delete(gone)
    except OSError as error:
        raise _unwritable(where.parent, error) from error


@contextmanager
def lock(known: Dataset) -> Iterator[None]:
    """One process at a time fills the folder of a dataset. What a killed one has left there is deleted.

    Where no lock can be had (a folder that cannot be written, a file system without locks) there is none: the parts are
    renamed into place whole, so that only work is done twice.
    """
    from filelock import FileLock, Timeout

    where = folder() / known.name
    guard = FileLock(where / ".lock")
    try:
        where.mkdir(parents=True, exist_ok=True)
        try:
            guard.acquire(timeout=_PATIENCE)
        except Timeout:
            warn(f"another process fills {where}: waiting for it")
            guard.acquire()
    except (OSError, NotImplementedError):
        yield
        return
    try:
        for pattern in _UNFINISHED:
            for left in where.glob(pattern):
                _delete(left)
        yield
    finally:
        guard.release()


def warn(message: str) -> None:
    """Tell the user on standard error, through the package's logger: the work goes on."""
    logging.getLogger("gpicl_bench").warning(message)


def _rename(scratch: Path, where: Path) -> None:
    try:
        scratch.rename(where)
    except OSError:
        if not where.exists():  # else another process was first: its copy is checked when it is opened
            raise


def _open(path: Path) -> np.ndarray:
    loaded = np.load(path, mmap_mode="r", allow_pickle=False)
    if isinstance(loaded, np.lib.npyio.NpzFile):
        loaded.close()
    return formats.array(loaded, str(path))


def _delete(path: Path) -> None:
    """A folder with all that is in it, a file, or a link: not what that leads to."""
    shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def _unwritable(where: Path, error: OSError) -> CacheError:
    return CacheError(
        "the cache folder cannot be written",
        expected="a folder to write to, with room for the images",
        got=f"{type(error).__name__}: {error.strerror or error}",
        where=str(where),
        hint="set GPICL_BENCH_CACHE to another folder",
    )


def _damaged(where: Path, expected: str | None, got: str) -> DataCorrupt:
    return DataCorrupt(
        "a cached dataset is damaged",
        expected=expected,
        got=got,
        where=str(where),
        hint="delete that folder: it is written anew from the source",
    )
