"""`show ID`: what a suite is, in mathematics and in hashes; with `--overlap`, what its splits share."""

import argparse
import sys
from dataclasses import asdict

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.commands.arguments import DEFAULT_SUITE, add_data, add_num_examples, make_suite, suite_ids
from gpicl_bench.commands.document import add_json, write
from gpicl_bench.commands.sharing import print_overlap
from gpicl_bench.datasets import PARTS, dataset
from gpicl_bench.disjointness import POOL, overlap
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.registration import SPLITS, SuiteSpec, benchmark

HELP = "show what a suite or a benchmark is"
EXAMPLES = (
    "show mnist-proj-perm-v0",
    "show offline-v0 --json",
    "show digits-proj-perm-v0 --overlap --pool 1000",
    "show --data my_images.npz --num-examples 50",
)
EXIT_STATUS: dict[int, str] = {}

_INPUTS = {
    "proj": "x = A·(p − {center}) / {std}, A a {D}×{D} matrix for each task, A_ij ~ N(0, 1/{D}), in integers",
    "pixperm": "x = (p[q] − {center}) / {std}, q a random permutation of the {D} pixels for each task",
    "none": "x = (p − {center}) / {std}",
}
_LABELS = {"perm": "y = ρ(label), ρ a random permutation of the {C} classes for each task", "none": "y = label"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("id", nargs="?", help=f"a suite or a benchmark; `list` prints them (default: {DEFAULT_SUITE})")
    add_data(parser)
    add_num_examples(parser)
    parser.add_argument(
        "--overlap", action="store_true", help="count what meta-train and meta-test share: tasks, transforms, images"
    )
    parser.add_argument("--pool", type=int, metavar="M", help=f"with --overlap: meta-train tasks (default: {POOL})")
    parser.add_argument("--seed", type=int, metavar="SEED", help="with --overlap: of meta-training (default: 0)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    (id,) = suite_ids(options, [options.id] if options.id else [])
    if options.overlap:
        return _show_overlap(id, options)
    if (options.pool, options.seed) != (None, None):
        raise InvalidArgument("--pool and --seed are about an overlap", hint="add --overlap")
    if id in BENCHMARKS and options.json:
        write({"benchmark": id, "suites": benchmark(id)})
        return 0
    if id in BENCHMARKS:
        print(f"{id}: the mean score over its suites, given only when all have been run")
        print(*[f"  {member}" for member in benchmark(id)], sep="\n")
        return 0
    found = make_suite(options, id).spec
    rows = _rows(found)
    if options.json:
        write({**_fields(found), "about": rows})
        return 0
    indent = max(map(len, rows))
    for name, value in rows.items():
        print(f"{name:{indent}}  {value}")
    return 0


def _rows(found: SuiteSpec) -> dict[str, str]:
    """What is said of a suite; no data is needed."""
    known = dataset(found.dataset)
    numbers = {
        "center": "center" if known.moments is None else known.center,
        "std": "std" if known.moments is None else f"{known.std:.4f}",
        "D": known.dimension,
        "C": known.num_classes,
    }
    height, width, channels = known.shape
    size = f"{known.size['train']:,} train and {known.size['test']:,} test images"
    drawn = "with replacement" if known.replacement else "without replacement"
    measured = "" if known.moments else "; center and std are those of the train images, not pinned"
    return {
        "suite": found.id + ("" if found.of_record else "  (provisional: meta_test is not pinned, no leaderboard)"),
        "base dataset": f"{known.title}; {size} of {height}×{width}×{channels}, p in 0 … 255",
        "episode": f"T = {found.num_examples} examples, drawn {drawn}; D = {known.dimension}, C = {known.num_classes}",
        "input": _INPUTS[found.input].format(**numbers) + measured,
        "label": _LABELS[found.label].format(**numbers),
        "score": "area under the learning curve: (mean accuracy@k, k = 1 … T−1, − 1/C) / (1 − 1/C)",
        **{f"{split} fingerprint": found.fingerprints.get(split, "not pinned") for split in SPLITS},
        **{f"{part} images SHA-256": known.sha256.get(part, "not pinned") for part in PARTS},
        "read from": known.origin,
        "source": known.source,
        "licence": known.licence,
        "citation": known.citation,
    }


def _fields(found: SuiteSpec) -> dict[str, object]:
    """The same for programs."""
    known = dataset(found.dataset)
    return {
        "suite": found.id,
        "of_record": found.of_record,
        "dataset": found.dataset,
        "input": found.input,
        "label": found.label,
        "version": found.version,
        "T": found.num_examples,
        "D": known.dimension,
        "C": known.num_classes,
        "shape": known.shape,
        "size": known.size,
        "center": None if known.moments is None else known.center,
        "std": None if known.moments is None else known.std,
        "replacement": known.replacement,
        "fingerprints": found.fingerprints,
        "sha256": dict(known.sha256),
    }


def _show_overlap(id: str, options: argparse.Namespace) -> int:
    if id in BENCHMARKS:
        suites = ", ".join(benchmark(id))
        raise InvalidArgument("--overlap is about one suite", expected=f"one of {suites}", got=id)
    num_tasks = POOL if options.pool is None else options.pool
    found = overlap(make_suite(options, id), num_tasks, options.seed or 0, progress=sys.stderr.isatty())
    if options.json:
        write(asdict(found))
    else:
        print_overlap(found)
    return 0
