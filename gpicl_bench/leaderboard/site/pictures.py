"""The pictures of the pages: curves and points, drawn without the program of a page and redrawn by it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from gpicl_bench.leaderboard.entry import Entry
from gpicl_bench.leaderboard.evidence import Evidence
from gpicl_bench.leaderboard.ranking import Place
from gpicl_bench.leaderboard.site import frame
from gpicl_bench.leaderboard.site.frame import Frame, curves_frame, points_frame
from gpicl_bench.leaderboard.site.quantity import duration, size
from gpicl_bench.leaderboard.site.rows import page_of
from gpicl_bench.reporting.rows import number
from gpicl_bench.reporting.style import Style, style

SIZES = {name: getattr(frame, name.upper()) for name in ("width", "height", "left", "right", "top", "bottom")}
SHAPES = {  # of a track, around the origin
    "none": "M-4 0a4 4 0 1 0 8 0a4 4 0 1 0 -8 0",
    "mnist": "M-3.6 -3.6h7.2v7.2h-7.2z",
    "same": "M0 -4.8l4.6 8.4h-9.2z",
    "open": "M0 -5l5 5l-5 5l-5 -5z",
}
_STYLES = 56  # that all look different


@dataclass(frozen=True)
class Line:
    """A learning curve in a picture, with what its legend says."""

    name: str
    page: str
    path: str
    style: Style
    last: str


@dataclass(frozen=True)
class Point:
    """An entry in a picture; `entry` is its number on the board."""

    entry: int
    track: str
    x: float
    y: float
    told: str


@dataclass(frozen=True)
class Cost:
    """Score against something; `without` are names and pages of those that have no positive value.

    Attributes:
        lacks: what those are without, for people.
        frame: None where no entry has a value.
        points: from left to right.
    """

    title: str
    lacks: str
    frame: Frame | None
    points: list[Point]
    without: list[tuple[str, str]]


def data(evidence: Sequence[Evidence], styles: int = _STYLES) -> dict[str, Any]:
    """What the program needs to draw learning curves: how often the runs were right together, of how many."""
    looks = [style(n) for n in range(styles)]
    return {
        "frame": {**SIZES, "last": len(evidence[0].accuracy) - 1},
        "curves": [found.right.sum(axis=0).tolist() for found in evidence],
        "asked": [found.num_tasks * len(found.right) for found in evidence],
        "styles": [(look.colour, look.svg_dashes, look.svg_mark) for look in looks],
    }


def line(place: Place, page: str, look: Style) -> Line:
    """The curve of an entry."""
    accuracy = place.contender.evidence.accuracy
    path = curves_frame(len(accuracy) - 1).path(accuracy)
    return Line(place.contender.entry.name, page, path, look, number(float(accuracy[-1])))


def chance(evidence: Evidence) -> str:
    """The line of who guesses."""
    last = len(evidence.accuracy) - 1
    return curves_frame(last).path([1 / evidence.num_classes] * (last + 1))


def costs(places: Sequence[Place]) -> list[Cost]:
    """Score against the size of the state, and against the seconds of meta-training."""
    entries = [place.contender.entry for place in places]
    states = [entry.claimed.state_bytes for entry in entries]
    seconds = [entry.claimed.meta_training_seconds for entry in entries]
    return [
        _cost("Score and state", "without a known state size", "bytes of state", places, states, [*map(size, states)]),
        _cost(
            "Score and meta-training",
            "without meta-training, or without its known time",
            "seconds of meta-training, mean over runs",
            places,
            seconds,
            [*map(duration, seconds)],
        ),
    ]


def _cost(
    title: str,
    lacks: str,
    across: str,
    places: Sequence[Place],
    values: Sequence[float | None],
    told: Sequence[str],
) -> Cost:
    known = {n: value for n, value in enumerate(values) if value}
    axes = points_frame(known.values(), [places[n].contender.score for n in known], across)
    points = [_point(n, places[n], axes, value, told[n]) for n, value in known.items()] if axes else []
    entries: list[Entry] = [place.contender.entry for n, place in enumerate(places) if n not in known]
    points.sort(key=lambda point: (point.x, -point.y, point.entry))
    return Cost(title, lacks, axes, points, [(entry.name, page_of(entry)) for entry in entries])


def _point(number_: int, place: Place, axes: Frame, value: float, told: str) -> Point:
    x, y = axes.at(value, place.contender.score)
    return Point(number_, place.contender.entry.track, x, y, told)
