"""Entries as files: read and checked against their digests, and written whole or not at all."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpicl_bench.errors import EntryError
from gpicl_bench.leaderboard.entry import (
    LATER,
    Entry,
    Marks,
    Verified,
    entry_digest,
    field_digests,
    part_digest,
    plain,
    validated,
)
from gpicl_bench.leaderboard.yaml_files import read_yaml, write_yaml


def read_entry(path: str | Path) -> Entry:
    """Read `<suite>/<name>.yaml` and check schema, digests and place; no other file is opened.

    Raises:
        EntryError: it cannot be read, is malformed, or was edited; the error names file and field.
    """
    path = Path(path)
    fields = read_yaml(path)
    if not isinstance(fields, dict):
        raise EntryError("this is no entry", expected="fields and values", got=type(fields).__name__, where=str(path))
    try:
        entry = validated(fields)
        _check_digests(entry)
        _check_whole(entry)
        _check_place(entry, path)
    except (EntryError, TypeError, ValueError) as error:  # JSON refuses keys and values that YAML has
        if not isinstance(error, EntryError):
            raise EntryError("this is no entry", expected="plain values", got=str(error), where=str(path)) from error
        raise EntryError(
            error.what, expected=error.expected, got=error.got, where=str(path), hint=error.hint
        ) from error
    return entry


def write_entry(entry: Entry, path: Path) -> None:
    """Write an entry, without the later parts that it has not."""
    fields = plain(entry)
    write_yaml(path, {name: value for name, value in fields.items() if value is not None or name not in LATER})


def stamped(entry: Entry, fields: Mapping[str, Any]) -> dict[str, Any]:
    """The fields of `verified` or `marks`, with the digest of the entry that they are about and their own."""
    about = {**fields, "entry": entry.digest}
    return {**about, "digest": part_digest(about)}


def entry_paths(folder: Path) -> Iterator[Path]:
    """The entries of a folder of leaderboards, `<suite>/<name>.yaml`, by name."""
    yield from sorted(path for path in folder.glob("*-v*/*.yaml") if path.is_file())


def bundle(path: Path) -> Path:
    """The folder with the files of the entry at a path."""
    return path.with_suffix("")


def _check_digests(entry: Entry) -> None:
    fields = plain(entry)
    found = field_digests(fields)
    altered = [name for name in sorted({*found, *entry.digests}) if found.get(name) != entry.digests.get(name)]
    if altered or entry_digest(entry.digests) != entry.digest:
        raise EntryError(
            "the entry was altered after it was made",
            expected="fields as their digests say, and these as the digest says",
            got=f"another {', '.join(altered) or 'digest'}",
            hint="make it again with `python -m gpicl_bench submit`",
        )
    for name, part in (("verified", entry.verified), ("marks", entry.marks)):
        if part is not None:
            _check_part(name, part, entry)


def _check_part(name: str, part: Verified | Marks, entry: Entry) -> None:
    if part_digest(plain(part)) != part.digest:
        raise EntryError(f"{name} was altered after it was written", expected=f"digest {part.digest}")
    if part.entry != entry.digest:
        raise EntryError(f"{name} is of another entry", expected=f"entry: {entry.digest}", got=part.entry)


def _check_whole(entry: Entry) -> None:
    """Every file that is named is among the files."""
    named = [entry.learner.file, *(place for run in entry.runs for place in (run.result, run.diagnosis))]
    missing = [place for place in named if place not in entry.files]
    if missing:
        raise EntryError("a file is not among the files of the entry", expected="its SHA-256", got=missing[0])


def _check_place(entry: Entry, path: Path) -> None:
    if (entry.suite, entry.name) != (path.absolute().parent.name, path.stem):
        raise EntryError(
            "the entry lies elsewhere than it says",
            expected=f"{entry.suite}/{entry.name}.yaml",
            got=f"{path.absolute().parent.name}/{path.name}",
        )
