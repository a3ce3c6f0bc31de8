"""Everything about speed in one interleaved run: `python -m tests.benchmarks [section …] [--rounds 10] [--threads 2]`.

It prints ratios, writes `tests/benchmarks/<backend>.json`, section by section, and makes docs/performance.md of these files.
"""

import argparse
import os
import shlex
import sys
from pathlib import Path


def fix_threads(threads):
    """Before anything starts a thread: as many processors, and as many threads of each library."""
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:threads])
    for name in ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"):
        os.environ[name] = str(threads)


def main(arguments):
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks", description=__doc__.splitlines()[0])
    parser.add_argument("sections", nargs="*", metavar="section", help="of the page (default: all)")
    parser.add_argument("--rounds", type=int, default=10, help="interleaved rounds of each measurement (default: 10)")
    parser.add_argument("--threads", type=int, default=2, help="processors and threads of each library (default: 2)")
    parser.add_argument(
        "--output", type=Path, help="of the JSON (default: tests/benchmarks/BACKEND.json, and the page)"
    )
    options = parser.parse_args(arguments)
    if options.rounds < 1 or options.threads < 1:
        parser.error("rounds and threads are 1 or more")
    fix_threads(options.threads)
    from tests.benchmarks import page
    from tests.benchmarks.record import record

    unknown = set(options.sections) - set(page.SECTIONS)
    if unknown:
        parser.error(f"no such section: {', '.join(sorted(unknown))}; there are {', '.join(page.SECTIONS)}")
    command = shlex.join(["python", "-m", "tests.benchmarks", *arguments])
    for section in options.sections or page.SECTIONS:
        path = record(section, options.rounds, options.threads, command, options.output)
        print("\n".join(page.summary(section, path)), flush=True)
    if options.output is None:
        print(page.write())


if __name__ == "__main__":
    main(sys.argv[1:])
