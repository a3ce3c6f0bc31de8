"""`audit`: look for evidence that a learner's score rests on anything but learning."""

import argparse
import sys
from dataclasses import asdict

from gpicl_bench.auditing import audit
from gpicl_bench.commands.arguments import add_learner, add_suite, learner_arguments, make_one_suite
from gpicl_bench.commands.document import add_json, write
from gpicl_bench.commands.table import print_audit
from gpicl_bench.learners import load_learner

HELP = "look for evidence that a learner's score rests on anything but learning"
EXAMPLES = (
    "audit my_model.py",
    "audit my_model.py --suite mnist-proj-perm-v0 --level quick",
    "audit my_model.py --learner-arg width=64 --json",
)
EXIT_STATUS = {0: "the audit passed", 1: "a check failed, or equal runs differ: not auditable"}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_learner(parser)
    add_suite(parser)
    parser.add_argument("--level", choices=["full", "quick"], default="full", help="128 or 64 tasks (default: full)")
    parser.add_argument("--seed", metavar="HEX", help="64 hex digits that repeat an audit (default: drawn now)")
    add_json(parser)


def run(options: argparse.Namespace) -> int:
    suite = make_one_suite(options)
    loaded = load_learner(options.file, suite.info, learner_arguments(options))
    found = audit(
        loaded, suite, options.level, learner_seed=options.learner_seed, seed=options.seed, progress=sys.stderr.isatty()
    )
    if options.json:
        write({"learner": loaded.name, "suite": suite.id, "status": found.status, **asdict(found)})
    else:
        print_audit(found, loaded.name, suite.id)
    return 0 if found.status == "passed" else 1
