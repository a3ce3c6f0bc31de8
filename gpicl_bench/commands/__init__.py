"""The command line: one module a command. Exit status 0, or 2 with one clear message."""

import argparse
import sys

from gpicl_bench.commands import describing, listing, scoring
from gpicl_bench.errors import GpiclBenchError

_COMMANDS = {"evaluate": scoring, "list": listing, "show": describing}


def main(arguments: list[str], program: str = "python -m gpicl_bench") -> int:
    """Run a command line; returns the exit status."""
    options = _parser(program, arguments).parse_args(arguments)
    try:
        options.run(options)
    except GpiclBenchError as error:
        if options.traceback:
            raise
        print(f"error: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        sys.stderr.close()  # the reader of a pipe, such as head, has left: nothing more to say
        return 0
    return 0


def _parser(program: str, arguments: list[str]) -> argparse.ArgumentParser:
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--traceback", action="store_true", help="show where an error was raised")
    if program.endswith(".evaluate"):  # the command's own module: no subcommand on show
        alone = argparse.ArgumentParser(prog=program, parents=[common], description=scoring.HELP)
        del arguments[:1]
        scoring.add_arguments(alone)
        alone.set_defaults(run=scoring.run)
        return alone
    parser = argparse.ArgumentParser(prog=program, description="A benchmark for general-purpose in-context learning.")
    commands = parser.add_subparsers(required=True, metavar="command")
    for name, module in _COMMANDS.items():
        command = commands.add_parser(name, parents=[common], help=module.HELP, description=module.HELP)
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser
