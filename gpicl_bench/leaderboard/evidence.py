"""What a board needs of an entry's result and diagnosis files: checked by their SHA-256, and nothing resampled.

Intervals are those that the entry claims; `verify` recomputes them. The score and the last accuracy follow from the
predictions in a moment, so an entry that claims others is refused here too.
"""

import hashlib
import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float64, Int64

from gpicl_bench.datasets import dataset
from gpicl_bench.errors import EntryError, ResultError
from gpicl_bench.evaluation.metrics import areas
from gpicl_bench.evaluation.packing import LAYOUTS, unpack_array
from gpicl_bench.evaluation.statistics import LEVEL, wilson
from gpicl_bench.leaderboard.entry import Entry
from gpicl_bench.registration import registry

_TOLERANCE = 1e-6  # of a claimed number: sums on another machine are rounded in another way


@dataclass(frozen=True, eq=False)
class Evidence:
    """The numbers of an entry, a row for each meta-training run.

    Attributes:
        num_classes: C.
        right: how many tasks each run was right on after k = 0 … T-1 labelled examples.
        scores: of each run on each task, 0 … num_tasks-1.
        reasons: the verdict of each run's diagnosis, and its reason.
    """

    num_classes: int
    right: Int64[np.ndarray, "run position"]
    scores: Float64[np.ndarray, "run task"]
    reasons: tuple[tuple[str, str], ...]

    @property
    def score(self) -> float:
        return float(self.scores.mean())

    @property
    def num_tasks(self) -> int:
        return self.scores.shape[1]

    @property
    def accuracy(self) -> Float64[np.ndarray, " position"]:
        """accuracy@k: the mean over tasks and runs."""
        return self.right.mean(axis=0) / self.num_tasks

    @property
    def band(self) -> Float64[np.ndarray, "position 2"]:
        """95% intervals of accuracy@k: Student's over runs from three on, else Wilson's over tasks.

        Wilson's of the mean of two runs counts each task once, not twice: it is rather too wide.
        """
        if len(self.right) < 3:
            return wilson(np.rint(self.right.mean(axis=0)).astype(np.int64), self.num_tasks)
        from scipy.stats import t

        runs = len(self.right)
        reach = float(t.ppf((1 + LEVEL) / 2, runs - 1)) * self.right.std(axis=0, ddof=1) / self.num_tasks
        middle, reach = self.accuracy, reach / math.sqrt(runs)
        return np.clip(np.stack([middle - reach, middle + reach], axis=1), 0, 1)


def read_evidence(entry: Entry, folder: Path) -> Evidence:
    """The evidence of an entry whose files lie in `folder`.

    Raises:
        EntryError: a file is missing, is not the one that the entry lists, or does not support what the entry claims;
            the error names entry and file.
    """
    results = [_result(entry, folder, run.result) for run in entry.runs]
    found = Evidence(
        num_classes=results[0][0],
        right=np.stack([right for _, right, _ in results]),
        scores=np.stack([scores for _, _, scores in results]),
        reasons=tuple(_reason(entry, folder, run.diagnosis) for run in entry.runs),
    )
    for name, claimed, value in (
        ("score", entry.claimed.score, found.score),
        ("accuracy", entry.claimed.accuracy, float(found.accuracy[-1])),
        ("last", entry.claimed.last, len(found.accuracy) - 1),
    ):
        if not math.isclose(claimed, value, rel_tol=_TOLERANCE, abs_tol=_TOLERANCE):
            raise _refused(entry, f"the claimed {name} does not follow from the results", str(value), claimed)
    return found


def _result(entry: Entry, folder: Path, place: str) -> tuple[int, np.ndarray, np.ndarray]:
    """C, how often it was right at each position, and the score of each task."""
    content = _content(entry, folder, place)
    try:
        setting = content["setting"]
        _check_setting(entry, place, setting)
        shape = int(setting["num_tasks"]), int(setting["num_examples"])
        outcome = unpack_array("outcome", content["arrays"]["outcome"], LAYOUTS["outcome"], shape)
        num_classes = int(setting["num_classes"])
        return num_classes, outcome.sum(axis=0), areas(outcome[:, 1:], num_classes)
    except (KeyError, TypeError, ValueError, ResultError) as error:
        raise _refused(entry, "this is no result file", "a file of evaluate --output", error, place) from error


def _check_setting(entry: Entry, place: str, setting: Any) -> None:
    """The public tasks of this suite, at every position: else it cannot stand beside the others."""
    known = registry[entry.suite]
    wanted = {
        "suite": entry.suite,
        "task_set": "meta_test",
        "images": "test",
        "fingerprint": known.fingerprints.get("meta_test"),
        "num_tasks": entry.claimed.num_tasks,
        "num_examples": known.num_examples,
        "num_classes": dataset(known.dataset).num_classes,
        "learner_seed": 0,
        "positions": [*range(known.num_examples)],
    }
    for name, value in wanted.items():
        if setting[name] != value:
            raise _refused(entry, f"a result is of another {name}", str(value), setting[name], place)


def _reason(entry: Entry, folder: Path, place: str) -> tuple[str, str]:
    content = _content(entry, folder, place)
    try:
        return str(content["summary"]["verdict"]), str(content["summary"]["reason"])
    except (KeyError, TypeError) as error:
        raise _refused(entry, "this is no diagnosis file", "a file of diagnose --output", error, place) from error


def _content(entry: Entry, folder: Path, place: str) -> Any:
    """The JSON of one of the entry's files, after its SHA-256 was found to be the listed one."""
    try:
        raw = (folder / place).read_bytes()
    except OSError as error:
        raise _refused(entry, "a file of the entry cannot be read", None, error.strerror, place) from error
    found = hashlib.sha256(raw).hexdigest()
    if found != entry.files[place]:
        raise _refused(entry, "a file of the entry was altered", f"SHA-256 {entry.files[place]}", found, place)
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise _refused(entry, "a file of the entry is no JSON", None, error, place) from error


def _refused(entry: Entry, what: str, expected: str | None, got: object, place: str | None = None) -> EntryError:
    where = f"entry {entry.suite}/{entry.name}" + (f", file {place}" if place else "")
    return EntryError(what, expected=expected, got=got, where=where)
