"""`report`: results and diagnoses as one page that people can be shown."""

import argparse
import os
from pathlib import Path

from gpicl_bench.errors import InvalidArgument
from gpicl_bench.evaluation.storage import write_text

HELP = "make one HTML page of result files and diagnosis files: curves, tables, diagnoses, LaTeX, BibTeX"


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        type=Path,
        metavar="FILE.json",
        help="written by evaluate or diagnose --output; of a folder, all that are in it",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page (default: report.html)"
    )


def run(options: argparse.Namespace) -> int:
    from gpicl_bench.reporting.page import page
    from gpicl_bench.reporting.reading import read

    _check_output(options.output, options.files)
    write_text(options.output, page(read(options.files)))
    print(f"written to {options.output}")
    return 0


def _check_output(output: Path, files: list[Path]) -> None:
    """Before anything takes its time.

    Raises:
        InvalidArgument: there is no such folder, it cannot be written to, or the page would replace a folder or one of
            the files that it is made of.
    """
    place = output.resolve()
    if not place.parent.is_dir():
        problem = "a folder that exists"
    elif place.exists() and not place.is_file():
        problem = "an ordinary file"
    elif not os.access(place.parent, os.W_OK):
        problem = "a folder that can be written to"
    elif place.suffix == ".json" or place in {file.resolve() for file in files}:
        problem = "another file than those that are read"
    else:
        return
    raise InvalidArgument("the page could not be written", expected=f"--output: {problem}", got=str(output))
