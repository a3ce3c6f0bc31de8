"""Leaderboards of entries that nobody submitted; `python -m tests.synthetic_board FOLDER --entries 1000` makes one and times its pages.

Results are real files of 1,024 tasks, each with predictions of its own; a few diagnoses serve all entries.
"""

import argparse
import hashlib
import json
import subprocess
import sys
import time
from functools import cache
from pathlib import Path

from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.leaderboard.entry import TRACKS, plain, sealed, validated
from gpicl_bench.leaderboard.reading import stamped, write_entry
from tests.browser import CHROMIUM, drive
from tests.synthetic import PASSED, SUITE, diagnosis, result, trained

LEARNER = b"def learner(context_x, context_y, query_x):\n    return [0]\n"
VERDICTS = {"general learning": (0.1, 0.8), "no learning": (0.1, 0.1), "undetermined": (0.1, 0.24)}
# Milliseconds that a reader waits for, and what is shown then.
MEASURED = """
const doc = shown.contentWindow.document;
const times = {};
const measure = async (name, act) => {
  const begin = performance.now();
  act();
  doc.body.offsetHeight;
  await painted();
  times[name] = performance.now() - begin;
};
const input = doc.querySelector("input[name=text]");
const search = (text) => { input.value = text; input.dispatchEvent(new shown.contentWindow.Event("input", { bubbles: true })); };
await measure("sort", () => doc.querySelector("th[data-column=score] button").click());
await measure("sort_text", () => doc.querySelector("th[data-column=name] button").click());
await measure("filter", () => search("n00"));
await measure("show", () => search(""));
times.shown = [...doc.querySelectorAll("tbody tr")].filter((row) => !row.hidden).length;
times.said = doc.querySelector(".count").textContent;
await measure("draw", () => doc.querySelector("input.draw:not(:checked)").click());
await measure("all", () => doc.querySelector("button.more").click());
times.rows = [...doc.querySelectorAll("tbody tr")].filter((row) => !row.hidden).length;
return times;
"""

KINDS = ("transformer", "vsml", "deltanet", "lstm", "maml", "ridge", "nearest", "sgd")


@cache
def diagnosed(verdict, folder):
    """A diagnosis file with this verdict, made once."""
    file = folder / f"{verdict.replace(' ', '_')}.json"
    if not file.exists():
        diagnosis(verdict, *VERDICTS[verdict]).save(file)
    return file.read_bytes(), json.loads(file.read_text())["summary"]["verdict"]


def write(
    folder,
    name,
    level=0.8,
    track="none",
    runs=1,
    suite=SUITE,
    seed=0,
    num_tasks=1024,
    verified=None,
    marks=None,
    spread=0.0,
    **fields,
):
    """An entry with its files; `claims` and other fields of the entry may be given. Returns its path."""
    place = folder / suite / name
    place.mkdir(parents=True, exist_ok=True)
    cards = [{"meta_training": "none"}] if track == "none" else [trained(seed + n) for n in range(runs)]
    levels = [level + spread * (n - (len(cards) - 1) / 2) for n in range(len(cards))]
    results = [
        result(name, at, suite, seed + n, PASSED, card, num_tasks=num_tasks)
        for n, (at, card) in enumerate(zip(levels, cards, strict=True))
    ]
    pool = folder.parent / "diagnoses"
    pool.mkdir(exist_ok=True)
    raw, verdict = diagnosed(
        "general learning" if level > 0.4 else "no learning" if level < 0.2 else "undetermined", pool
    )
    files = {"learner.py": LEARNER}
    for n, found in enumerate(results):
        found.save(place / f"result{n}.json")
        files[f"result{n}.json"] = (place / f"result{n}.json").read_bytes()
        files[f"diagnosis{n}.json"] = raw
    for file, content in files.items():
        (place / file).write_bytes(content)
    entry = sealed(about(name, suite, track, cards, results, files, verdict, fields))
    if verified is not None:
        entry = with_part(entry, "verified", {**checked(entry), **verified})
    if marks is not None:
        entry = with_part(entry, "marks", {"unreliable": None, "superseded_by": None, **marks})
    write_entry(entry, place.with_suffix(".yaml"))
    return place.with_suffix(".yaml")


def with_part(entry, name, fields):
    """The entry with `verified` or `marks`."""
    return validated({**plain(entry), name: stamped(entry, fields)})


