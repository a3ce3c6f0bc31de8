"""Reads base datasets from their published files: in `GPICL_BENCH_DATA`, or downloaded; checked by SHA-256 either way.

A file is known by its content: under another name it is found by its size and its hash. Downloads are kept in the
cache until `python -m gpicl_bench data clear`.
"""

import functools
import hashlib
import logging
import os
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from gpicl_bench.datasets import cache, formats
from gpicl_bench.datasets.part import Part, canonical
from gpicl_bench.datasets.published import PUBLISHED, File
from gpicl_bench.errors import CacheError, DataCorrupt, DataUnavailable
from gpicl_bench.progress import bar

TIMEOUT = (5.0, 30.0)  # seconds: to connect, and without a byte
RETRIES = 2
_CHUNK = 2**18


def folder() -> Path | None:
    """The user's folder of published files, `GPICL_BENCH_DATA`; None if it is not set.

    Raises:
        DataUnavailable: there is no such folder.
    """
    chosen = os.environ.get("GPICL_BENCH_DATA")
    if not chosen:
        return None
    place = cache.user_path(chosen)
    if not place.is_dir():
        raise DataUnavailable("GPICL_BENCH_DATA is no folder", expected="a folder of published files", got=str(place))
    return place


def present(name: str, part: str) -> list[Path] | None:
    """The files of a part in `GPICL_BENCH_DATA` or among the downloads, checked; None if one of them is in neither.

    Raises:
        DataCorrupt: a file of the right name in `GPICL_BENCH_DATA` has other bytes.
        DataUnavailable: a file cannot be read.
    """
    found = [_find(file, name, downloads(name)) for file in PUBLISHED[name].files(part)]
    return [path for path in found if path] if all(found) else None


def verify(name: str, part: str) -> list[Path]:
    """The files of a part that are there, every file of the right name checked, downloads too.

    Raises:
        DataCorrupt: one has other bytes.
    """
    for file in PUBLISHED[name].files(part):
        with _readable(file, name):
            _refuse(file, name, [path for path in (downloads(name) / file.name, *_named(file, name)) if path.is_file()])
    return present(name, part) or []


def read(name: str, part: str, paths: list[Path]) -> Part:
    """One part of a dataset from its published files.

    Raises:
        DataCorrupt: a file is not in its published format.
    """
    with formats.reading(", ".join(map(str, paths))):
        return canonical(*PUBLISHED[name].reader(paths, part))


def download(name: str, part: str) -> Part:
    """One part of a dataset from its published files, of which those that are missing are downloaded first.

    Where the cache cannot keep them they go to a temporary folder.

    Raises:
        DataUnavailable: a server cannot be reached, or does not have the file.
        DataCorrupt: what a server sends is not the published file.
        CacheError: there is no room for them anywhere.
    """
    try:
        return _download(name, part, downloads(name))
    except CacheError as error:
        cache.warn(f"downloads are not kept: {error.what} ({error.got}): {error.where}")
    with tempfile.TemporaryDirectory(prefix="gpicl_bench-") as temporary:
        return _download(name, part, Path(temporary))


def downloads(name: str) -> Path:
    """Where the downloaded files of a dataset are kept."""
    return cache.folder() / name / "downloads"


def _download(name: str, part: str, target: Path) -> Part:
    paths = [_find(file, name, target) or _fetch(file, name, target) for file in PUBLISHED[name].files(part)]
    return read(name, part, paths)


def _find(file: File, name: str, downloaded: Path) -> Path | None:
    """The file among the downloads or in the user's folder: under its own name, else by size and hash."""
    with _readable(file, name):
        named = _named(file, name)
        others = [path for inner in _folders(name) for path in sorted(inner.iterdir()) if path not in named]
        for path in (downloaded / file.name, *named, *others):
            if path.is_file() and path.stat().st_size == file.size and _sha256(path) == file.sha256:
                return path
        _refuse(file, name, named)
    return None


@contextmanager
def _readable(file: File, name: str) -> Iterator[None]:
    """Around what looks at a user's files."""
    try:
        yield
    except OSError as error:
        raise DataUnavailable(
            f"a file of {name} cannot be read",
            expected=file.name,
            got=error.strerror,
            where=str(error.filename),
            hint="make it readable, or take it away",
        ) from error


