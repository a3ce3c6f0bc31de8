"""What the page of an entry says: everything that the entry does, and how it stands."""

import json
from typing import Any

from gpicl_bench.leaderboard.boards import SuiteBoard
from gpicl_bench.leaderboard.entry import TRACKS, Entry, Verified
from gpicl_bench.leaderboard.ranking import Place
from gpicl_bench.leaderboard.site import pictures, rows
from gpicl_bench.leaderboard.site.embedding import embedded
from gpicl_bench.leaderboard.site.frame import curves_frame
from gpicl_bench.leaderboard.site.quantity import count, duration, size
from gpicl_bench.reporting.rows import NOTHING, Number, interval, number
from gpicl_bench.reporting.style import style
from gpicl_bench.reporting.text import plain

_SHOWN = (0, 1, 2, 5, 10, 20, 50)  # k in the table of values, beside the last


def about(place: Place, board: SuiteBoard, row: rows.Row) -> dict[str, Any]:
    """The values of the template `entry.html`."""
    entry, evidence = place.contender.entry, place.contender.evidence
    frame, band = curves_frame(len(evidence.accuracy) - 1), evidence.band
    page = f"{entry.name}.html"
    shown = [k for k in _SHOWN if k < entry.claimed.last] + [entry.claimed.last]
    data = {"columns": {"name": [entry.name]}, "links": [page], **pictures.data([evidence], styles=1)}
    return {
        "entry": entry,
        "row": row,
        "tasks": count(entry.claimed.num_tasks),
        "warnings": _warnings(entry),
        "standing": _standing(place, board),
        "numbers": _numbers(entry),
        "verified": _verified(entry.verified),
        "frame": frame,
        "drawn": [pictures.line(place, page, style(0))],
        "band": frame.area(band),
        "chance": pictures.chance(evidence),
        "values": [(k, Number(number(evidence.accuracy[k]), interval(band[k]))) for k in shown],
        "reasons": [(plain(verdict), plain(reason)) for verdict, reason in evidence.reasons],
        "facts": _facts(entry),
        "learner_args": _json(entry.learner.args),
        "runs": [
            {"args": _json(r.args), "card": _json(r.card), "result": r.result, "diagnosis": r.diagnosis}
            for r in entry.runs
        ],
        "files": sorted(entry.files.items()),
        "verify": f"python -m gpicl_bench verify leaderboards/{entry.suite}/{entry.name}.yaml",
        "citation": f"gpicl_bench leaderboard, {entry.suite}/{entry.name}, digest {entry.digest}",
        "data": embedded(data),
    }


def _warnings(entry: Entry) -> list[tuple[str, str]]:
    """What a reader must know first."""
    found = []
    if entry.verified is not None and entry.verified.verdict == "refuted":
        found.append(("Refuted by a verification:", _lines(entry.verified.reason)))
    if entry.marks is not None and entry.marks.unreliable is not None:
        found.append(("Marked unreliable by the organisers:", _lines(entry.marks.unreliable)))
    if entry.marks is not None and entry.marks.superseded_by:
        found.append((f"Superseded by {entry.marks.superseded_by}.", ""))
    if entry.claimed.audit == "failed":
        found.append(("Its audit failed.", ""))
    return found


def _standing(place: Place, board: SuiteBoard) -> str:
    entry = place.contender.entry
    track = TRACKS[entry.track]
    if place.rank is None:
        return f"Track: {track}. Without a rank: {place.contender.apart}."
    ranked = [p for p in board.places if p.rank is not None and p.contender.entry.track == entry.track]
    return f"Rank {place.rank} of {len(ranked)} in the track “{track}”, tie group {place.group}; {rows.runs(entry)}."


def _numbers(entry: Entry) -> list[tuple[str, Number, str]]:
    """Name, claimed, verified."""
    claimed, found = entry.claimed, entry.verified
    score, accuracy = (None, None) if found is None else (found.score, found.accuracy)
    pairs = [
        ("Score", claimed.score, claimed.score_interval, score),
        (f"Accuracy@{claimed.last}", claimed.accuracy, claimed.accuracy_interval, accuracy),
    ]
    return [
        (name, Number(number(value), interval(bounds)), NOTHING if again is None else number(again))
        for name, value, bounds, again in pairs
    ]


def _verified(found: Verified | None) -> list[tuple[str, str]]:
    if found is None:
        return []
    return [
        ("Reason", _lines(found.reason) or NOTHING),
        ("Tasks asked again", count(found.rerun)),
        ("Predictions compared", count(found.compared)),
        ("Differing by more than a tie", count(found.differing)),
        ("Differing within a tie", f"{count(found.excused)}; a tie is a relative difference up to {found.tolerance:g}"),
        ("Score on fresh tasks", NOTHING if found.fresh is None else number(found.fresh)),
        ("Seed of the choice of tasks", f"{found.seed}, {'drawn then' if found.drawn else 'given'}"),
        ("Isolated", "yes: without a network" if found.isolated else "no: not isolated"),
        ("Date", found.date),
        ("Version", plain(found.version)),
        ("Machine", plain(found.machine)),
    ]


def _facts(entry: Entry) -> list[tuple[str, str]]:
    claimed, trials = entry.claimed, entry.search.trials
    return [
        ("Authors", plain(", ".join(entry.authors))),
        ("Description", _lines(entry.description)),
        ("Track", TRACKS[entry.track]),
        ("Licence", plain(entry.licence)),
        ("Selection", f"{entry.search.selection}; settings tried: {'unknown' if trials is None else count(trials)}"),
        ("Notes on the selection", _lines(entry.search.note) or NOTHING),
        ("Parameters", count(claimed.parameters)),
        ("State", size(claimed.state_bytes)),
        ("Meta-training", f"{duration(claimed.meta_training_seconds)}, mean over runs"),
        ("Meta-trained on", plain(claimed.meta_training_hardware or NOTHING)),
        ("An episode takes", duration(claimed.episode_seconds)),
        ("Evaluated on", plain(entry.hardware)),
        ("Command", _lines(entry.command)),
        ("Tasks", count(claimed.num_tasks)),
    ]


def _lines(text: str) -> str:
    """Text of several lines, each as people may see it."""
    return "\n".join(plain(line) for line in text.strip().split("\n"))


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, indent=1, sort_keys=True)
