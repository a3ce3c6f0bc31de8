"""`list`: every suite and benchmark."""

import argparse

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.datasets import DATASETS
from gpicl_bench.registration import SuiteSpec, registry

HELP = "list every suite and benchmark"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(options: argparse.Namespace) -> int:
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
