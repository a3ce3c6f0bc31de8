"""Marks of the organisers: an entry that is unreliable, or superseded by another one of its authors."""

from pathlib import Path

from gpicl_bench.errors import EntryError
from gpicl_bench.leaderboard.entry import plain, validated
from gpicl_bench.leaderboard.reading import read_entry, stamped, write_entry


def mark(path: str | Path, unreliable: str | None = None, superseded_by: str | None = None) -> None:
    """Mark an entry, or take its marks away; what it says itself, and its verification, stay as they are.

    Args:
        path: `<suite>/<name>.yaml`.
        unreliable: why it is.
        superseded_by: the name of another entry on the same suite.

    Raises:
        EntryError: the entry cannot be read, there is no such other entry, or the reason is empty or too long.
    """
    path = Path(path)
    entry = read_entry(path)
    if unreliable is not None and not unreliable.strip():
        raise EntryError("a mark needs a reason", expected="what shows it, such as a seed and a command", got="nothing")
    if superseded_by is not None:
        if superseded_by == entry.name:
            raise EntryError("an entry cannot supersede itself", expected="another name", got=superseded_by)
        read_entry(path.with_name(f"{superseded_by}.yaml"))
    marks = None
    if (unreliable, superseded_by) != (None, None):
        marks = stamped(entry, {"unreliable": unreliable, "superseded_by": superseded_by})
    write_entry(validated({**plain(entry), "marks": marks}), path)
