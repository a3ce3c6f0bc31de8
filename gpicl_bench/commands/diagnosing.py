"""`diagnose`: which kind of learner is it?"""

import argparse
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpicl_bench.commands.arguments import add_learner, add_suite, check_output, learner_arguments, make_one_suite
from gpicl_bench.commands.document import add_json, write
from gpicl_bench.commands.table import terminal
from gpicl_bench.diagnosing import Diagnosis, diagnose
from gpicl_bench.diagnosing.running import NUM_EPISODES
from gpicl_bench.diagnosing.storage import summary
from gpicl_bench.learners import load_learner

HELP = "tell whether a learner memorises, identifies tasks, or learns; its symmetries, its costs"
EXAMPLES = (
    "diagnose my_model.py",
    "diagnose my_model.py --suite mnist-proj-perm-v0 --output diagnosis.json",
    "diagnose my_model.py --num-episodes 128 --json",
)
EXIT_STATUS: dict[int, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_learner(parser)
    add_suite(parser)
    parser.add_argument(
        "--num-episodes", type=int, default=NUM_EPISODES, metavar="N", help=f"of each cell (default: {NUM_EPISODES})"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the unseen tasks (default: 0)")
    parser.add_argument("--output", metavar="FILE", help="write the diagnosis as JSON")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    path = None if options.output is None else Path(options.output).absolute()
    if path is not None:
        check_output(path, [options.file, options.data])
    suite = make_one_suite(options)
    found = diagnose(
        load_learner(options.file, suite.info, learner_arguments(options)),
        suite,
        options.num_episodes,
        options.seed,
        learner_seed=options.learner_seed,
        progress=sys.stderr.isatty(),
    )
    if options.json:
        write(_told(found, path))
    else:
        print_diagnosis(found)
    if path is not None:  # last: what was found is not lost with the file
        found.save(path)
        print(f"written to    {path}")
    return 0


def _told(found: Diagnosis, path: Path | None) -> dict[str, Any]:
    """The same for programs; the file of --output has every answer."""
    return {
        "learner": found.learner.name,
        "question": asdict(found.question),
        **summary(found),
        "unmeasured": found.unmeasured,
        "ledger": asdict(found.ledger),
        "output": None if path is None else str(path),
    }


def print_diagnosis(found: Diagnosis) -> None:
    """The verdict, its evidence, the symmetries and the ledger."""
    say = terminal().print
    question, spans = found.question, found.spans
    say(f"{found.learner.name} on {question.suite}: {found.verdict}")
    say(f"  because: {found.phase.reason}")
    width = max(len(cell.name) for cell in found.cells)
    say(f"  {'':{width}}  {'accuracy, ' + spans[0]:22}  {'accuracy, ' + spans[1]:22}  improvement")
    for cell in found.cells:
        numbers = (cell.accuracy_early, cell.accuracy_late, cell.improvement)
        say(f"  {cell.name:{width}}  " + "  ".join(f"{number!s:22}" for number in numbers).rstrip())
    for what, why in found.unmeasured.items():
        say(f"  {what}: not measured: {why}")
    say("symmetries: how often a prediction follows the change as it should")
    for symmetry in found.symmetries:
        say(f"  {symmetry.name:20} {symmetry.share}")
    for name, cost in found.costs.items():
        say(f"{name:13} {cost}")
    say(f"{question.num_episodes:,} episodes a cell, 95% intervals over episodes; --seed {question.seed} repeats it")
