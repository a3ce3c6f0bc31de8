"""`data`: the images on this machine, listed, fetched, verified, cleared."""

import argparse
import os
from typing import Any

from gpicl_bench import plugins
from gpicl_bench.commands.document import add_json, write
from gpicl_bench.commands.parser import add_actions
from gpicl_bench.datasets import DATASETS, PARTS, Dataset, cache, dataset, files, load_part, prepared
from gpicl_bench.datasets.loading import forget
from gpicl_bench.datasets.published import PUBLISHED
from gpicl_bench.datasets.whereabouts import megabytes, whereabouts
from gpicl_bench.errors import CacheError, DataCorrupt, DataUnavailable, InvalidArgument

HELP = "list, fetch, verify or clear the images on this machine"
EXAMPLES = (
    "data list",
    "data list --json",
    "data fetch mnist fashion_mnist",
    "data fetch mnist --part test",
    "data verify",
    "data clear cifar10",
    "data clear --all",
)
EXIT_STATUS = {1: "`data verify`: something is damaged"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = add_actions(parser, _ACTIONS, EXAMPLES)
    add["fetch"].add_argument("name", nargs="+", help="a base dataset, as `data list` has it")
    add["fetch"].add_argument("--part", choices=PARTS, help="(default: both)")
    add["fetch"].add_argument("--prepare", action="store_true", help="let TensorFlow Datasets do it: needs TensorFlow")
    add["verify"].add_argument("name", nargs="*", help="(default: all)")
    add["clear"].add_argument("name", nargs="*", help="a base dataset")
    add["clear"].add_argument("--all", action="store_true", help="every base dataset")
    for name, parser in add.items():
        add_json(parser)
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
    plugins.load()
    places = {
        "cache": str(cache.folder()),
        "GPICL_BENCH_DATA": os.environ.get("GPICL_BENCH_DATA") or None,
        "TFDS_DATA_DIR": str(prepared.folder()),
    }
    parts = [_listed(known, part) for known in DATASETS.values() for part in PARTS]
    if options.json:
        write({**places, "parts": parts})
        return 0
    for name, place in places.items():
        print(f"{name}: {place or 'not set'}")
    width = max(map(len, DATASETS))
    for row in parts:
        pinned = "pinned" if row["pinned"] else "provisional"
        print(f"{row['dataset']:{width}}  {row['part']:5}  {row['images']:7,} images  {pinned:11}  {row['where']}")
    return 0


def _listed(known: Dataset, part: str) -> dict[str, Any]:
    found = whereabouts(known, part)
    return {
        "dataset": known.name,
        "part": part,
        "images": known.size[part],
        "pinned": part in known.sha256,
        "state": found.state,
        "where": found.where,
    }


def _fetch(options: argparse.Namespace) -> int:
    forget()
    done = []
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
            print(f"{known.name}, {part}: {len(loaded):,} images, {megabytes(place)}, SHA-256 {loaded.sha256}")
            done.append({"dataset": known.name, "part": part, "images": len(loaded), "sha256": loaded.sha256})
    if options.json:
        write({"fetched": done})
    return 0


def _verify(options: argparse.Namespace) -> int:
    """Every part in the cache and every published file on this machine, hashed."""
    looked = []
    for known in map(dataset, options.name or DATASETS):
        for part in PARTS:
            for what, look in (("cache", _cached), ("published files", _published)):
                damaged = False
                try:
                    found = look(known, part)
                except (DataCorrupt, DataUnavailable, CacheError) as error:
                    damaged, found = True, str(error)
                if found:
                    print(f"{known.name}, {part}, {what}: {'DAMAGED' if damaged else found}")
                    if damaged:
                        print(found)
                    row = {"dataset": known.name, "part": part, "what": what, "damaged": damaged, "found": found}
                    looked.append(row)
    count = sum(bool(row["damaged"]) for row in looked)
    print(f"{count} damaged" if count else "all is as it should be")
    if options.json:
        write({"damaged": count, "parts": looked})
    return 1 if count else 0


def _cached(known: Dataset, part: str) -> str:
    kept = cache.read(known, part)
    return "" if kept is None else f"SHA-256 {kept.sha256}" + ("" if part in known.sha256 else ", not pinned")


def _published(known: Dataset, part: str) -> str:
    return ", ".join(map(str, files.verify(known.name, part))) if known.name in PUBLISHED else ""


def _clear(options: argparse.Namespace) -> int:
    if bool(options.name) == options.all:
        raise InvalidArgument("what is to be cleared?", expected="names of base datasets, or --all")
    cleared = []
    for known in map(dataset, options.name or DATASETS):
        home = cache.folder() / known.name
        if not home.exists():
            continue
        with cache.lock(known):
            for place in (*home.glob("train-*"), *home.glob("test-*"), *home.glob("downloads")):
                size = megabytes(place)
                cache.remove(place)
                print(f"{place}: {size} removed")
                cleared.append(str(place))
    forget()
    if options.json:
        write({"removed": cleared})
    return 0
