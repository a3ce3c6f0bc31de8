"""`submit`: make a leaderboard entry of a learner."""

import argparse
import shlex
import sys
from pathlib import Path
from typing import Any

from gpicl_bench.commands.arguments import argument_pairs, learner_arguments

HELP = "evaluate a learner of record, audit and diagnose it, and write its leaderboard entry"
EXAMPLES = (
    "submit my_model.py --suite digits-proj-perm-v0 --name my_model --author 'A. Name' --licence MIT",
    "submit my_model.py --suite mnist-proj-perm-v0 --name my_model --author 'A. Name' --licence MIT"
    " --include weights --run seed=0 --run seed=1 --run seed=2",
)
EXIT_STATUS: dict[int, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", help="a Python file that defines `learner`, or `make_learner(info, **args)`")
    parser.add_argument("--suite", required=True, metavar="ID", help="of record")
    parser.add_argument("--name", required=True, help="of the entry: lower case, digits, _ and -")
    parser.add_argument("--author", action="append", required=True, metavar="NAME", help="repeatable")
    parser.add_argument("--licence", required=True, help="of code and weights, such as MIT")
    parser.add_argument("--link", metavar="URL", help="a page or a paper")
    parser.add_argument("--description", default="", metavar="TEXT", help="what it is, in a few sentences")
    parser.add_argument("--root", type=Path, metavar="FOLDER", help="all its files lie here (default: FILE's folder)")
    parser.add_argument(
        "--include",
        type=Path,
        action="append",
        default=[],
        metavar="PATH",
        help="a module, weights (.safetensors, .npz), or a folder of them; repeatable",
    )
    parser.add_argument(
        "--learner-arg", action="append", default=[], metavar="KEY=VALUE", help="of make_learner; repeatable"
    )
    parser.add_argument(
        "--run",
        dest="runs",
        action="append",
        default=[],
        metavar="KEY=VALUE[;KEY=VALUE]",
        help="arguments of one meta-training run; repeat it, three times or more, for an entry that is not single-run",
    )
    parser.add_argument(
        "--selection", choices=("none", "meta-validation"), default="none", help="what chose settings and weights"
    )
    parser.add_argument("--trials", type=int, metavar="N", help="settings that were tried, this one included")
    parser.add_argument("--search", default="", metavar="TEXT", help="how settings were searched, in words")
    parser.add_argument("--folder", type=Path, default=Path("leaderboards"), help="(default: leaderboards)")


def run(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.reading import read_entry
    from gpicl_bench.leaderboard.submission import Submission, submit

    runs: list[dict[str, Any]] = [argument_pairs("--run", text.split(";")) for text in options.runs]
    submission = Submission(
        file=Path(options.file),
        suite=options.suite,
        name=options.name,
        authors=options.author,
        licence=options.licence,
        root=options.root or Path(options.file).parent,
        link=options.link,
        description=options.description,
        include=options.include,
        args=learner_arguments(options),
        runs=runs or [{}],
        selection=options.selection,
        trials=options.trials,
        search=options.search,
        command=shlex.join(["python", "-m", "gpicl_bench", *options.given]),
    )
    path = submit(submission, options.folder, progress=sys.stderr.isatty())
    entry = read_entry(path)
    claimed = entry.claimed
    low, high = claimed.score_interval
    print(f"{entry.name} on {entry.suite}: score {claimed.score:.3f} ({low:.3f} to {high:.3f} over {claimed.over})")
    print(
        f"track {entry.track}{', single run' if entry.single_run else ''}; audit {claimed.audit}; {claimed.diagnosis}"
    )
    print(f"digest {entry.digest}\nwritten to {path}\nnext: python -m gpicl_bench verify {shlex.quote(str(path))}")
    return 0
