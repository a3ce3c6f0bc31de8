"""The rows of the boards, as people and the program of a page read them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from gpicl_bench.leaderboard.boards import Mean
from gpicl_bench.leaderboard.entry import TRACKS, Entry, Track
from gpicl_bench.leaderboard.ranking import Place
from gpicl_bench.leaderboard.site.quantity import count, duration, size
from gpicl_bench.reporting.rows import NOTHING, Number, interval, number
from gpicl_bench.reporting.style import Style, style
from gpicl_bench.reporting.text import plain

_DRAWN = 4  # curves that a page begins with
TRUST = {"passed": "passed", "failed": "failed"}  # how an audit is marked; else as none


@dataclass(frozen=True)
class Checked:
    """What a verification says, in a word and beside the claim."""

    kind: str
    score: str
    about: str


@dataclass(frozen=True)
class Row:
    """An entry on a board.

    Attributes:
        page: its page, from the top of the site.
        apart: why it has no rank; empty if it has one.
        opens: `opens-track` or `opens-group`, if another one begins here.
        drawn: how its curve looks, if the page begins with it.
    """

    name: str
    page: str
    authors: str
    track: str
    track_name: str
    rank: str
    group: str
    apart: str
    opens: str
    score: Number
    accuracy: Number
    runs: str
    verified: Checked
    audit: str
    trust: str
    diagnosis: str
    state: str
    seconds: str
    parameters: str
    drawn: Style | None


def rows(places: Sequence[Place]) -> list[Row]:
    """The rows of a suite's board, in its order."""
    drawn = {number: style(n) for n, number in enumerate(_first_drawn(places))}
    return [
        _row(place, places[number - 1] if number else None, drawn.get(number)) for number, place in enumerate(places)
    ]


def _row(place: Place, above: Place | None, drawn: Style | None) -> Row:
    entry, claimed = place.contender.entry, place.contender.entry.claimed
    return Row(
        name=entry.name,
        page=page_of(entry),
        authors=plain(", ".join(entry.authors)),
        track=entry.track,
        track_name=TRACKS[entry.track],
        rank=NOTHING if place.rank is None else str(place.rank),
        group=NOTHING if place.group is None else str(place.group),
        apart=place.contender.apart or "",
        opens="" if above is None else _opens((above.contender.entry.track, above.group), (entry.track, place.group)),
        score=Number(number(place.contender.score), interval(claimed.score_interval)),
        accuracy=Number(number(claimed.accuracy), interval(claimed.accuracy_interval)),
        runs=runs(entry),
        verified=checked(entry),
        audit=claimed.audit,
        trust=TRUST.get(claimed.audit, "none"),
        diagnosis=plain(claimed.diagnosis),
        state=size(claimed.state_bytes),
        seconds=duration(claimed.meta_training_seconds),
        parameters=count(claimed.parameters),
        drawn=drawn,
    )


def _opens(above: tuple[Track, int | None], here: tuple[Track, int | None]) -> str:
    """What begins between two rows of these tracks and groups."""
    return "opens-track" if above[0] != here[0] else "opens-group" if above[1] != here[1] else ""


def page_of(entry: Entry) -> str:
    """Its page, from the top of the site."""
    return f"entries/{entry.suite}/{entry.name}.html"


def runs(entry: Entry) -> str:
    """How many, with the mark of those that were meta-trained too seldom."""
    if entry.track == "none":
        return "none needed"
    many = f"{len(entry.runs)} run{'s' if len(entry.runs) > 1 else ''}"
    return ("single run" if len(entry.runs) == 1 else f"{many}, fewer than three") if entry.single_run else many


def checked(entry: Entry) -> Checked:
    """What a verification found."""
    found = entry.verified
    if found is None:
        return Checked("not verified", "", "")
    about = [found.date, f"{count(found.rerun)} tasks", *([] if found.isolated else ["not isolated"])]
    return Checked(found.verdict, "" if found.score is None else number(found.score), ", ".join(about))