def about(name, suite, track, cards, results, files, verdict, fields):
    """The fields of an entry."""
    score, last = Runs(name, tuple(results)), Runs(name, tuple(results), 99)
    claimed = {
        "num_tasks": results[0].setting.num_tasks,
        "score": score.mean,
        "score_interval": list(score.run_interval or score.task_interval),
        "over": "tasks" if score.run_interval is None else "runs",
        "last": 99,
        "accuracy": last.mean,
        "accuracy_interval": list(last.run_interval or last.task_interval),
        "audit": "passed",
        "diagnosis": verdict,
        "parameters": None if track == "none" else 10_000,
        "state_bytes": 4096,
        "meta_training_seconds": None if track == "none" else 1234.5,
        "meta_training_hardware": None if track == "none" else "one accelerator",
        "episode_seconds": 0.002,
    }
    own = {
        "format": "gpicl-bench-entry/1",
        "suite": suite,
        "name": name,
        "authors": ["A. Author"],
        "link": "https://example.org/paper",
        "licence": "MIT",
        "description": "A learner for tests.",
        "track": track,
        "learner": {"file": "learner.py", "args": {}},
        "runs": [
            {"args": {"seed": n}, "card": card, "result": f"result{n}.json", "diagnosis": f"diagnosis{n}.json"}
            for n, card in enumerate(cards)
        ],
        "search": {"selection": "none", "trials": 1, "note": ""},
        "hardware": "two cores",
        "command": f"python -m gpicl_bench.evaluate learner.py --suite {suite}",
        "files": {file: hashlib.sha256(content).hexdigest() for file, content in sorted(files.items())},
    }
    own.update({key: value for key, value in fields.items() if key != "claims"})
    return {**own, "claimed": {**claimed, **fields.get("claims", {})}}


def checked(entry):
    """A verification that found what was claimed."""
    found = {
        "verdict": "verified",
        "reason": "all predictions agree",
        "score": entry.claimed.score,
        "accuracy": entry.claimed.accuracy,
    }
    counts = {"rerun": 256, "compared": 25600, "differing": 0, "excused": 3, "tolerance": 1e-5, "seed": "ab" * 32}
    return {
        **found,
        **counts,
        "isolated": True,
        "fresh": entry.claimed.score,
        "drawn": True,
        "date": "2026-01-02",
        "version": "0.1",
        "machine": "two cores",
    }


def write_board(folder, entries, suite=SUITE, num_tasks=1024):
    """A board with every kind of entry, from good to chance."""
    for n in range(entries):
        kind, track = KINDS[n % len(KINDS)], [*TRACKS][(n // 3) % 4]
        extra = {}
        if n % 3:
            extra["verified"] = (
                {"isolated": n % 5 != 0}
                if n % 11
                else {
                    "verdict": "refuted",
                    "score": 0.1,
                    "accuracy": 0.1,
                    "differing": 900,
                    "reason": "900 of 25,600 predictions differ",
                }
            )
        if n % 17 == 16:
            extra["marks"] = (
                {"unreliable": "its training tasks were those of the test"}
                if n % 2
                else {"superseded_by": f"{KINDS[0]}-0000"}
            )
        write(
            folder,
            f"{kind}-{n:04}",
            0.97 - 0.9 * n / entries,
            track,
            3 if n % 2 else 1,
            suite,
            num_tasks=num_tasks,
            spread=0.002,
            authors=[f"Author {n % 37}", "Second Author"],
            claims={
                "audit": ["passed", "passed", "labels withheld", "not auditable", "failed"][n % 5],
                "state_bytes": None if n % 7 == 0 else 2 ** (6 + n * 5 % 23),
                "meta_training_seconds": None if track == "none" or n % 9 == 0 else float(10 * 1.01 ** (n * 37 % 997)),
            },
            **extra,
        )


def main():
    parser = argparse.ArgumentParser(description="Make a leaderboard, and time its pages.")
    parser.add_argument("folder", type=Path)
    parser.add_argument("--entries", type=int, default=1000)
    options = parser.parse_args()
    boards, site = options.folder / "leaderboards", options.folder / "site"
    if not boards.exists():
        write_board(boards, options.entries)
    begin = time.perf_counter()
    subprocess.run(
        [sys.executable, "-m", "gpicl_bench", "leaderboard", "build", "--folder", boards, "--output", site], check=True
    )
    seconds = time.perf_counter() - begin
    sizes = [page.stat().st_size for page in site.rglob("*.html")]
    board = (site / f"{SUITE}.html").stat().st_size
    about = {"entries": options.entries, "seconds": round(seconds, 1), "board_bytes": board}
    about |= {"pages": len(sizes), "bytes": sum(sizes)}
    if CHROMIUM:
        about["browser"], _, _ = drive(site, f"{SUITE}.html", MEASURED, options.folder / "profile")
    print(json.dumps(about))


if __name__ == "__main__":
    main()
