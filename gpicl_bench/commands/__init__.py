"""The command line: one module a command. Exit status 0, or 2 with one clear message; docs/command-line.md has all.

Each module has HELP, EXAMPLES (lines that follow the program's name), EXIT_STATUS (those of its own), `add_arguments`
and `run`.
"""

import argparse
import io
import os
import sys
import traceback
from contextlib import nullcontext

from gpicl_bench import __version__
from gpicl_bench.commands import (
    auditing,
    comparing,
    describing,
    diagnosing,
    document,
    examining,
    fetching,
    leaderboard,
    listing,
    reporting,
    rounds,
    scoring,
    submitting,
    verifying,
)
from gpicl_bench.commands.interruption import exit_status, terminable
from gpicl_bench.commands.parser import Parser, fill, parser
from gpicl_bench.errors import GpiclBenchError

COMMANDS = {
    "evaluate": scoring,
    "audit": auditing,
    "diagnose": diagnosing,
    "compare": comparing,
    "report": reporting,
    "submit": submitting,
    "verify": verifying,
    "leaderboard": leaderboard,
    "round": rounds,
    "list": listing,
    "show": describing,
    "data": fetching,
    "doctor": examining,
}
_MODULE = "python -m gpicl_bench"


def main(arguments: list[str], prog: str = _MODULE) -> int:
    """`python -m gpicl_bench`: one subcommand for each module."""
    return _run(parser(prog, COMMANDS, __version__), arguments)


def main_evaluate(arguments: list[str]) -> int:
    """`python -m gpicl_bench.evaluate`: the same as `python -m gpicl_bench evaluate`."""
    alone = Parser(prog=f"{_MODULE}.evaluate")
    fill(alone, scoring, _MODULE)
    return _run(alone, arguments)


def main_script() -> int:
    """The console script `gpicl-bench`: the same as `python -m gpicl_bench`."""
    return main(sys.argv[1:], "gpicl-bench")


def _run(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Parse, run, and turn every error into one message."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without × or ≥ shows ? there
    options = parser.parse_args(arguments)
    options.given = arguments
    try:
        with terminable(), document.reserved() if options.json else nullcontext():
            status: int = options.run(options)
        sys.stdout.flush()
    except KeyboardInterrupt as error:
        print("interrupted", file=sys.stderr)
        return exit_status(error)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader, such as head, has left
        return 0
    except Exception as error:
        if options.traceback:
            traceback.print_exc()
        else:
            print(_message(error), file=sys.stderr)
        return 2
    return status


def _message(error: Exception) -> str:
    if isinstance(error, GpiclBenchError):
        return f"error: {error}"
    if isinstance(error, OSError):
        return f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else "")
    return f"error: {type(error).__name__}: {error}\n  what to do: this was not foreseen; --traceback shows where"
