"""All pages of the site, by their place in it."""

import hashlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.errors import EntryError
from gpicl_bench.leaderboard.boards import BenchmarkBoard, SuiteBoard, benchmark_boards
from gpicl_bench.leaderboard.entry import TRACKS
from gpicl_bench.leaderboard.site import pictures, rows
from gpicl_bench.leaderboard.site.about import about
from gpicl_bench.leaderboard.site.embedding import embedded
from gpicl_bench.leaderboard.site.frame import curves_frame
from gpicl_bench.registration import registry

_FOLDER = Path(__file__).parent
_REPORT = Path(__file__).parents[2] / "reporting"
_SCRIPTS = {
    "suite.html": (_FOLDER / "table.js", _FOLDER / "curves.js", _FOLDER / "points.js"),
    "benchmark.html": (_FOLDER / "table.js",),
    "entry.html": (_FOLDER / "curves.js", _REPORT / "page.js"),
    "index.html": (),
}


def pages(boards: Mapping[str, SuiteBoard]) -> Iterator[tuple[str, str]]:
    """Place and HTML of each page: the same for the same entries.

    Raises:
        EntryError: jinja2 is not installed.
    """
    template = _templates()
    means = benchmark_boards(boards)
    yield "index.html", template["index.html"].render(_index(boards, means))
    for suite, board in boards.items():
        yield f"{suite}.html", template["suite.html"].render(_suite(board))
        for place, row in zip(board.places, rows.rows(board.places), strict=True):
            yield row.page, template["entry.html"].render(about(place, board, row))
    for id, mean in means.items():
        yield f"{id}.html", template["benchmark.html"].render(_benchmark(mean, boards))


def _templates() -> dict[str, Any]:
    """The templates, each with its style, and its program by its hash, so that the browser runs no other."""
    try:
        from jinja2 import Environment, FileSystemLoader, StrictUndefined
    except ImportError as error:
        what = "the pages need jinja2, which is not installed"
        raise EntryError(what, hint="pip install 'gpicl-bench[site]'") from error
    environment = Environment(
        loader=FileSystemLoader(_FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return {name: environment.get_template(name, globals=_assets(name)) for name in _SCRIPTS}


def _assets(name: str) -> dict[str, Any]:
    from base64 import b64encode

    from markupsafe import Markup

    from gpicl_bench import __version__

    sheet = "".join(path.read_text(encoding="utf-8") for path in (_REPORT / "page.css", _FOLDER / "board.css"))
    parts = "".join(path.read_text(encoding="utf-8") for path in _SCRIPTS[name])
    data = 'const data = JSON.parse(document.getElementById("data").textContent);\n'
    script = f'"use strict";\n{data}{parts}' if parts else ""
    sha256 = b64encode(hashlib.sha256(script.encode()).digest()).decode()
    return {
        "script": Markup(script),
        "sheet": Markup(sheet),
        "script_sha256": sha256,
        "version": __version__,
        "sizes": pictures.SIZES,
        "tracks": TRACKS,
    }


def _index(boards: Mapping[str, SuiteBoard], means: Mapping[str, BenchmarkBoard]) -> dict[str, Any]:
    complete = {id: sum(not mean.missing for mean in board.means) for id, board in means.items()}
    return {
        "boards": [_summary(board) for board in boards.values()],
        "benchmarks": [(id, suites, complete.get(id)) for id, suites in BENCHMARKS.items()],
    }


def _summary(board: SuiteBoard) -> dict[str, Any]:
    found = rows.rows(board.places)
    best = {row.track: row for row in found if row.rank == "1"}
    verified = sum(row.verified.kind == "verified" for row in found)
    return {
        "suite": board.suite,
        "entries": len(found),
        "verified": verified,
        "best": [best.get(track) for track in TRACKS],
    }


def _suite(board: SuiteBoard) -> dict[str, Any]:
    found = rows.rows(board.places)
    filtered = rows.filters(found)
    first = board.places[0].contender
    data = {
        "columns": rows.columns(board.places),
        "filters": filtered,
        "links": [row.page for row in found],
        **pictures.data([place.contender.evidence for place in board.places]),
    }
    return {
        "suite": board.suite,
        "benchmarks": [id for id, suites in BENCHMARKS.items() if board.suite in suites],
        "setting": _setting(board),
        "rows": found,
        "choices": rows.choices(filtered),
        "last": first.entry.claimed.last,
        "frame": curves_frame(first.entry.claimed.last),
        "chance": pictures.chance(first.evidence),
        "drawn": [
            pictures.line(place, row.page, row.drawn)
            for place, row in zip(board.places, found, strict=True)
            if row.drawn is not None
        ],
        "costs": pictures.costs(board.places),
        "shapes": pictures.SHAPES.items(),
        "data": embedded(data),
    }


def _setting(board: SuiteBoard) -> str:
    tasks = sorted({place.contender.evidence.num_tasks for place in board.places})
    spec = registry[board.suite]
    entries = f"{len(board.places):,} entr{'y' if len(board.places) == 1 else 'ies'}"
    asked = " or ".join(f"{number:,}" for number in tasks)
    fingerprint = spec.fingerprints["meta_test"][:16]
    return f"{entries}, asked {asked} tasks of meta_test, T = {spec.num_examples}, fingerprint {fingerprint}…"


def _benchmark(board: BenchmarkBoard, boards: Mapping[str, SuiteBoard]) -> dict[str, Any]:
    found = rows.mean_rows(board.means, board.suites)
    filtered = rows.mean_filters(found)
    return {
        "benchmark": board.benchmark,
        "suites": board.suites,
        "boards": set(boards),
        "rows": found,
        "choices": rows.choices(filtered),
        "data": embedded({"columns": rows.mean_columns(board.means, board.suites), "filters": filtered}),
    }
