"""`round`: hidden rounds, from the commitment to the ranking."""

import argparse
import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from gpicl_bench.commands.parser import add_actions

if TYPE_CHECKING:
    from gpicl_bench.leaderboard.hidden_round import HiddenRound, Score

HELP = "hold a hidden round: tasks that nobody could know when the learners were frozen"

EXAMPLES = (
    "round commit 2026-autumn --suite digits-proj-perm-v0 --public 'the value, as it is written'"
    " --organisers-close 2026-09-29T12:00:00Z --close 2026-09-30T12:00:00Z --known 2026-10-01T12:00:00Z"
    " --secret secret.yaml",
    "round enter 2026-autumn leaderboards/digits-proj-perm-v0/mine.yaml",
    "round close 2026-autumn",
    "round reveal 2026-autumn --secret secret.yaml --value 4711",
    "round score 2026-autumn --num-tasks 64",
)
EXIT_STATUS: dict[int, str] = {}
_TIME = "2026-09-30T12:00:00Z"
_ACTIONS = {
    "commit": "announce a round: draw a secret, publish its hash",
    "enter": "freeze an entry by its digest",
    "close": "close a round: the sorted list of digests",
    "reveal": "reveal the secret: the seed follows from it, from the list and from the public value",
    "score": "score every frozen entry on the tasks of the seed. THIS RUNS THE CODE of all entries, in processes of "
    "their own, with your rights on files: read it first, and run it where it can do no harm",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add = add_actions(parser, _ACTIONS, EXAMPLES)
    for name, each in add.items():
        each.add_argument("name", help="of the round, such as 2026-autumn")
        each.add_argument(
            "--folder", type=Path, default=Path("leaderboards"), help="of leaderboards (default: leaderboards)"
        )
        each.set_defaults(
            action={"commit": _commit, "enter": _enter, "close": _close, "reveal": _reveal, "score": _score}[name]
        )
    _add_commit(add["commit"])
    add["enter"].add_argument("entry", type=Path, metavar="ENTRY.yaml", help="<folder>/<suite>/<name>.yaml")
    add["enter"].add_argument("--organiser", action="store_true", help="it is an organiser's own, and closes earlier")
    add["reveal"].add_argument("--secret", type=Path, required=True, metavar="FILE", help="written by `round commit`")
    add["reveal"].add_argument("--value", required=True, metavar="TEXT", help="the public value")
    add["score"].add_argument("--num-tasks", type=int, metavar="N", help="of each suite, for each run (default: 256)")
    add["score"].add_argument(
        "--time-limit", type=float, default=86400.0, metavar="SECONDS", help="for each run (default: 86400)"
    )
    add["score"].add_argument("--memory", type=float, default=16.0, metavar="GIB", help="for each run (default: 16)")


def _add_commit(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--suite", action="append", required=True, metavar="ID", help="repeatable")
    parser.add_argument(
        "--public", required=True, metavar="TEXT", help="the public value's name, and exactly how it is written"
    )
    parser.add_argument("--known", required=True, metavar="TIME", help="when the public value is known: after --close")
    parser.add_argument(
        "--organisers-close", required=True, metavar="TIME", help="when organisers' own entries close: before --close"
    )
    parser.add_argument("--close", required=True, metavar="TIME", help=f"when entries close, in UTC, as {_TIME}")
    parser.add_argument(
        "--secret", type=Path, required=True, metavar="FILE", help="a new file, for the secret: never publish it"
    )


def run(options: argparse.Namespace) -> int:
    status: int = options.action(options)
    return status


def _commit(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.rounds import commit

    hidden = commit(
        options.folder,
        options.name,
        options.secret,
        datetime.now(UTC),
        suites=options.suite,
        organisers_close=options.organisers_close,
        close=options.close,
        public=options.public,
        known=options.known,
    )
    print(f"commitment   {hidden.commitment.sha256}")
    print(f"entries      before {hidden.close}, those of organisers before {hidden.organisers_close}")
    print(f"public value {hidden.public.what}, known from {hidden.public.known}")
    print(f"secret       {options.secret}: keep it, and keep it to yourself until the reveal")
    return _publish(options)


def _enter(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.rounds import enter

    hidden = enter(options.folder, options.name, options.entry, options.organiser, datetime.now(UTC))
    entered = hidden.entered[-1]
    whose = ", an organiser's" if entered.organiser else ""
    print(f"entered      {entered.suite}/{entered.name}{whose}, {entered.time}")
    print(f"digest       {entered.digest}")
    return _publish(options)


def _close(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.rounds import close

    closed = close(options.folder, options.name, datetime.now(UTC)).closed
    assert closed is not None
    for digest in closed.digests:
        print(digest)
    print(f"list         {len(closed.digests)} entries, SHA-256 {closed.sha256}")
    return _publish(options)


def _reveal(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.rounds import reveal

    revealed = reveal(options.folder, options.name, options.secret, options.value, datetime.now(UTC)).revealed
    assert revealed is not None
    print(f"seed         {revealed.seed}")
    return _publish(options)


def _score(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.rerun import Limits
    from gpicl_bench.leaderboard.round_scoring import NUM_TASKS, score

    count = NUM_TASKS if options.num_tasks is None else options.num_tasks
    limits = Limits(options.time_limit, options.memory * 2.0**30)
    hidden = score(options.folder, options.name, count, limits=limits, progress=sys.stderr.isatty())
    _print_ranking(hidden)
    return _publish(options)


def _print_ranking(hidden: "HiddenRound") -> None:
    assert hidden.scores is not None
    for suite in hidden.suites:
        scores = [score for score in hidden.scores.entries if score.suite == suite]
        print(f"{suite}, {hidden.scores.num_tasks:,} tasks of the round, {len(scores)} entries")
        width = max((len(score.name) for score in scores), default=0)
        for score in scores:
            print(f"  {score.rank or '-':>3}  {score.name:{width}}  {_told(score)}")


def _told(score: "Score") -> str:
    """What became of an entry, on one line."""
    whose = "an organiser's; " if score.organiser else ""
    if score.score is None:
        return f"{whose}{score.verdict}: {score.reason}"
    interval = "no interval"
    if score.score_interval is not None:
        interval = f"({score.score_interval[0]:.3f} to {score.score_interval[1]:.3f}) over {score.over}"
    return f"{score.score:.3f} {interval}; {whose}{score.evidence}"


def _publish(options: argparse.Namespace) -> int:
    print(f"publish now  {options.folder / 'rounds' / options.name}.yaml: its commit is the evidence of the time")
    return 0
