"""`data`: the images on this machine, listed, fetched, verified, cleared."""

import argparse
import os
from pathlib import Path

from gpicl_bench.datasets import DATASETS, PARTS, Dataset, cache, dataset, files, load_part, prepared
from gpicl_bench.datasets.loading import forget
from gpicl_bench.datasets.published import PUBLISHED
from gpicl_bench.errors import CacheError, DataCorrupt, DataUnavailable, InvalidArgument

HELP = "list, fetch, verify or clear the images on this machine"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = parser.add_subparsers(required=True, metavar="action")
    add = {name: actions.add_parser(name, help=text, description=text) for name, text in _ACTIONS.items()}
    add["fetch"].add_argument("name", nargs="+", help="a base dataset, as `data list` has it")
    add["fetch"].add_argument("--part", choices=PARTS, help="(default: both)")
    add["fetch"].add_argument("--prepare", action="store_true", help="let TensorFlow Datasets do it: needs TensorFlow")
    add["verify"].add_argument("name", nargs="*", help="(default: all)")
    add["clear"].add_argument("name", nargs="*", help="a base dataset")
    add["clear"].add_argument("--all", action="store_true", help="every base dataset")
    for name, parser in add.items():
        parser.set_defaults(action={"list": _list, "fetch": _fetch, "verify": _verify, "clear": _clear}[name])


_ACTIONS = {
    "list": "what is in the cache, and where the rest can be read",
    "fetch": "put datasets into the cache",
    "verify": "check what is there against its hashes: exit status 1 if anything is damaged",
    "clear": "remove datasets and their downloads from the cache",
}


def run(options: argparse.Namespace) -> int:
    status: int = options.action(options)
    return status


def _list(options: argparse.Namespace) -> int:
    print(f"cache: {cache.folder()}")
    print(f"GPICL_BENCH_DATA: {os.environ.get('GPICL_BENCH_DATA') or 'not set'}")
    print(f"TFDS_DATA_DIR: {prepared.folder()}")
    width = max(map(len, DATASETS))
    for known in DATASETS.values():
        for part in PARTS:
            pinned = "pinned" if part in known.sha256 else "provisional"
            try:
                state = _state(known, part)
            except (OSError, DataUnavailable) as error:
                state = f"UNREADABLE: {error.where if isinstance(error, DataUnavailable) else error.filename}"
            print(f"{known.name:{width}}  {part:5}  {known.size[part]:7,} images  {pinned:11}  {state}")
    return 0


def _state(known: Dataset, part: str) -> str:
    """Whether a part is in the cache, and where it would be read from if not."""
    place = cache.place(known, part)
    if place.is_symlink() and not place.exists():
        return f"DAMAGED: {place}"
    if place.exists():
        return f"in the cache, {_bytes(place)}"
    if known.base is not None:
        return f"a view of {known.base}"
    if known.tfds is None:
        return f"from {known.origin}"
    try:
        if files.present(known.name, part):
            return "published files"
    except DataCorrupt as error:
        return f"DAMAGED: {error.where}"
    if prepared.is_there(known):
        return f"prepared: {prepared.find(known)}"
    return f"to download, {sum(file.size for file in PUBLISHED[known.name].files(part)) / 1e6:,.1f} MB"


def _fetch(options: argparse.Namespace) -> int:
    forget()
    for known in map(dataset, options.name):
        if known.in_memory:
            raise InvalidArgument("there is nothing to fetch", expected="a dataset of the package", got=known.name)
        if options.prepare:
            prepared.prepare(known)
        for part in [options.part] if options.part else PARTS:
            loaded = load_part(known.name, part)
            place = cache.place(known, part)
            if not place.exists():
                raise CacheError("nothing was kept", where=str(place.parent), hint="see the message above")
            print(f"{known.name}, {part}: {len(loaded):,} images, {_bytes(place)}, SHA-256 {loaded.sha256}")
    return 0


def _verify(options: argparse.Namespace) -> int:
    """Every part in the cache and every published file on this machine, hashed."""
    damaged = 0
    for known in map(dataset, options.name or DATASETS):
        for part in PARTS:
            for what, look in (("cache", _cached), ("published files", _published)):
                try:
                    found = look(known, part)
                except (DataCorrupt, DataUnavailable, CacheError) as error:
                    damaged, found = damaged + 1, f"DAMAGED\n{error}"
                if found:
                    print(f"{known.name}, {part}, {what}: {found}")
    print(f"{damaged} damaged" if damaged else "all is as it should be")
    return 1 if damaged else 0


def _cached(known: Dataset, part: str) -> str:
    kept = cache.read(known, part)
    return "" if kept is None else f"SHA-256 {kept.sha256}" + ("" if part in known.sha256 else ", not pinned")


def _published(known: Dataset, part: str) -> str:
    return ", ".join(map(str, files.verify(known.name, part))) if known.name in PUBLISHED else ""


def _clear(options: argparse.Namespace) -> int:
    if bool(options.name) == options.all:
        raise InvalidArgument("what is to be cleared?", expected="names of base datasets, or --all")
    for known in map(dataset, options.name or DATASETS):
        home = cache.folder() / known.name
        if not home.exists():
            continue
        with cache.lock(known):
            for place in (*home.glob("train-*"), *home.glob("test-*"), *home.glob("downloads")):
                size = _bytes(place)
                cache.remove(place)
                print(f"{place}: {size} removed")
    forget()
    return 0


def _bytes(place: Path) -> str:
    return f"{sum(path.stat().st_size for path in place.rglob('*') if path.is_file()) / 1e6:,.1f} MB"
