"""Entries of a leaderboard for tests: of few tasks, quickly made, and forged in every way."""

import shutil
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from gpicl_bench import diagnose, load_diagnosis, load_result
from gpicl_bench.evaluation.results import Setting
from gpicl_bench.leaderboard import submission as submission_module
from gpicl_bench.leaderboard.bundle import sha256_of
from gpicl_bench.leaderboard.claims import claims
from gpicl_bench.leaderboard.entry import plain, sealed
from gpicl_bench.leaderboard.reading import bundle, read_entry, write_entry
from gpicl_bench.leaderboard.submission import Submission, submit
from gpicl_bench.leaderboard.tracks import track

SUITE = "digits-proj-perm-v0"
NUM_TASKS = 48

CENTROID = '''
"""Nearest centroid, for all positions at once."""
import numpy as np
import gpicl_bench
import metric

@gpicl_bench.sequence_learner
def learner(x, y):
    hot = np.eye(10, dtype=np.float32)[y]
    sums = np.cumsum(hot[:, :, :, None] * x[:, :, None, :], axis=1)
    counts = np.cumsum(hot, axis=1)
    sums, counts = (np.concatenate([np.zeros_like(a[:, :1]), a[:, :-1]], axis=1) for a in (sums, counts))
    centres = sums / np.maximum(counts, 1)[..., None]
    return np.where(counts > 0, -metric.distance(x[:, :, None], centres), -1e6).astype(np.float32)

learner.card = {"meta_training": "none", "licence": "MIT"}
'''
METRIC = "import numpy as np\n\ndef distance(a, b):\n    return np.square(a - b).sum(axis=-1)\n"


def quick(patch, audit="quick"):
    """Of record are 48 tasks, a diagnosis asks two episodes a cell, and an audit is a quick one."""
    evaluate = submission_module.evaluate
    patch.setattr(
        "gpicl_bench.leaderboard.submission.evaluate", lambda *args, **rest: evaluate(*args, **{**rest, "audit": audit})
    )
    for module in ("evaluation.results", "leaderboard.submission"):
        patch.setattr(f"gpicl_bench.{module}.RECORD_TASKS", NUM_TASKS)
    patch.setattr("gpicl_bench.leaderboard.submission.diagnose", partial(diagnose, num_episodes=2))
    patch.setattr("gpicl_bench.diagnosing.running.other_suites", lambda suite: [])


def submission(root: Path, text: str = CENTROID, **fields) -> Submission:
    """Of a learner of this text, in a folder of its own."""
    root.mkdir(exist_ok=True)
    (root / "centroid.py").write_text(text)
    (root / "metric.py").write_text(METRIC)
    usual = {"file": root / "centroid.py", "suite": SUITE, "name": "centroid", "authors": ["A. Author"]}
    return Submission(**{**usual, "licence": "MIT", "root": root, "include": [root / "metric.py"], **fields})


def made(folder: Path, text: str = CENTROID, **fields) -> Path:
    """The path of an entry in `folder/leaderboards`."""
    return submit(submission(folder / "model", text, **fields), folder / "leaderboards")


def copied(path: Path, folder: Path) -> Path:
    """A copy of an entry, to be spoilt."""
    place = folder / "leaderboards" / path.parent.name
    place.mkdir(parents=True)
    shutil.copytree(bundle(path), place / path.stem)
    return Path(shutil.copy(path, place / path.name))


def sealed_again(path: Path, change) -> None:
    """A forger's edit: `change` the fields, then make every digest anew."""
    fields = plain(read_entry(path))
    change(fields)
    kept = {name: value for name, value in fields.items() if name not in ("digests", "digest", "verified", "marks")}
    write_entry(sealed(kept), path)


def forged(path: Path, change) -> None:
    """A consistent forger: `change` the arrays of the result, then everything that follows from them."""
    result = load_result(bundle(path) / read_entry(path).runs[0].result)
    prediction, outcome = change(result.prediction.copy(), result.outcome.copy())
    _replaced(path, replace(result, prediction=prediction, outcome=outcome))


def asked_otherwise(path: Path, change) -> None:
    """A consistent forger: what was asked is another question than it was."""
    result = load_result(bundle(path) / read_entry(path).runs[0].result)
    _replaced(path, replace(result, setting=replace(result.setting, **change)))


def _replaced(path: Path, fake) -> None:
    entry, folder = read_entry(path), bundle(path)
    fake.save(folder / entry.runs[0].result)

    def follow(fields):
        diagnosis = load_diagnosis(folder / entry.runs[0].diagnosis)
        fields["files"][entry.runs[0].result] = sha256_of(folder / entry.runs[0].result)
        with pytest.MonkeyPatch.context() as patch:  # a forger's own copy of the package asks no questions
            patch.setattr(Setting, "of_record", "record")
            fields["claimed"] = claims(entry.name, [fake], [diagnosis])
        fields["track"] = track(entry.suite, [fake.learner.card])

    sealed_again(path, follow)
