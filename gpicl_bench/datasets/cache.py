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
from gpicl_bench.datasets.table import Dataset
from gpicl_bench.errors import CacheError, DataCorrupt


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


def place(name: str, part: str, sha256: str) -> Path:
    """Where a part is kept."""
    return folder() / name / f"{part}-{sha256[:16]}"


def read(where: Path, known: Dataset, name: str) -> Part | None:
    """The part `name` of a dataset kept at `where`, or None if there is none.

    Raises:
        DataCorrupt: the files are damaged or altered.
    """
    if not where.exists():
        return None
    try:
        part = Part(_open(where / "images.npy"), _open(where / "labels.npy"))
        shapes = part.images.shape, part.labels.shape
        if shapes != ((known.size[name], *known.shape), (known.size[name],)):
            raise DataCorrupt("the arrays have other shapes", got=str(shapes))
        if (str(part.images.dtype), str(part.labels.dtype)) != ("uint8", "uint16"):
            raise DataCorrupt("the arrays have other types", got=f"{part.images.dtype}, {part.labels.dtype}")
        found = part_sha256(part)
    except (OSError, ValueError, EOFError, TypeError, DataCorrupt) as error:
        raise _damaged(where, "the files as they were written", f"{type(error).__name__}: {error}") from error
    if found != known.sha256[name]:
        raise _damaged(where, f"SHA-256 {known.sha256[name]}", found)
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
