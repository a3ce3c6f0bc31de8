"""Options that several commands share."""

import argparse
import ast
import os
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.datasets import dataset, register_file
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.registration import make, parse_id, register, spec
from gpicl_bench.suite import Suite

DEFAULT_SUITE = "digits-proj-perm-v0"  # bundled: it needs no download


def add_data(parser: argparse.ArgumentParser) -> None:
    """A dataset of the user's own."""
    parser.add_argument(
        "--data",
        metavar="FILE.npz",
        help="use x_train, y_train, x_test, y_test of this file as a base dataset; its suite is the default",
    )


def add_num_examples(parser: argparse.ArgumentParser) -> None:
    """Episodes of another length."""
    parser.add_argument("--num-examples", type=int, metavar="T", help="examples of an episode (default: the suite's)")


def add_suite(parser: argparse.ArgumentParser) -> None:
    """One suite, on data of the user's own or not, its episodes as long as they are to be."""
    parser.add_argument("--suite", metavar="ID", help=f"(default: {DEFAULT_SUITE})")
    add_data(parser)
    add_num_examples(parser)


def make_one_suite(options: argparse.Namespace) -> Suite:
    """The suite of `add_suite`."""
    return make_suite(options, *suite_ids(options, [options.suite] if options.suite else []))


def suite_ids(options: argparse.Namespace, ids: list[str]) -> list[str]:
    """The ids that were asked for, or the default one; suites of the dataset in `--data` are registered."""
    if options.data is None:
        return ids or [DEFAULT_SUITE]
    own = register_file(options.data).name
    ids = ids or [f"{own}-proj-perm-v0"]
    members = [id for id in ids if id not in BENCHMARKS and parse_id(id)[0] == own]
    if not members:
        raise InvalidArgument(
            "--data is not used", expected=f"a suite of {own}, such as {own}-none-perm-v0", got=", ".join(ids)
        )
    for id in members:
        register(id)
    return ids


def make_suite(options: argparse.Namespace, id: str) -> Suite:
    """The suite of an id, its episodes as long as `--num-examples` says."""
    if options.num_examples is not None:
        return make(id, num_examples=options.num_examples)
    known = dataset(spec(id).dataset)
    smallest = min(known.size.values())
    if smallest < spec(id).num_examples and not known.replacement:
        raise InvalidArgument(
            "an episode is longer than the pool of images",
            expected=f"up to {smallest} examples, the images of the smaller part of {known.name}",
            got=spec(id).num_examples,
            hint=f"take shorter episodes: --num-examples {smallest}",
        )
    return make(id)


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
    """The arguments of make_learner that `--learner-arg` gives."""
    return argument_pairs("--learner-arg", options.learner_arg)


def argument_pairs(option: str, texts: Sequence[str]) -> dict[str, Any]:
    """Arguments of make_learner: key=value, the value a Python literal or else a string."""
    pairs = [_argument(option, text) for text in texts]
    keys = [key for key, _ in pairs]
    if len(set(keys)) < len(keys):
        raise InvalidArgument("an argument is given twice", got=", ".join(sorted(k for k in keys if keys.count(k) > 1)))
    return dict(pairs)


def _argument(option: str, text: str) -> tuple[str, Any]:
    key, equals, value = text.partition("=")
    if not equals or not key.isidentifier():
        raise InvalidArgument(f"{option} is malformed", expected="key=value", got=text)
    try:
        return key, ast.literal_eval(value)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # of very deep literals
        return key, value


def check_output(path: Path, inputs: Iterable[str | Path | None]) -> None:
    """Before any work is done: a file can be written here, and it replaces none of the files that are read.

    Raises:
        InvalidArgument: it says why not.
    """
    try:
        place = path.resolve()
        reading = [Path(file) for file in inputs if file]
        refusals = {
            "there is no such folder": not place.parent.is_dir(),
            "it is no ordinary file": place.exists() and not place.is_file(),
            "the folder cannot be written": not os.access(place.parent, os.W_OK),
            "it is a file that is read": place.exists() and any(f.exists() and place.samefile(f) for f in reading),
        }
        reason = next((reason for reason, holds in refusals.items() if holds), None)
    except (OSError, ValueError, RuntimeError) as error:  # a name that is too long, or a link to itself
        reason = str(error)
    if reason:
        hint = "name a new file in a folder that exists"
        raise InvalidArgument("the output could not be written", got=f"--output {path}", where=reason, hint=hint)
