"""The command line: one module a command. Exit status 0, or 2 with one clear message; `audit` has 1 for a failure.

A command that is interrupted ends with 130 (ctrl-C) or 143 (SIGTERM).
"""

import argparse
import io
import os
import sys
import traceback
from types import ModuleType

from gpicl_bench.commands import (
    auditing,
    comparing,
    describing,
    diagnosing,
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
from gpicl_bench.errors import GpiclBenchError

_COMMANDS = {
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
}


def main(arguments: list[str]) -> int:
    """`python -m gpicl_bench`: one subcommand for each module."""
    parser = argparse.ArgumentParser(
        prog="python -m gpicl_bench", description="A benchmark for general-purpose in-context learning."
    )
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, module in _COMMANDS.items():
        _fill(commands.add_parser(name, help=module.HELP, description=module.HELP), module)
    return _run(parser, arguments)


def main_evaluate(arguments: list[str]) -> int:
    """`python -m gpicl_bench.evaluate`: the same as `python -m gpicl_bench evaluate`."""
    parser = argparse.ArgumentParser(prog="python -m gpicl_bench.evaluate", description=scoring.HELP)
    _fill(parser, scoring)
    return _run(parser, arguments)


def _fill(parser: argparse.ArgumentParser, module: ModuleType) -> None:
    module.add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    parser.set_defaults(run=module.run)


def _run(parser: argparse.ArgumentParser, arguments: list[str]) -> int:
    """Parse, run, and turn every error into one message."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal without × or ≥ shows ? there
    options = parser.parse_args(arguments)
    options.given = arguments
    try:
        with terminable():
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
