"""Frozen entries: the entry that a digest names, and its files as they were when it was made."""

import hashlib
from pathlib import Path

from gpicl_bench.errors import EntryError, RoundError
from gpicl_bench.leaderboard.entry import Entry
from gpicl_bench.leaderboard.hidden_round import Entered
from gpicl_bench.leaderboard.reading import bundle, read_entry


def entry_path(folder: Path, entered: Entered) -> Path:
    """Where an entered entry lies in a folder of leaderboards."""
    return folder / entered.suite / f"{entered.name}.yaml"


def frozen_entry(folder: Path, entered: Entered) -> Entry:
    """The entry as it entered; its files are not opened.

    Raises:
        RoundError: the entry was withdrawn (its file is gone) or altered (its digest is another).
    """
    path = entry_path(folder, entered)
    if not path.exists():
        raise RoundError(
            "the entry was withdrawn",
            expected=f"the entry that was frozen, {entered.digest}",
            got="no such file",
            where=str(path),
        )
    try:
        entry = read_entry(path)
    except EntryError as error:
        got = error.what if error.got is None else f"{error.what}: {error.got}"
        raise RoundError(
            "the entry was altered", expected=f"digest {entered.digest}", got=got, where=str(path)
        ) from error
    if entry.digest != entered.digest:
        raise RoundError(
            "the entry was altered", expected=f"digest {entered.digest}", got=entry.digest, where=str(path)
        )
    return entry


def check_files(entry: Entry, path: Path) -> None:
    """Check every file of the entry at a path.

    Raises:
        RoundError: one is missing, altered, a link, or no ordinary file.
    """
    for place, sha256 in entry.files.items():
        _content(bundle(path), place, sha256)


def copy_files(entry: Entry, path: Path, to: Path) -> None:
    """Copy the files of the entry at a path: these very bytes, and no file that is not listed, is what will run.

    Raises:
        RoundError: as `check_files` does.
    """
    for place, sha256 in entry.files.items():
        target = to / place
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(_content(bundle(path), place, sha256))


def _content(home: Path, place: str, sha256: str) -> bytes:
    """The bytes of a file, if they have this hash; a link could lead out of the folder."""
    path = home / place
    above = [home.joinpath(*path.relative_to(home).parts[:depth]) for depth in range(len(path.relative_to(home).parts))]
    try:
        if any(step.is_symlink() for step in (*above, path)):
            raise RoundError("the entry was altered", expected="ordinary files", got="a link", where=str(path))
        if not path.is_file():
            raise RoundError("the entry was altered", expected="all of its files", got=f"no {place}", where=str(path))
        content = path.read_bytes()
    except OSError as error:
        raise RoundError("a file of the entry cannot be read", got=error.strerror, where=str(path)) from error
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise RoundError("the entry was altered", expected=f"{place} with SHA-256 {sha256}", got=found, where=str(path))
    return content
