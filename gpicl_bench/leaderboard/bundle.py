"""The files of an entry: within its folder, of kinds that run nothing when they are read, as their hashes say."""

import hashlib
import json
import re
import shutil
import zipfile
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from gpicl_bench.errors import EntryError
from gpicl_bench.leaderboard.entry import PLACE

LARGEST = 64 * 2**20  # bytes of a file
MOST = 500  # files
TEXT = (".py", ".json", ".yaml", ".yml", ".toml", ".txt", ".md", ".csv")
WEIGHTS = (".safetensors", ".npz")
_CACHES = "__pycache__"  # of Python: never copied, and so never run


def gather(root: Path, paths: Iterable[Path]) -> dict[str, Path]:
    """Files to put into an entry, by their place in it: files under `root`, and folders with all files in them.

    Raises:
        EntryError: one is missing, lies elsewhere, or is of a kind that an entry cannot hold.
    """
    found: dict[str, Path] = {}
    for path in paths:
        for file in sorted(_files(path)) if path.is_dir() else [path]:
            try:
                place = file.resolve(strict=True).relative_to(root.resolve()).as_posix()
            except (OSError, ValueError, RuntimeError) as error:  # RuntimeError: links that lead in a circle
                raise EntryError(
                    "this file cannot be part of the entry",
                    expected=f"a file under {root}",
                    got=str(file),
                    hint="--root names the folder that all files of the learner lie in",
                ) from error
            check_place(place)
            check_content(place, file)
            found[place] = file
    if len(found) > MOST:
        raise EntryError("these are too many files", expected=f"at most {MOST}", got=len(found))
    return found


def check_place(place: str) -> None:
    """Raise EntryError unless a place stays in the folder of its entry."""
    if not re.fullmatch(PLACE, place) or len(place) > 200:
        raise EntryError(
            "this is no place of a file in an entry",
            expected="letters, digits, _ . + - and /, at most 200, no part that begins with a dot",
            got=repr(place),
        )


def check_content(place: str, file: Path) -> None:
    """Raise EntryError unless a file is small enough, and of a kind that runs nothing when it is read.

    A learner's program does run: it is text, and can be read before. A pickle is a program that cannot.
    """
    suffix = PurePosixPath(place).suffix.lower()
    if suffix not in (*TEXT, *WEIGHTS):
        raise EntryError(
            "an entry cannot hold this kind of file",
            expected=f"weights as {' or '.join(WEIGHTS)}; text as {', '.join(TEXT)}; no pickle",
            got=place,
        )
    if file.stat().st_size > LARGEST:
        raise EntryError("this file is too large", expected=f"at most {LARGEST:,} bytes", got=place)
    checks = {".npz": _check_npz, ".safetensors": _check_safetensors}
    try:
        checks.get(suffix, _check_text)(file)
    except Exception as error:  # whatever libraries raise on bytes that somebody has chosen
        raise EntryError(f"this is no {suffix} file", got=f"{type(error).__name__}: {error}", where=place) from error


def check_files(files: Mapping[str, str], folder: Path) -> None:
    """Raise EntryError unless the folder of an entry holds these files, by place and SHA-256."""
    for place, sha256 in files.items():
        _content(folder, place, sha256)
        check_content(place, folder / place)


def check_no_others(files: Mapping[str, str], folder: Path) -> None:
    """Raise EntryError if the folder of an entry holds a file that is not listed."""
    more = [place for path in _files(folder) if (place := path.relative_to(folder).as_posix()) not in files]
    if more:
        raise EntryError("the entry does not list a file of its folder", got=min(more), where=str(folder))


def copy_listed(files: Mapping[str, str], folder: Path, to: Path) -> None:
    """Copy files of an entry, by place and SHA-256: what will run are these very bytes, and no file besides."""
    for place, sha256 in files.items():
        (to / place).parent.mkdir(parents=True, exist_ok=True)
        (to / place).write_bytes(_content(folder, place, sha256))


def _content(folder: Path, place: str, sha256: str) -> bytes:
    """The bytes of a file of an entry; a link could lead out of the folder."""
    check_place(place)
    path = folder / place
    try:
        within = [part for part in (path, *path.parents) if folder in (part, *part.parents)]
        if any(part.is_symlink() for part in within):
            raise EntryError("a file of the entry is a link", expected="an ordinary file", got=place, where=str(folder))
        if not path.is_file() or path.stat().st_size > LARGEST:
            raise EntryError(
                "a file of the entry is missing",
                expected=f"an ordinary file of at most {LARGEST:,} bytes",
                got=place,
                where=str(folder),
            )
        content = path.read_bytes()
    except OSError as error:
        raise EntryError("a file of the entry cannot be read", got=error.strerror, where=str(path)) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise EntryError(
            "a file was altered after the entry was made", expected=f"SHA-256 {sha256}", got=found, where=str(path)
        )
    return content


def sha256_of(path: Path) -> str:
    """Of the content of a file, hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def copy(files: Mapping[str, Path], folder: Path) -> None:
    """Put files at their places in a folder."""
    for place, file in files.items():
        (folder / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(file, folder / place)


def _files(folder: Path) -> Iterator[Path]:
    """All files below a folder but Python's caches."""
    for path in folder.rglob("*"):
        if _CACHES not in path.relative_to(folder).parts and (path.is_symlink() or not path.is_dir()):
            yield path


def _check_text(file: Path) -> None:
    file.read_bytes().decode("utf-8")


def _check_npz(file: Path) -> None:
    """Every member is an array of numbers; an array of objects would be a pickle."""
    with zipfile.ZipFile(file) as archive:
        for member in archive.infolist():
            if not member.filename.endswith(".npy") or member.file_size > LARGEST:
                raise ValueError(f"{member.filename} is no array, or too large")
            with archive.open(member) as part:
                version = np.lib.format.read_magic(part)
                read = {(1, 0): np.lib.format.read_array_header_1_0, (2, 0): np.lib.format.read_array_header_2_0}
                _, _, dtype = read[version](part)
            if dtype.hasobject:
                raise ValueError(f"{member.filename} is an array of objects, a pickle")


def _check_safetensors(file: Path) -> None:
    """Eight bytes with the length of a JSON header, the header, then numbers."""
    with file.open("rb") as part:
        length = int.from_bytes(part.read(8), "little")
        if not 2 <= length <= file.stat().st_size - 8:
            raise ValueError("its header does not fit in it")
        header = json.loads(part.read(length).decode("utf-8"))
    if not isinstance(header, dict):
        raise ValueError("its header is no JSON object")
