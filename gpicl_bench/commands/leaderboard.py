"""`leaderboard`: the tables and the site of the leaderboards, built of their files alone."""

import argparse
from pathlib import Path

from gpicl_bench.commands.parser import add_actions

HELP = "build the tables and the site of the leaderboards, show the site on this machine, or mark an entry"
EXAMPLES = (
    "leaderboard build",
    "leaderboard build --folder leaderboards --output _site",
    "leaderboard serve --port 8000",
    "leaderboard mark leaderboards/digits-proj-perm-v0/mine.yaml --unreliable 'seed 7 gives 0.3'",
    "leaderboard mark leaderboards/digits-proj-perm-v0/mine.yaml --superseded-by mine_2",
)
EXIT_STATUS: dict[int, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    actions = add_actions(parser, {"mark": _MARK, "build": _BUILD, "serve": _SERVE}, EXAMPLES)
    added = actions["mark"]
    added.add_argument("entry", type=Path, help="leaderboards/<suite>/<name>.yaml")
    added.add_argument("--unreliable", metavar="REASON", help="such as a seed and a command that show it")
    added.add_argument("--superseded-by", metavar="NAME", help="the authors' later entry on the same suite")
    added.set_defaults(action=_mark)
    for name, action in {"build": _build, "serve": _serve}.items():
        added = actions[name]
        added.add_argument(
            "--folder", type=Path, default=Path("leaderboards"), help="of the entries (default: leaderboards)"
        )
        added.set_defaults(action=action)
        if name == "build":
            added.add_argument("--output", type=Path, default=Path("_site"), help="of the site (default: _site)")
        else:
            added.add_argument("--port", type=int, default=8000, help="on 127.0.0.1 (default: 8000; 0: a free one)")


_BUILD = "write a README.md for each suite, and the site"
_MARK = "mark an entry as unreliable or superseded: it loses its rank; without an option, take the marks away"
_SERVE = "show the site at 127.0.0.1, built anew when a file has changed"


def run(options: argparse.Namespace) -> int:
    status: int = options.action(options)
    return status


def _build(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.boards import read_boards
    from gpicl_bench.leaderboard.site.folder import write_site
    from gpicl_bench.leaderboard.site.pages import pages
    from gpicl_bench.leaderboard.tables import write_tables

    boards = read_boards(options.folder)
    written = write_site(pages(boards), options.output)
    write_tables(boards, options.folder)
    print(f"{written:,} pages written to {options.output}, {len(boards)} tables to {options.folder}")
    return 0


def _mark(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.marking import mark

    mark(options.entry, options.unreliable, options.superseded_by)
    print(f"written to {options.entry}")
    return 0


def _serve(options: argparse.Namespace) -> int:
    from gpicl_bench.leaderboard.site.serving import serve

    serve(options.folder, options.port)
    return 0
