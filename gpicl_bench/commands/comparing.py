"""`compare`: learners on the same tasks, with what can and what cannot be told apart."""

import argparse

from gpicl_bench.commands.table import print_comparison
from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation import Result, compare, load_result
from gpicl_bench.registration import benchmark

HELP = "compare result files: paired over tasks, and over meta-training runs where there are several"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="RESULT.json", help="written by evaluate --output")
    parser.add_argument("--at", type=int, metavar="K", help="compare accuracy@K (default: the score)")
    parser.add_argument("--benchmark", metavar="ID", help="compare on each suite of a benchmark, and their mean")


def run(options: argparse.Namespace) -> int:
    results = [load_result(file) for file in options.files]
    if options.benchmark is None:
        print_comparison(compare(results, options.at))
    else:
        _compare_suites(results, benchmark(options.benchmark), options)
    return 0


def _compare_suites(results: list[Result], suites: tuple[str, ...], options: argparse.Namespace) -> None:
    """Each suite by itself; a mean for those learners only that have run all of them."""
    stray = {result.setting.suite for result in results} - set(suites)
    if stray:
        raise ResultError(
            f"results of suites outside {options.benchmark}", expected=", ".join(suites), got=", ".join(sorted(stray))
        )
    means: dict[str, dict[str, float]] = {}
    for suite in suites:
        here = [result for result in results if result.setting.suite == suite]
        if here:
            comparison = compare(here, options.at)
            print_comparison(comparison)
            for learner in comparison.learners:
                means.setdefault(learner.name, {})[suite] = learner.mean
    print(f"{options.benchmark}: the mean over {len(suites)} suites")
    for name, found in means.items():
        missing = [suite for suite in suites if suite not in found]
        mean = f"missing: {', '.join(missing)}" if missing else f"{sum(found.values()) / len(suites):.3f}"
        print(f"  {name:24} {mean}")
