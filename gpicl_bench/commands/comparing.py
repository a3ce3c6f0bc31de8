"""`compare`: learners on the same tasks, with what can and what cannot be told apart."""

import argparse
from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from gpicl_bench.commands.document import add_json, write
from gpicl_bench.commands.table import print_comparison
from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation import Comparison, Result, compare, load_result
from gpicl_bench.evaluation.comparison import ONE_MEAN, Runs, weakest
from gpicl_bench.evaluation.identity import by_learner
from gpicl_bench.registration import benchmark

HELP = "compare result files: paired over tasks, and over meta-training runs where there are several"
EXAMPLES = (
    "compare mine.json centroid.json",
    "compare mine.json centroid.json --at 20",
    "compare results/*.json --benchmark offline-v0 --json",
)
EXIT_STATUS: dict[int, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("files", nargs="+", metavar="RESULT.json", help="written by evaluate --output")
    parser.add_argument("--at", type=int, metavar="K", help="compare accuracy@K (default: the score)")
    parser.add_argument("--benchmark", metavar="ID", help="compare on each suite of a benchmark, and their mean")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    results = [load_result(file) for file in options.files]
    if options.benchmark is not None:
        _compare_suites(results, benchmark(options.benchmark), options)
        return 0
    comparison = compare(results, options.at)
    if options.json:
        write({"comparisons": [_told(comparison)]})
    else:
        print_comparison(comparison)
    return 0


def _compare_suites(results: list[Result], suites: tuple[str, ...], options: argparse.Namespace) -> None:
    """Each suite by itself; a mean for those learners only that have run all of them, on as many tasks."""
    _check_one_mean(results, suites, options.benchmark)
    learners = by_learner(results)
    comparisons = []
    for suite in suites:
        here = {name: [r for r in runs if r.setting.suite == suite] for name, runs in learners.items()}
        run = {name: runs for name, runs in here.items() if runs}
        if run:
            comparisons.append(compare(run, options.at))
    means = [_mean(name, runs, suites, options.at) for name, runs in learners.items()]
    if options.json:
        write({"comparisons": [*map(_told, comparisons)], "benchmark": options.benchmark, "means": means})
        return
    for comparison in comparisons:
        print_comparison(comparison)
    print(f"{options.benchmark}: the mean over {len(suites)} suites")
    for mean in means:
        shown = f"missing: {', '.join(mean['missing'])}" if mean["missing"] else f"{mean['mean']:.3f}"
        print(f"  {mean['learner']:24} {shown}; {mean['evidence']}")


def _check_one_mean(results: list[Result], suites: tuple[str, ...], id: str) -> None:
    stray = {result.setting.suite for result in results} - set(suites)
    if stray:
        found = ", ".join(sorted(stray))
        raise ResultError(f"results of suites outside {id}", expected=", ".join(suites), got=found)
    for field in ONE_MEAN:
        values = {getattr(result.setting, field) for result in results}
        if len(values) > 1:
            raise ResultError(f"results of different {field} have no mean", got=", ".join(map(str, sorted(values))))


def _mean(name: str, results: Sequence[Result], suites: tuple[str, ...], at: int | None) -> dict[str, Any]:
    """A learner's mean over the suites, or those that are missing."""
    means = {s: Runs(name, tuple(r for r in results if r.setting.suite == s), at) for s in suites}
    missing = [suite for suite, there in means.items() if not there.results]
    mean = None if missing else sum(there.mean for there in means.values()) / len(suites)
    return {"learner": name, "mean": mean, "missing": missing, "evidence": weakest(results)}


def _told(comparison: Comparison) -> dict[str, Any]:
    """Learners by rank, and every pair, as plain values."""
    first = comparison.learners[0]
    ranked = zip(comparison.groups, comparison.learners, strict=True)
    return {
        "suite": first.results[0].setting.suite,
        "what": "score" if first.at is None else f"accuracy@{first.at}",
        "num_tasks": first.results[0].setting.num_tasks,
        "learners": [
            {
                "name": learner.name,
                "group": group,
                "mean": learner.mean,
                "task_interval": learner.task_interval,
                "run_interval": learner.run_interval,
                "runs": len(learner.results),
                "evidence": learner.evidence,
            }
            for group, learner in ranked
        ],
        "pairs": [{**asdict(pair), "differs": pair.differs} for pair in comparison.pairs],
    }
