"""`compare`: learners on the same tasks, with what can and what cannot be told apart."""

import argparse

from gpicl_bench.commands.table import print_comparison
from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation import Result, compare, load_result
from gpicl_bench.evaluation.comparison import ONE_MEAN, Runs, weakest
from gpicl_bench.evaluation.identity import by_learner
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
    """Each suite by itself; a mean for those learners only that have run all of them, on as many tasks."""
    stray = {result.setting.suite for result in results} - set(suites)
    if stray:
        found = ", ".join(sorted(stray))
        raise ResultError(f"results of suites outside {options.benchmark}", expected=", ".join(suites), got=found)
    for field in ONE_MEAN:
        values = {getattr(result.setting, field) for result in results}
        if len(values) > 1:
            raise ResultError(f"results of different {field} have no mean", got=", ".join(map(str, sorted(values))))
    learners = by_learner(results)
    for suite in suites:
        here = {name: [r for r in runs if r.setting.suite == suite] for name, runs in learners.items()}
        run = {name: runs for name, runs in here.items() if runs}
        if run:
            print_comparison(compare(run, options.at))
    print(f"{options.benchmark}: the mean over {len(suites)} suites")
    for name, runs in learners.items():
        means = {s: Runs(name, tuple(r for r in runs if r.setting.suite == s), options.at) for s in suites}
        missing = [suite for suite, there in means.items() if not there.results]
        mean = None if missing else sum(there.mean for there in means.values()) / len(suites)
        shown = f"missing: {', '.join(missing)}" if mean is None else f"{mean:.3f}"
        print(f"  {name:24} {shown}; {weakest(runs)}")
