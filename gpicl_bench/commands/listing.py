"""`list`: every suite and benchmark."""

import argparse

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.commands.document import add_json, write
from gpicl_bench.datasets import DATASETS
from gpicl_bench.registration import SuiteSpec, registry

HELP = "list every suite and benchmark, those of plug-ins too"
EXAMPLES = ("list", "list --json")
EXIT_STATUS: dict[int, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    if options.json:
        write({"suites": [_fields(spec) for spec in registry.values()], "benchmarks": BENCHMARKS})
        return 0
    width = max(map(len, registry))
    for id, spec in registry.items():
        print(f"{id:{width}}  T={spec.num_examples} {_about(spec)}")
    print()
    for id, suites in BENCHMARKS.items():
        print(f"{id:{width}}  benchmark: {', '.join(suites)}")
    return 0


def _about(spec: SuiteSpec) -> str:
    if spec.dataset not in DATASETS:
        return "its base dataset is not registered"
    known = DATASETS[spec.dataset]
    return f"D={known.dimension} C={known.num_classes}" + ("" if spec.of_record else "  provisional")


def _fields(spec: SuiteSpec) -> dict[str, object]:
    known = DATASETS.get(spec.dataset)
    return {
        "id": spec.id,
        "dataset": spec.dataset,
        "T": spec.num_examples,
        "D": None if known is None else known.dimension,
        "C": None if known is None else known.num_classes,
        "of_record": spec.of_record,
    }
