"""Reads base datasets from their published files: in `GPICL_BENCH_DATA`, or downloaded; checked by SHA-256 either way.

A file is known by its content: under another name it is found by its size and its hash. Downloads are kept in the
cache until `python -m gpicl_bench data clear`.
"""

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
    """The user's folder of published files, `GPICL_BENCH_DATA`; None if it is not set."""
    chosen = os.environ.get("GPICL_BENCH_DATA")
    return cache.user_path(chosen) if chosen else None


def present(name: str, part: str) -> list[Path] | None:
    """The files of a part in `GPICL_BENCH_DATA` or among the downloads, checked; None if one of them is in neither.

    Raises:
        DataCorrupt: a file of the right name has other bytes.
    """
    if name not in PUBLISHED:
        return None
    places = [place for place in (folder(), downloads(name)) if place is not None]
    found = [_find(file, name, places) for file in PUBLISHED[name].files(part)]
    return [path for path in found if path] if all(found) else None


def read(name: str, part: str, paths: list[Path]) -> Part:
    """One part of a dataset from its published files.

    Raises:
        DataCorrupt: a file is not in its published format.
    """
    with formats.reading(", ".join(map(str, paths))):
        return canonical(*PUBLISHED[name].reader(paths, part))


def download(name: str, part: str) -> Part:
    """One part of a dataset from its published files, of which those that are missing are downloaded first.

    Raises:
        DataUnavailable: a server cannot be reached, or does not have the file.
        DataCorrupt: what a server sends is not the published file.
        CacheError: the disk is full.
    """
    with _writable(downloads(name)) as target:
        places = [place for place in (folder(), target) if place is not None]
        paths = [_find(file, name, places) or _fetch(file, name, target) for file in PUBLISHED[name].files(part)]
        return read(name, part, paths)


def downloads(name: str) -> Path:
    """Where the downloaded files of a dataset are kept."""
    return cache.folder() / name / "downloads"


def _find(file: File, name: str, places: list[Path]) -> Path | None:
    """The file in one of the folders or in their subfolder `name`: under its own name, else by size and hash."""
    folders = [inner for place in places for inner in (place / name, place) if inner.is_dir()]
    named = [path for path in (inner / file.name for inner in folders) if path.is_file()]
    others = [path for inner in folders for path in sorted(inner.iterdir()) if path not in named and path.is_file()]
    for path in (*named, *others):
        if path.stat().st_size == file.size and _sha256(path) == file.sha256:
            return path
    _refuse(file, name, [path for path in named if folder() in (path.parent, path.parent.parent)])
    return None


def _refuse(file: File, name: str, named: list[Path]) -> None:
    """Raise DataCorrupt if the user has a file of this name that is neither this one nor another dataset's."""
    namesakes = {other.sha256 for known in PUBLISHED.values() for other in (*known.train, *known.test)}
    for path in named:
        found = _sha256(path)
        if path.parent.name == name or found not in namesakes:
            raise DataCorrupt(
                f"a file of {name} is not the published one",
                expected=f"{file.size} bytes with SHA-256 {file.sha256}",
                got=f"{path.stat().st_size} bytes with SHA-256 {found}",
                where=str(path),
                hint=f"delete it and copy it again, from {file.url}",
            )


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


@contextmanager
def _writable(target: Path) -> Iterator[Path]:
    """The folder for downloads; where it cannot be made, a temporary one."""
    try:
        target.mkdir(parents=True, exist_ok=True)
        for unfinished in target.glob("tmp*"):  # of a download that was killed
            unfinished.unlink()
    except OSError as error:
        cache.warn(f"{target} cannot be written ({error.strerror}): downloads are not kept")
        with tempfile.TemporaryDirectory(prefix="gpicl_bench-") as temporary:
            yield Path(temporary)
    else:
        yield target


def _fetch(file: File, name: str, target: Path) -> Path:
    """Download a file under a temporary name, check it, and rename it."""
    import pooch
    import requests

    pooch.get_logger().setLevel(logging.WARNING)
    store = pooch.create(
        target,
        base_url="",
        registry={file.name: f"sha256:{file.sha256}"},
        urls={file.name: file.url},
        retry_if_failed=RETRIES,
    )
    try:
        with bar(f"{name}: {file.name}", file.size, sys.stderr.isatty(), in_bytes=True) as advance:
            return Path(store.fetch(file.name, downloader=_downloader(file, advance)))
    except requests.RequestException as error:
        raise DataUnavailable(
            f"a file of {name} cannot be downloaded",
            expected=f"{file.name}, {file.size} bytes",
            got=f"{type(error).__name__}: {_cause(error)}",
            where=file.url,
        ) from error
    except ValueError as error:
        raise DataCorrupt(
            f"what the server sends is not the published file {file.name} of {name}",
            expected=f"{file.size} bytes with SHA-256 {file.sha256}",
            got=str(error),
            where=file.url,
            hint="a page of a proxy or of a login? Copy the file into GPICL_BENCH_DATA by hand",
        ) from error
    except OSError as error:
        raise CacheError(
            f"a file of {name} cannot be written",
            expected=f"{file.size} bytes of free space",
            got=f"{type(error).__name__}: {error.strerror}",
            where=str(target),
            hint="set GPICL_BENCH_CACHE to another folder",
        ) from error


def _downloader(file: File, advance: Callable[[int], None]) -> Callable[[str, str, object], None]:
    """What pooch calls for each try: stream the address to a path, and no more bytes than the file has."""

    def stream(url: str, output: str, _pooch: object) -> None:
        import requests

        received = 0
        headers = {"Accept-Encoding": "identity"}  # the bytes as they are published, whatever the server would like
        try:
            with (
                requests.get(url, stream=True, timeout=TIMEOUT, headers=headers) as response,
                open(output, "wb") as out,
            ):
                response.raise_for_status()
                for chunk in response.iter_content(_CHUNK):
                    received += len(chunk)
                    if received > file.size:
                        raise ValueError(f"more than {file.size} bytes")
                    out.write(chunk)
                    advance(len(chunk))
        except BaseException:
            advance(-received)
            raise

    return stream


def _cause(error: BaseException) -> object:
    """The innermost reason: requests wraps several errors around it."""
    inner = error.args[0] if error.args else error
    return getattr(inner, "reason", inner)
