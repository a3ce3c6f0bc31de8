"""`show ID`: what a suite is, in mathematics and in hashes; with `--overlap`, what its splits share."""

import argparse
import sys

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.commands.sharing import print_overlap
from gpicl_bench.datasets import dataset
from gpicl_bench.disjointness import POOL, overlap
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.registration import SPLITS, benchmark, spec

HELP = "show what a suite or a benchmark is"

_INPUTS = {
    "proj": "x = A·(p − {center}) / {std:.4f}, A a {D}×{D} matrix for each task, A_ij ~ N(0, 1/{D}), in integers",
    "pixperm": "x = (p[q] − {center}) / {std:.4f}, q a random permutation of the {D} pixels for each task",
    "none": "x = (p − {center}) / {std:.4f}",
}
_LABELS = {"perm": "y = ρ(label), ρ a random permutation of the {C} classes for each task", "none": "y = label"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", help="a suite or a benchmark; `list` prints them")
    parser.add_argument(
        "--overlap", action="store_true", help="count what meta-train and meta-test share: tasks, transforms, images"
    )
    parser.add_argument("--pool", type=int, metavar="M", help=f"with --overlap: meta-train tasks (default: {POOL})")
    parser.add_argument("--seed", type=int, metavar="SEED", help="with --overlap: of meta-training (default: 0)")


def run(options: argparse.Namespace) -> int:
    if options.overlap:
        return _show_overlap(options)
    if (options.pool, options.seed) != (None, None):
        raise InvalidArgument("--pool and --seed are about an overlap", hint="add --overlap")
    if options.id in BENCHMARKS:
        print(f"{options.id}: the mean score over its suites, given only when all have been run")
        print(*[f"  {id}" for id in benchmark(options.id)], sep="\n")
        return 0
    found = spec(options.id)
    known = dataset(found.dataset)
    numbers = {"center": known.center, "std": known.std, "D": known.dimension, "C": known.num_classes}
    height, width, channels = known.shape
    size = f"{known.size['train']:,} train and {known.size['test']:,} test images"
    drawn = "with replacement" if known.replacement else "without replacement"
    rows = {
        "suite": found.id + ("" if found.of_record else "  (provisional: nothing is pinned, no leaderboard)"),
        "base dataset": f"{known.title}; {size} of {height}×{width}×{channels}, p in 0 … 255",
        "episode": f"T = {found.num_examples} examples, drawn {drawn}; D = {known.dimension}, C = {known.num_classes}",
        "input": _INPUTS[found.input].format(**numbers),
        "label": _LABELS[found.label].format(**numbers),
        "score": "area under the learning curve: (mean accuracy@k, k = 1 … T−1, − 1/C) / (1 − 1/C)",
        **{f"{split} fingerprint": found.fingerprints.get(split, "not pinned") for split in SPLITS},
        "train images SHA-256": known.sha256["train"],
        "test images SHA-256": known.sha256["test"],
        "read from": known.origin,
        "source": known.source,
        "licence": known.licence,
        "citation": known.citation,
    }
    indent = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{indent}}  {value}")
    return 0


def _show_overlap(options: argparse.Namespace) -> int:
    if options.id in BENCHMARKS:
        suites = ", ".join(benchmark(options.id))
        raise InvalidArgument("--overlap is about one suite", expected=f"one of {suites}", got=options.id)
    num_tasks = POOL if options.pool is None else options.pool
    print_overlap(overlap(options.id, num_tasks, options.seed or 0, progress=sys.stderr.isatty()))
    return 0
