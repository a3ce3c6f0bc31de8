"""docs/command-line.md, made of the parser itself: `python -m tests.command_page` writes it."""

import argparse

from gpicl_bench.commands import COMMANDS
from gpicl_bench.commands.parser import EXIT_STATUS, Parser, parser
from tests.conftest import ROOT

PAGE = ROOT / "docs" / "command-line.md"
HEAD = """# The command line

```bash
python -m gpicl_bench list
python -m gpicl_bench doctor
python -m gpicl_bench show digits-proj-perm-v0 --json
```

The console script `gpicl-bench` is the same as `python -m gpicl_bench`, and `python -m gpicl_bench.evaluate` is their `evaluate`. `gpicl-bench COMMAND --help`
says what stands here, with examples; `gpicl-bench --version` tells the version. A command that does not exist is answered by the nearest.

- **`--json`** prints exactly one JSON document on standard output. Everything else, also what a learner and its processes print, goes to standard
  error. Numbers that cannot be given (the interval of one task) are `null`. After an error there is no document.
- **Exit statuses** are the same for all commands, but for those that a command lists as its own:
"""
MIDDLE = """- **Errors** are one message on standard error, with what was expected, what came and what to do; `--traceback` shows where they were raised.
- **Colours** and bars are for terminals only: a pipe gets plain text, and `NO_COLOR=1` turns colours off in terminals too.
- **Paths**: a learner file imports its neighbours, whichever way the command is started.

This page is made of the parser (`python -m tests.command_page`); every example is parsed in the tests.
"""


def page():
    statuses = "\n".join(f"    - `{status}` {meaning}" for status, meaning in EXIT_STATUS.items())
    whole = parser("gpicl-bench", COMMANDS, "")
    sections = [_section(name, module, subparsers(whole)[name]) for name, module in COMMANDS.items()]
    return f"{HEAD}{statuses}\n{MIDDLE}\n" + "\n".join(sections)


def subparsers(of: Parser):
    """The parsers of the commands, or of the actions of a command; none if it has none."""
    groups = [action for action in of._actions if isinstance(action, argparse._SubParsersAction)]
    return dict(groups[0].choices) if groups else {}


def _section(name, module, added):
    lines = [f"## {name}", f"{module.HELP[0].upper()}{module.HELP[1:]}.", "", "```text"]
    lines += [f"gpicl-bench {example}" for example in module.EXAMPLES]
    lines += ["```", ""]
    if module.EXIT_STATUS:
        own = "; ".join(f"`{status}` {meaning}" for status, meaning in module.EXIT_STATUS.items())
        lines += [f"Exit status of its own: {own}.", ""]
    actions = subparsers(added)
    for action, parsed in actions.items():
        text = parsed.description
        lines += [f"`{name} {action}`: {text}.", "", *_options(parsed), ""]
    if not actions:
        lines += [*_options(added), ""]
    return "\n".join(lines)


def _options(added):
    """A table of what a parser takes."""
    rows = ["| argument | |", "|---|---|"]
    for action in added._actions:
        if action.dest in ("help", "traceback"):
            continue
        shown = ", ".join(action.option_strings) or _value(action)
        value = f" {_value(action)}" if action.option_strings and action.nargs != 0 else ""
        rows.append(f"| `{shown}{value}` | {(action.help or '').replace('|', 'or')} |")
    return rows


def _value(action):
    if action.choices:
        return " or ".join(map(str, action.choices))
    return action.metavar or (action.dest.upper() if action.option_strings else action.dest)


if __name__ == "__main__":
    PAGE.write_text(page())
