"""The folder of a site: written page by page, each whole or not at all; what was generated earlier and is stale goes.

The file `.gpicl_bench-site` lists what was generated. A folder that holds something and has no such list belongs to
somebody else, and is left alone.
"""

import os
import re
import secrets
from collections.abc import Iterable
from pathlib import Path

from gpicl_bench.errors import EntryError

MARKER = ".gpicl_bench-site"
_PAGE = re.compile(r"(entries/[a-z0-9][a-z0-9_.-]*/)?[a-z0-9][a-z0-9_.-]*\.html")


def write_site(pages: Iterable[tuple[str, str]], folder: Path) -> int:
    """Write pages into a folder, and remove those that an earlier call has left and that are no longer among them.

    Args:
        pages: place and content of each.
        folder: new, empty, or written by this function.

    Returns:
        How many pages there are.

    Raises:
        EntryError: the folder is somebody else's, or cannot be written.
    """
    before, made = _generated(folder), dict(pages)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        write_page(folder / MARKER, _listed({*before, *made}))  # whatever ends this, the next call knows what is ours
        for place, content in made.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            write_page(folder / place, content)
        for place in before - set(made):
            (folder / place).unlink(missing_ok=True)
        _remove_empty(folder / "entries")
        write_page(folder / MARKER, _listed(made))
    except OSError as error:
        got = error.strerror or str(error)
        raise EntryError("the pages cannot be written", got=got, where=str(error.filename or folder)) from error
    return len(made)


def write_page(path: Path, content: str) -> None:
    """Write a file beside its place, then rename it; one that is as it should be is left alone."""
    raw = content.encode("utf-8")
    if path.is_file() and path.read_bytes() == raw:
        return
    scratch = path.with_name(f".{path.name}-{secrets.token_hex(8)}")
    try:
        scratch.write_bytes(raw)
        scratch.replace(path)
    finally:
        scratch.unlink(missing_ok=True)


def _generated(folder: Path) -> set[str]:
    """What an earlier call has written."""
    if not folder.exists() or (folder.is_dir() and not os.listdir(folder)):
        return set()
    marker = folder / MARKER
    if not folder.is_dir() or not marker.is_file():
        hint = "choose another --output, or empty it"
        expected = "a new folder, an empty one, or one that this command has made"
        raise EntryError("the output is not of this command", expected=expected, got=str(folder), hint=hint)
    return {line for line in marker.read_text(encoding="utf-8").splitlines() if _PAGE.fullmatch(line)}


def _listed(places: Iterable[str]) -> str:
    return "".join(f"{place}\n" for place in sorted(places))


def _remove_empty(entries: Path) -> None:
    for suite in sorted(entries.glob("*")):
        if suite.is_dir() and not os.listdir(suite):
            suite.rmdir()
