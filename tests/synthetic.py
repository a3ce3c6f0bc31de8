"""Results and diagnoses that nobody measured, for pages and pictures; `python -m tests.synthetic [FOLDER]` times a large page.

It writes a result for each of 20 learners on 6 suites (1,024 tasks, 100 positions) into the folder, and makes the page
of them.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np

from gpicl_bench import Audit, Check, Provenance, Result, registry
from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.diagnosing import Diagnosis
from gpicl_bench.diagnosing.asking import positions
from gpicl_bench.diagnosing.cell import Cell
from gpicl_bench.diagnosing.diagnosis import Question, Symmetry
from gpicl_bench.diagnosing.ledger import Ledger
from gpicl_bench.diagnosing.phase import FEWEST, RULE
from gpicl_bench.diagnosing.symmetries import NUM_TASKS, asked_positions
from gpicl_bench.evaluation.results import LearnerRecord, Setting, Times
from gpicl_bench.suite import PROTOCOL

SUITE = "digits-proj-perm-v0"
PROVENANCE = Provenance({"numpy": "2"}, "a platform", "a device", None)
TIMES = Times("2026-01-01T00:00:00+00:00", 1.0, 2.0, 0.0, 3.0)
PASSED = Audit("quick", 2, "0", (Check("future", "passed", 1234, "bits", ""),))


def record(name, card=None, args=None):
    return LearnerRecord(name, "callable", True, None, args or {}, {"meta_training": "none"} if card is None else card)


def setting(suite=SUITE, num_tasks=64, num_examples=100, asked=None, **other):
    known = registry.get(suite)
    pinned = known.fingerprints.get("meta_test") if known else None
    asked = tuple(range(num_examples)) if asked is None else tuple(asked)
    values = {"task_set": "meta_test", "images": "test", "fingerprint": pinned or "0" * 64, "learner_seed": 0}
    return Setting(
        suite=suite, num_examples=num_examples, num_classes=10, num_tasks=num_tasks, positions=asked, protocol=PROTOCOL, **{**values, **other}
    )  # fmt: skip


def result(name="a", level=0.8, suite=SUITE, seed=0, audit=None, card=None, args=None, **asked):
    """A learner that is right more and more often, up to `level`."""
    about = setting(suite, **asked)
    rng = np.random.default_rng([*f"{ascii(name)} {suite}".encode(), seed])
    chances = 0.1 + (level - 0.1) * (1 - np.exp(-np.array(about.positions) / 15))
    shape = about.num_tasks, len(about.positions)
    outcome = rng.random(shape) < np.clip(chances + rng.normal(0, 0.05, (shape[0], 1)), 0, 1)
    prediction = rng.integers(0, 10, shape).astype(np.int16)
    return Result(about, record(name, card, args), PROVENANCE, TIMES, audit, prediction, outcome, None)


def trained(seed, **other):
    """The card of a run."""
    return {"meta_training": {"suite": SUITE, "num_tasks": 1024, "seed": seed, "steps": 9}, **other}


def cell(tasks, images, suite, early, late, rng):
    """One kind of task and of images, with these accuracies at the early and at the late positions."""
    asked, count = positions(100)
    shape = FEWEST, len(asked)
    return Cell(
        tasks=tasks,
        images=images,
        suite=suite,
        task_set="diagnosis",
        num_tasks=FEWEST,
        positions=tuple(asked.tolist()),
        early=count,
        outcome=rng.random(shape) < np.where(np.arange(len(asked)) < count, early, late),
        expected=np.full(shape, 0.1, np.float32),
        attainable=np.full(shape, 0.9, np.float32),
    )


def diagnosis(name="a", early=0.1, late=0.8, suite=SUITE, seen="none", card=None, unmeasured=None):
    """Cells of unseen tasks and of the yardstick (and of seen tasks, if they are known), and symmetries that nearly hold."""
    rng = np.random.default_rng([*ascii(name).encode()])
    kinds = [("unseen", "test"), *([("seen", "train"), ("seen", "test")] if seen == "known" else [])]
    cells = [cell(tasks, images, suite, early, late, rng) for tasks, images in kinds]
    cells.insert(1, cell("yardstick", "test", suite, 0.2, 0.9, rng))
    found = tuple(Symmetry(n, k, rng.random((NUM_TASKS, len(k))) < 0.97) for n, k in asked_positions(100).items())
    ledger = Ledger(None, "no step form: it is given the whole context", 1234, 1.5, 0.002, 64, "a device")
    question = Question(suite, 100, 10, FEWEST, 0, 0, PROTOCOL, RULE)
    why = unmeasured or {}
    return Diagnosis(question, record(name, card), PROVENANCE, seen, why, tuple(cells), found, ledger)


def write_many(folder, learners=20, suites=6, num_tasks=1024):
    """The files of a large page."""
    files = []
    for s, suite in enumerate(BENCHMARKS["gpicl-28-v0"][:suites]):
        for n in range(learners):
            files.append(folder / f"{n}-{suite}.json")
            level = 0.95 - 0.04 * n - 0.02 * s
            result(f"learner {n}", level, suite, audit=PASSED, num_tasks=num_tasks).save(files[-1])
    return files


def time_page(folder):
    """Files and page into this folder; how long the page takes, and how large it is."""
    files, page = write_many(folder), folder / "page.html"
    begin = time.perf_counter()
    subprocess.run([sys.executable, "-m", "gpicl_bench", "report", *files, "--output", page], check=True)
    seconds = round(time.perf_counter() - begin, 1)
    return {"learners": 20, "suites": 6, "tasks": 1024, "seconds": seconds, "bytes": page.stat().st_size}


def main(arguments):
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(*arguments or [scratch])
        folder.mkdir(parents=True, exist_ok=True)
        print(json.dumps(time_page(folder)))


if __name__ == "__main__":
    main(sys.argv[1:])
