"""Options that several commands share."""

import argparse
import ast
from typing import Any

from gpicl_bench.errors import InvalidArgument

DEFAULT_SUITE = "digits-proj-perm-v0"  # bundled: it needs no download


def add_learner(parser: argparse.ArgumentParser) -> None:
    """The learner file, its arguments and its seed."""
    parser.add_argument("file", help="a Python file that defines `learner`, or `make_learner(info, **args)`")
    parser.add_argument(
        "--learner-arg",
        action="append",
        default=[],
        metavar="KEY=VALUE",
        help="an argument of make_learner; repeatable",
    )
    parser.add_argument(
        "--learner-seed", type=int, default=0, metavar="SEED", help="of a stochastic learner's keys (default: 0)"
    )


def learner_arguments(options: argparse.Namespace) -> dict[str, Any]:
    """The arguments of make_learner: key=value, the value a Python literal or else a string."""
    pairs = [_argument(text) for text in options.learner_arg]
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise InvalidArgument("an argument is given twice", got=", ".join(sorted(k for k in keys if keys.count(k) > 1)))
    return dict(pairs)


def _argument(text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise InvalidArgument("--learner-arg is malformed", expected="key=value", got=text)
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError):
        return key, value
