"""`evaluate`: score a learner file."""

import argparse
import ast
import os
import sys
from pathlib import Path
from typing import Any

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.commands.table import print_mean, print_result
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.evaluation import Result, evaluate
from gpicl_bench.evaluation.harness import QUICK_TASKS, RECORD_TASKS
from gpicl_bench.learners import load_learner
from gpicl_bench.registration import make

HELP = "score a learner file on unseen tasks"
DEFAULT_SUITE = "digits-proj-perm-v0"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a Python file that defines `learner`, or `make_learner(info, **args)`")
    parser.add_argument(
        "--suite", action="append", metavar="ID", help=f"a suite or a benchmark; repeatable (default: {DEFAULT_SUITE})"
    )
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--num-tasks", type=int, default=QUICK_TASKS, metavar="N", help=f"tasks to ask (default: {QUICK_TASKS})"
    )
    size.add_argument("--record", action="store_true", help=f"the evaluation of record: {RECORD_TASKS} tasks")
    parser.add_argument(
        "--positions", type=_positions, metavar="K,K,…", help="ask after K labelled examples only (default: all)"
    )
    parser.add_argument(
        "--learner-arg",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument of make_learner; repeatable",
    )
    parser.add_argument(
        "--learner-seed", type=int, default=0, metavar="SEED", help="of a stochastic learner's keys (default: 0)"
    )
    parser.add_argument(
        "--output", type=Path, metavar="FILE", help="write the result as JSON; with several suites, a folder"
    )


def run(options: argparse.Namespace) -> None:
    ids = [id for chosen in options.suite or [DEFAULT_SUITE] for id in BENCHMARKS.get(chosen, (chosen,))]
    if len(set(ids)) < len(ids):
        raise InvalidArgument("a suite is named twice", got=", ".join(sorted({id for id in ids if ids.count(id) > 1})))
    suites = [make(id) for id in ids]
    args = dict(map(_argument, options.learner_arg))
    paths = _outputs(options.output, ids)
    results: list[Result] = []
    for suite, path in zip(suites, paths, strict=True):
        result = evaluate(
            load_learner(options.file, suite.info, args),
            suite,
            num_tasks=RECORD_TASKS if options.record else options.num_tasks,
            positions=options.positions,
            learner_seed=options.learner_seed,
            progress=sys.stderr.isatty(),
        )
        if path is not None:
            result.save(path)
        print_result(result, path)
        results.append(result)
    for id, members in BENCHMARKS.items():
        if id in (options.suite or []):
            print_mean(id, [result for result in results if result.setting.suite in members])


def _positions(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers with commas, such as 0,10,99; got {text!r}"
        ) from error


def _argument(text: str) -> tuple[str, Any]:
    """key=value, the value a Python literal or else a string."""
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise InvalidArgument("--learner-arg is malformed", expected="key=value", got=text)
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value


def _outputs(output: Path | None, ids: list[str]) -> list[Path | None]:
    """A path for each suite, writable, found out before any work is done."""
    if output is None:
        return [None] * len(ids)
    if len(ids) == 1 and not output.is_dir():
        folder, paths = output.parent, [output]
    elif output.suffix == ".json" and not output.is_dir():
        raise InvalidArgument("several suites need a folder", expected="--output FOLDER", got=str(output))
    else:
        folder, paths = output, [output / f"{id}.json" for id in ids]
        output.mkdir(parents=True, exist_ok=True)
    if not folder.is_dir() or not os.access(folder, os.W_OK):
        raise InvalidArgument("the result could not be written", expected="a folder to write to", got=str(folder))
    return [*paths]
