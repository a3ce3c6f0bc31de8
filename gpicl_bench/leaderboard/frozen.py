"""Frozen entries: the entry that a digest names, and its files as they were when it was made."""

from pathlib import Path

from gpicl_bench.errors import EntryError, RoundError
from gpicl_bench.leaderboard.bundle import check_files
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


def frozen_files(entry: Entry, path: Path) -> None:
    """Check every file of the entry at a path.

    Raises:
        RoundError: one is missing, altered, a link, or no ordinary file.
    """
    try:
        check_files(entry.files, bundle(path))
    except EntryError as error:
        what = f"the entry was altered: {error.what}"
        raise RoundError(what, expected=error.expected, got=error.got, where=error.where) from error
