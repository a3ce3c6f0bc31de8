"""`audit`: look for evidence that a learner's score rests on anything but learning."""

import argparse
import sys

from gpicl_bench.auditing import audit
from gpicl_bench.commands.arguments import (
    DEFAULT_SUITE,
    add_data,
    add_learner,
    add_num_examples,
    learner_arguments,
    make_suite,
    suite_ids,
)
from gpicl_bench.commands.table import print_audit
from gpicl_bench.learners import load_learner

HELP = "audit a learner file: exit status 0 passed, 1 a check failed, 2 bad input"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_learner(parser)
    parser.add_argument("--suite", metavar="ID", help=f"(default: {DEFAULT_SUITE})")
    add_data(parser)
    add_num_examples(parser)
    parser.add_argument("--level", choices=["full", "quick"], default="full", help="128 or 64 tasks (default: full)")
    parser.add_argument("--seed", metavar="HEX", help="64 hex digits that repeat an audit (default: drawn now)")


def run(options: argparse.Namespace) -> int:
    suite = make_suite(options, *suite_ids(options, [options.suite] if options.suite else []))
    loaded = load_learner(options.file, suite.info, learner_arguments(options))
    found = audit(
        loaded, suite, options.level, learner_seed=options.learner_seed, seed=options.seed, progress=sys.stderr.isatty()
    )
    print_audit(found, loaded.name, suite.id)
    return 0 if found.status == "passed" else 1
