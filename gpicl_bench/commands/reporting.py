"""`report`: results and diagnoses as one page that people can be shown."""

import argparse
from pathlib import Path

from gpicl_bench.commands.arguments import check_output
from gpicl_bench.errors import InvalidArgument
from gpicl_bench.evaluation.storage import write_text

HELP = "make one HTML page of result files and diagnosis files: curves, tables, diagnoses, LaTeX, BibTeX"
EXAMPLES = (
    "report mine.json centroid.json",
    "report results --output report.html",
)
EXIT_STATUS: dict[int, str] = {}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "files",
        nargs="+",
        metavar="FILE.json",
        help="written by evaluate or diagnose --output; of a folder, all that are in it",
    )
    parser.add_argument(
        "--output", type=Path, default=Path("report.html"), metavar="FILE", help="the page (default: report.html)"
    )


def run(options: argparse.Namespace) -> int:
    from gpicl_bench.reporting.page import page
    from gpicl_bench.reporting.reading import read

    files = [Path(file) for file in options.files]
    if "" in options.files:  # as a path it would be the working folder
        raise InvalidArgument("a file has no name", expected="a file or a folder", got="''")
    check_output(options.output, files)
    if options.output.resolve().suffix == ".json":  # a folder that is read may have it
        raise InvalidArgument(
            "the page could not be written", expected="another name than .json", got=str(options.output)
        )
    write_text(options.output, page(read(files)))
    print(f"written to {options.output}")
    return 0
