"""`list`: every suite and benchmark."""

import argparse

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.datasets import dataset
from gpicl_bench.registration import registry

HELP = "list every suite and benchmark"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """It takes none."""


def run(options: argparse.Namespace) -> int:
    width = max(map(len, registry))
    for id, spec in registry.items():
        known = dataset(spec.dataset)
        note = "" if spec.of_record else "  provisional"
        print(f"{id:{width}}  T={spec.num_examples} D={known.dimension} C={known.num_classes}{note}")
    print()
    for id, suites in BENCHMARKS.items():
        print(f"{id:{width}}  benchmark: {', '.join(suites)}")
    return 0