def _folders(name: str) -> list[Path]:
    """Where the user's files of a dataset may be: in the subfolder of its name, or beside those of others."""
    place = folder()
    return [] if place is None else [inner for inner in (place / name, place) if inner.is_dir()]


def _named(file: File, name: str) -> list[Path]:
    """The user's files that bear the name of a published one."""
    return [inner / file.name for inner in _folders(name) if (inner / file.name).is_file()]


def _refuse(file: File, name: str, named: list[Path]) -> None:
    """Raise DataCorrupt if a file of this name is neither this one nor, beside other datasets', one of theirs."""
    namesakes = {other.sha256 for known in PUBLISHED.values() for other in (*known.train, *known.test)}
    for path in named:
        found = _sha256(path)
        if found != file.sha256 and (path.parent != folder() or found not in namesakes):
            raise DataCorrupt(
                f"a file of {name} is not the published one",
                expected=f"{file.size} bytes with SHA-256 {file.sha256}",
                got=f"{path.stat().st_size} bytes with SHA-256 {found}",
                where=str(path),
                hint=f"delete it and copy it again, from {file.url}",
            )


def _sha256(path: Path) -> str:
    about = path.stat()
    return _hashed(path, about.st_size, about.st_mtime_ns)


@functools.cache
def _hashed(path: Path, size: int, modified: int) -> str:
    """Once for each state of a file: one archive may serve both parts."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _fetch(file: File, name: str, target: Path) -> Path:
    """Download a file under a temporary name, check it, and rename it."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    known, urls = {file.name: f"sha256:{file.sha256}"}, {file.name: file.url}
    store = pooch.create(target, base_url="", registry=known, urls=urls, retry_if_failed=RETRIES)
    expected = f"{file.name}, {file.size} bytes with SHA-256 {file.sha256}"
    try:
        with bar(f"{name}: {file.name}", file.size, sys.stderr.isatty(), in_bytes=True) as advance:
            path = Path(store.fetch(file.name, downloader=_downloader(file, advance)))
        path.chmod(0o644)  # for others who share the cache
        return path
    except requests.RequestException as error:
        what, got = f"a file of {name} cannot be downloaded", f"{type(error).__name__}: {_cause(error)}"
        raise DataUnavailable(what, expected=expected, got=got, where=file.url) from error
    except ValueError as error:
        what = f"what the server sends is not the published file of {name}"
        hint = "a page of a proxy or of a login? Copy the file into GPICL_BENCH_DATA by hand"
        raise DataCorrupt(what, expected=expected, got=str(error), where=file.url, hint=hint) from error
    except OSError as error:
        what, got = f"a file of {name} cannot be written", f"{type(error).__name__}: {error.strerror or error}"
        raise CacheError(
            what, expected=expected, got=got, where=str(target), hint="set GPICL_BENCH_CACHE to another folder"
        ) from error


def _downloader(file: File, advance: Callable[[int], None]) -> Callable[[str, str, object], None]:
    """What pooch calls for each try: stream the address to a path, and no more bytes than the file has."""

    def stream(url: str, output: str, _pooch: object) -> None:
        import requests
        import urllib3

        received = 0
        try:
            response = requests.get(url, stream=True, timeout=TIMEOUT, headers={"Accept-Encoding": "identity"})
            with response, open(output, "wb") as out:
                response.raise_for_status()
                for chunk in response.raw.stream(_CHUNK, decode_content=False):  # as published, whatever was encoded
                    received += len(chunk)
                    if received > file.size:
                        raise ValueError(f"more than {file.size} bytes")
                    out.write(chunk)
                    advance(len(chunk))
        except urllib3.exceptions.HTTPError as error:
            raise requests.ConnectionError(error) from error  # one kind of error, which pooch tries again
        finally:
            if received != file.size:
                advance(-received)

    return stream


def _cause(error: BaseException) -> object:
    """The innermost reason: requests wraps several errors around it."""
    inner = error.args[0] if error.args else error
    return getattr(inner, "reason", inner)
