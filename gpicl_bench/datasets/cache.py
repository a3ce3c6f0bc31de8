"""The cache: parts of base datasets as memory-mapped arrays, checked by hash whenever they are opened.

The folder is `GPICL_BENCH_CACHE`, or `gpicl_bench` in the user's cache folder. A part is a folder of
two `.npy` files, named by the part's pinned hash. It is written beside its place and renamed, so a
half-written one is never seen.
"""

import os
import shutil
import tempfile
from pathlib import Path

import numpy as np

from gpicl_bench.datasets.part import Part, part_sha256
from gpicl_bench.errors import CacheError, DataCorrupt


def folder() -> Path:
    """The cache folder."""
    chosen = os.environ.get("GPICL_BENCH_CACHE")
    if chosen:
        return Path(chosen).expanduser()
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "gpicl_bench"


def place(name: str, part: str, sha256: str) -> Path:
    """Where a part is kept."""
    return folder() / name / f"{part}-{sha256[:16]}"


def read(where: Path, sha256: str) -> Part | None:
    """The part kept at `where`, or None if there is none.

    Raises:
        DataCorrupt: the files are damaged or altered.
    """
    if not where.exists():
        return None
    try:
        part = Part(_open(where / "images.npy"), _open(where / "labels.npy"))
        found = part_sha256(part)
    except (OSError, ValueError, EOFError, TypeError, DataCorrupt) as error:
        raise _damaged(where, "the files as they were written", f"{type(error).__name__}: {error}") from error
    if found != sha256:
        raise _damaged(where, f"SHA-256 {sha256}", found)
    return part


def write(where: Path, part: Part) -> None:
    """Keep a part: both files in a new folder, then one rename.

    Raises:
        CacheError: the folder cannot be written, or the disk is full; nothing is left behind.
    """
    scratch: Path | None = None
    try:
        where.parent.mkdir(parents=True, exist_ok=True)
        scratch = Path(tempfile.mkdtemp(prefix=f".{where.name}-", dir=where.parent))
        np.save(scratch / "images.npy", part.images)
        np.save(scratch / "labels.npy", part.labels)
        scratch.chmod(0o755)
        _rename(scratch, where)
    except OSError as error:
        raise CacheError(
            "the cache folder cannot be written",
            expected="a folder to write to, with room for the images",
            got=f"{type(error).__name__}: {error.strerror}",
            where=str(where.parent),
            hint="set GPICL_BENCH_CACHE to another folder",
        ) from error
    finally:
        if scratch is not None:
            shutil.rmtree(scratch, ignore_errors=True)


def _rename(scratch: Path, where: Path) -> None:
    try:
        scratch.rename(where)
    except OSError:
        if not where.exists():  # else another process was first: its copy is checked when it is opened
            raise


def _open(path: Path) -> np.ndarray:
    array: np.ndarray = np.load(path, mmap_mode="r", allow_pickle=False)
    return array


def _damaged(where: Path, expected: str, got: str) -> DataCorrupt:
    return DataCorrupt(
        "a cached dataset is damaged",
        expected=expected,
        got=got,
        where=str(where),
        hint="delete that folder: it is written anew from the source",
    )
