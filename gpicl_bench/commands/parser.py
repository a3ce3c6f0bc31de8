"""The parser: a subcommand for each module, with its examples and exit statuses; a slip is answered by the nearest."""

import argparse
import re
from collections.abc import Mapping, Sequence
from difflib import get_close_matches
from types import ModuleType
from typing import NoReturn

EXIT_STATUS = {
    0: "done",
    2: "bad input, or an error: one message on standard error says what to do",
    130: "interrupted by ctrl-C",
    143: "ended by SIGTERM",
}


class Parser(argparse.ArgumentParser):
    """As argparse has it, but for a wrong choice it names the nearest."""

    def error(self, message: str) -> NoReturn:
        wrong = re.search(r"invalid choice: '?([^'\s]+)'? \(choose from (.*)\)", message)
        near = get_close_matches(wrong[1], re.findall(r"[\w-]+", wrong[2]), n=1) if wrong else []
        super().error(f"{message}\n  what to do: did you mean {near[0]}?" if near else message)


def parser(prog: str, commands: Mapping[str, ModuleType], version: str) -> Parser:
    """The parser of the whole command line."""
    whole = Parser(
        prog=prog,
        description="A benchmark for general-purpose in-context learning.",
        epilog=f"`{prog} COMMAND --help` has examples, and the exit statuses of each command.",
    )
    whole.add_argument("--version", action="version", version=f"gpicl-bench {version}")
    added = whole.add_subparsers(required=True, metavar="command", dest="command")
    for name, module in commands.items():
        fill(added.add_parser(name, help=module.HELP), module, prog)
    return whole


def fill(parser: argparse.ArgumentParser, module: ModuleType, prog: str) -> None:
    """A command's arguments and its help."""
    parser.description = module.HELP
    parser.formatter_class = argparse.RawDescriptionHelpFormatter
    parser.epilog = _epilog(module, prog)
    module.add_arguments(parser)
    parser.add_argument("--traceback", action="store_true", help="show where an error was raised")
    parser.set_defaults(run=module.run, json=False)


def add_actions(
    parser: argparse.ArgumentParser, texts: Mapping[str, str], examples: Sequence[str]
) -> dict[str, argparse.ArgumentParser]:
    """The parsers of a command's actions, such as those of `data list`, each with its own of the command's examples."""
    actions = parser.add_subparsers(required=True, metavar="action", dest="action_name")
    prog = parser.prog.rpartition(" ")[0]
    added = {}
    for name, text in texts.items():
        epilog = "\n".join(["examples:", *(f"  {prog} {line}" for line in examples if line.split()[1] == name)])
        form = argparse.RawDescriptionHelpFormatter
        added[name] = actions.add_parser(name, help=text, description=text, epilog=epilog, formatter_class=form)
    return added


def exit_status(module: ModuleType) -> dict[int, str]:
    """What each exit status of a command means."""
    return dict(sorted({**EXIT_STATUS, **module.EXIT_STATUS}.items()))


def _epilog(module: ModuleType, prog: str) -> str:
    examples = [f"  {prog} {example}" for example in module.EXAMPLES]
    statuses = [f"  {status:<3}  {meaning}" for status, meaning in exit_status(module).items()]
    return "\n".join(["examples:", *examples, "", "exit status:", *statuses])
