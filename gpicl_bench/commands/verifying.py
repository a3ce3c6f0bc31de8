"""`verify`: check an entry of a leaderboard, ask its learner again, and write the verdict into it."""

import argparse
from pathlib import Path

from gpicl_bench.commands.document import add_json, write

HELP = "verify a leaderboard entry; its learner's code runs in a process of its own: read what you run"
EXAMPLES = (
    "verify leaderboards/digits-proj-perm-v0/mine.yaml",
    "verify leaderboards/digits-proj-perm-v0/mine.yaml --all --json",
)
EXIT_STATUS = {0: "verified", 1: "refuted", 3: "not reproduced: the learner did not run here"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("entry", type=Path, help="leaderboards/<suite>/<name>.yaml")
    number = parser.add_mutually_exclusive_group()
    number.add_argument("--num-tasks", type=int, metavar="N", help="asked again for each run (default: 64)")
    number.add_argument("--all", action="store_true", help="ask all tasks again")
    parser.add_argument("--seed", metavar="HEX", help="of the choice of tasks, 64 hex digits, to repeat a verification")
    parser.add_argument(
        "--time-limit", type=float, default=3600.0, metavar="SECONDS", help="for each run (default: 3600)"
    )
    parser.add_argument("--memory", type=float, default=16.0, metavar="GIB", help="for each run (default: 16)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.rerun import Limits
    from gpicl_bench.leaderboard.verification import NUM_TASKS, verify

    count = None if options.all else NUM_TASKS if options.num_tasks is None else options.num_tasks
    limits = Limits(options.time_limit, options.memory * 2.0**30)
    found = verify(options.entry, count, options.seed, limits, say=print)
    print(f"{found.verdict}{f': {found.reason}' if found.reason else ''}")
    if found.rerun and not found.isolated:
        print("not isolated: this system does not let the learner run without a network")
    print(f"written to {options.entry}")
    if options.json:
        write(found.model_dump(mode="json"))
    return {"verified": 0, "refuted": 1, "not reproduced": 3}[found.verdict]