def columns(places: Sequence[Place]) -> dict[str, Sequence[Any]]:
    """What each column is sorted by; null stands last. `rank` is the order of the board."""
    entries = [place.contender.entry for place in places]
    claimed = [entry.claimed for entry in entries]
    found = [entry.verified for entry in entries]
    return {
        "rank": range(len(places)),
        "group": [place.group for place in places],
        "name": [entry.name for entry in entries],
        "track": [[*TRACKS].index(entry.track) for entry in entries],
        "score": [round(place.contender.score, 6) for place in places],
        "accuracy": [round(numbers.accuracy, 6) for numbers in claimed],
        "runs": [0 if entry.track == "none" else len(entry.runs) for entry in entries],
        "verified": [None if v is None else v.score for v in found],
        "audit": [numbers.audit for numbers in claimed],
        "diagnosis": [plain(numbers.diagnosis) for numbers in claimed],
        "state": [numbers.state_bytes for numbers in claimed],
        "seconds": [numbers.meta_training_seconds for numbers in claimed],
        "parameters": [numbers.parameters for numbers in claimed],
    }


def filters(shown: Sequence[Row]) -> dict[str, list[str]]:
    """What each filter looks at; `text` is searched for words."""
    return {
        "text": [f"{row.name} {row.authors} {row.apart}".lower() for row in shown],
        "track": [row.track_name for row in shown],
        "verified": [row.verified.kind for row in shown],
        "audit": [row.audit for row in shown],
        "diagnosis": [row.diagnosis for row in shown],
    }


def choices(filtered: Mapping[str, Sequence[str]]) -> dict[str, list[str]]:
    """What can be chosen: what occurs, tracks in their order."""
    found = {name: sorted(set(values)) for name, values in filtered.items() if name != "text"}
    if "track" in found:
        found["track"] = [name for name in TRACKS.values() if name in found["track"]]
    return found


def _first_drawn(places: Sequence[Place]) -> list[int]:
    """The best of each track, and then the best."""
    ranked = sorted((n for n, p in enumerate(places) if p.rank), key=lambda n: -places[n].contender.score)
    best = [n for n in ranked if places[n].rank == 1]
    return [*best, *(n for n in ranked if n not in best)][:_DRAWN]


@dataclass(frozen=True)
class MeanRow:
    """A name on the board of a benchmark; `cells` are page and score on each suite."""

    name: str
    track: str
    track_name: str
    rank: str
    group: str
    opens: str
    score: Number
    accuracy: str
    missing: str
    cells: list[tuple[str, str]]


def mean_rows(means: Sequence[Mean], suites: Sequence[str]) -> list[MeanRow]:
    """The rows of a benchmark's board, in its order."""
    found = []
    for number_, mean in enumerate(means):
        above = means[number_ - 1] if number_ else None
        known = {suite: (page_of(part.entry), number(part.score)) for suite, part in mean.parts.items()}
        found.append(
            MeanRow(
                name=mean.name,
                track=mean.track,
                track_name=TRACKS[mean.track],
                rank=NOTHING if mean.rank is None else str(mean.rank),
                group=NOTHING if mean.group is None else str(mean.group),
                opens="" if above is None else _opens((above.track, above.group), (mean.track, mean.group)),
                score=_mean_score(mean),
                accuracy=NOTHING if mean.accuracy is None else number(mean.accuracy),
                missing=mean.missing,
                cells=[known.get(suite, ("", NOTHING)) for suite in suites],
            )
        )
    return found


def _mean_score(mean: Mean) -> Number:
    if mean.score is None or mean.interval is None:
        return Number("incomplete")
    return Number(number(mean.score), interval(mean.interval))


def mean_columns(means: Sequence[Mean], suites: Sequence[str]) -> dict[str, Sequence[Any]]:
    """What each column of a benchmark's board is sorted by."""
    parts = {
        f"suite{n}": [round(m.parts[suite].score, 6) if suite in m.parts else None for m in means]
        for n, suite in enumerate(suites)
    }
    return {
        "rank": range(len(means)),
        "group": [mean.group for mean in means],
        "name": [mean.name for mean in means],
        "track": [[*TRACKS].index(mean.track) for mean in means],
        "score": [None if mean.score is None else round(mean.score, 6) for mean in means],
        "accuracy": [None if mean.accuracy is None else round(mean.accuracy, 6) for mean in means],
        **parts,
    }


def mean_filters(shown: Sequence[MeanRow]) -> dict[str, list[str]]:
    """What each filter of a benchmark's board looks at."""
    return {
        "text": [row.name for row in shown],
        "track": [row.track_name for row in shown],
        "complete": ["incomplete" if row.missing else "complete" for row in shown],
    }
