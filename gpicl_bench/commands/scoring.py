"""`evaluate`: score a learner file."""

import argparse
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.commands.arguments import (
    DEFAULT_SUITE,
    add_data,
    add_learner,
    add_num_examples,
    check_output,
    learner_arguments,
    make_suite,
    suite_ids,
)
from gpicl_bench.commands.document import add_json, write
from gpicl_bench.commands.interruption import exit_status
from gpicl_bench.commands.numbers import mean_score, numbers
from gpicl_bench.commands.table import print_mean, print_result
from gpicl_bench.errors import GpiclBenchError, InvalidArgument, ResultError
from gpicl_bench.evaluation import Result, evaluate, load_result, provenance
from gpicl_bench.evaluation.journal import num_kept
from gpicl_bench.evaluation.planning import Plan, about_result, differing, origin, plan
from gpicl_bench.evaluation.results import QUICK_TASKS, RECORD_TASKS
from gpicl_bench.evaluation.workers import check_workers
from gpicl_bench.learners import LoadedLearner, load_learner
from gpicl_bench.suite import Suite

HELP = "score a learner file on unseen tasks"
EXAMPLES = (
    "evaluate my_model.py",
    "evaluate my_model.py --suite mnist-proj-perm-v0 --record --output mnist.json",
    "evaluate my_model.py --suite offline-v0 --num-tasks 64 --output results --workers 2 --resume",
    "evaluate my_model.py --data my_images.npz --num-examples 50 --learner-arg width=64",
    "evaluate my_model.py --positions 0,1,10,99 --json",
)
EXIT_STATUS: dict[int, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_learner(parser)
    parser.add_argument(
        "--suite", action="append", metavar="ID", help=f"a suite or a benchmark; repeatable (default: {DEFAULT_SUITE})"
    )
    add_data(parser)
    add_num_examples(parser)
    size = parser.add_mutually_exclusive_group()
    size.add_argument(
        "--num-tasks", type=int, default=QUICK_TASKS, metavar="N", help=f"tasks to ask (default: {QUICK_TASKS})"
    )
    size.add_argument("--record", action="store_true", help=f"the evaluation of record: {RECORD_TASKS} tasks")
    parser.add_argument(
        "--positions", type=_positions, metavar="K,K,…", help="ask after K labelled examples only (default: all)"
    )
    parser.add_argument(
        "--audit", choices=["full", "quick", "off"], help="(default: quick for sequence learners, else off)"
    )
    parser.add_argument("--output", metavar="FILE", help="write the result as JSON; with several suites, a folder")
    parser.add_argument(
        "--workers", type=int, default=1, metavar="N", help="processes that answer (default: 1); the result is the same"
    )
    parser.add_argument(
        "--resume",
        action="store_true",
        help="go on where a run to this --output was interrupted, or start; finished results stay",
    )
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    chosen = suite_ids(options, options.suite or [])
    ids = [id for name in chosen for id in BENCHMARKS.get(name, (name,))]
    if len(set(ids)) < len(ids):
        raise InvalidArgument("a suite is named twice", got=", ".join(sorted({id for id in ids if ids.count(id) > 1})))
    suites = [make_suite(options, id) for id in ids]
    paths = _outputs(options.output, ids, [options.file, options.data])
    _check_journals([path for path in paths if path is not None], options.resume)
    args = learner_arguments(options)
    results: list[Result] = []
    for suite, path in zip(suites, paths, strict=True):
        loaded = load_learner(options.file, suite.info, args)
        planned = plan(loaded, suite, **_question(options))
        check_workers(options.workers, planned)
        if suite is suites[0]:  # not earlier: a slip in the command is named before any download
            _check_data(suites)
        try:
            result = _finished(planned, path, options.resume) or _evaluated(loaded, suite, path, options)
        except KeyboardInterrupt as error:
            print(f"interrupted; {_told(path)}" if path is not None else "interrupted", file=sys.stderr)
            return exit_status(error)
        except GpiclBenchError:
            with suppress(ResultError):  # the error that ended the run says more
                if path is not None and num_kept(_journal(path)):
                    print(_told(path), file=sys.stderr)
            raise
        results.append(result)
        if not options.json:
            print_result(result, path)
    benchmarks = {id: [r for r in results if r.setting.suite in BENCHMARKS[id]] for id in BENCHMARKS if id in chosen}
    if options.json:
        told = [numbers(result, path) for result, path in zip(results, paths, strict=True)]
        write({"results": told, "benchmarks": {id: mean_score(own) for id, own in benchmarks.items()}})
    else:
        for id, own in benchmarks.items():
            print_mean(id, own)
    return 0


def _evaluated(loaded: LoadedLearner, suite: Suite, path: Path | None, options: argparse.Namespace) -> Result:
    """The result, asked for and written; the journal lies beside it until then."""
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    result = evaluate(
        loaded,
        suite,
        **_question(options),
        workers=options.workers,
        checkpoint=None if path is None else _journal(path),
        progress=sys.stderr.isatty(),
    )
    if path is not None:
        result.save(path)
        _journal(path).unlink(missing_ok=True)
    return result


def _finished(planned: Plan, path: Path | None, resume: bool) -> Result | None:
    """With --resume, the result of this very evaluation that has been written already; None if there is none."""
    if path is None or not resume or not path.exists() or num_kept(_journal(path)):
        return None
    result = load_result(path)
    theirs = {**about_result(result), "provenance": origin(result.provenance)}
    differs = differing(theirs, {**planned.about, "provenance": origin(provenance())})
    if differs:
        raise ResultError(
            "this result is of another evaluation",
            where=str(path),
            hint="the same learner and options as at first; another --output; or delete it to begin anew",
            **differs,
        )
    return result


def _question(options: argparse.Namespace) -> dict[str, Any]:
    return {
        "num_tasks": RECORD_TASKS if options.record else options.num_tasks,
        "positions": options.positions,
        "learner_seed": options.learner_seed,
        "audit": options.audit,
    }


def _journal(path: Path) -> Path:
    """Where the finished blocks of tasks are kept while a result is not."""
    return path.with_name(f"{path.name}.partial")


def _check_data(suites: list[Suite]) -> None:
    """Have the images of every suite here before the first question: nobody finds out after hours that some are not."""
    for suite in suites:
        _ = suite.meta_test.part


def _check_journals(paths: list[Path], resume: bool) -> None:
    """No work of an earlier run is thrown away, and none is gone on with, unless it was asked for."""
    if resume and not paths:
        raise InvalidArgument("--resume needs --output", expected="the --output of the run that was interrupted")
    begun = [_journal(path) for path in paths if num_kept(_journal(path))]
    if begun and not resume:
        raise ResultError(
            "an earlier run to this --output is not finished",
            got=f"{num_kept(begun[0]):,} tasks are kept",
            where=str(begun[0]),
            hint="--resume goes on with it; or delete this file to begin anew",
        )


def _told(path: Path) -> str:
    """What an interrupted run leaves."""
    count = num_kept(_journal(path))
    if not count:
        return "no task was finished"
    return f"{count:,} tasks are kept in {_journal(path)}: the same command with --resume goes on"


def _positions(text: str) -> list[int]:
    try:
        return [int(part) for part in text.split(",")]
    except ValueError as error:
        raise argparse.ArgumentTypeError(
            f"expected whole numbers with commas, such as 0,10,99; got {text!r}"
        ) from error


def _outputs(output: str | None, ids: list[str], inputs: list[str | None]) -> list[Path | None]:
    """A whole path for each suite, found out before any work is done: a learner may change the working folder."""
    if output is None:
        return [None] * len(ids)
    path, several = Path(output).absolute(), len(ids) > 1
    folder = path if several or path.is_dir() else path.parent
    paths = [path] if folder != path else [path / f"{id}.json" for id in ids]
    above = next(p for p in (folder, *folder.parents) if p.exists())
    refusals = {
        "it is empty": not output,
        "several suites need a folder": several and (path.suffix == ".json" or path.is_file()),
        "the folder cannot be written": not above.is_dir() or not os.access(above, os.W_OK),
    }
    reason = next((reason for reason, holds in refusals.items() if holds), None)
    if reason:
        raise InvalidArgument(
            "the result could not be written", expected="--output FILE or FOLDER", got=repr(output), where=reason
        )
    for file in paths if above == folder or not several else []:  # a folder for several suites is made later
        check_output(file, inputs)
    return [*paths]
