"""Diagnoses as JSON files: readable fields, packed arrays, and a digest over everything but the times."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np

from gpicl_bench.datasets import DATASETS
from gpicl_bench.diagnosing.asking import positions
from gpicl_bench.diagnosing.cell import Cell, Estimate, Tasks
from gpicl_bench.diagnosing.diagnosis import Diagnosis, Question, Symmetry
from gpicl_bench.diagnosing.ledger import Ledger
from gpicl_bench.diagnosing.phase import RULE, Seen
from gpicl_bench.diagnosing.symmetries import NUM_TASKS, asked_positions
from gpicl_bench.errors import MalformedId, ResultError
from gpicl_bench.evaluation.packing import pack_array, unpack_array
from gpicl_bench.evaluation.results import LearnerRecord, Provenance
from gpicl_bench.evaluation.storage import check_format, close, json_sha256, plain, read_json, validated, write_text
from gpicl_bench.registration import SuiteSpec, registry
from gpicl_bench.suite import PROTOCOL

FORMAT = "gpicl-bench-diagnosis/1"
_LEAST = 1e-6  # mean attainable excess: no base dataset has so many images of one class that there is less
_ROUNDING = 1e-6  # of float32
_TIMES = ("first_seconds", "episode_seconds")
_ARRAYS = ("outcome", "expected", "attainable")
_LAYOUTS = {"outcome": "|b1", "expected": "<f4", "attainable": "<f4", "agree": "|b1"}


@dataclass(frozen=True)
class _CellFields:
    """A cell as a file has it: its arrays packed."""

    __pydantic_config__ = {"extra": "forbid"}

    tasks: Tasks
    images: Literal["train", "test"]
    suite: str
    task_set: str
    num_tasks: int
    positions: tuple[int, ...]
    early: int
    outcome: str
    expected: str
    attainable: str


@dataclass(frozen=True)
class _SymmetryFields:
    __pydantic_config__ = {"extra": "forbid"}

    name: str
    positions: tuple[int, ...]
    agree: str


_PARTS: dict[str, Any] = {
    "question": Question,
    "learner": LearnerRecord,
    "provenance": Provenance,
    "seen": Seen,
    "unmeasured": dict[str, str],
    "cells": list[_CellFields],
    "symmetries": list[_SymmetryFields],
    "ledger": dict[str, Any],
    "times": dict[str, float],
}


def summary(diagnosis: Diagnosis) -> dict[str, Any]:
    """The derived numbers that a file shows; they are recomputed when it is read."""
    return {
        "verdict": diagnosis.verdict,
        "reason": diagnosis.phase.reason,
        "improvement": {f"{c.suite}, {c.name}": _finite(c.improvement) for c in diagnosis.cells},
        "knowledge": {f"{c.suite}, {c.name}": _finite(c.knowledge) for c in diagnosis.cells},
        "symmetries": {symmetry.name: _finite(symmetry.share) for symmetry in diagnosis.symmetries},
    }


def save_diagnosis(diagnosis: Diagnosis, path: Path) -> None:
    """Write a diagnosis to `path`, whole or not at all.

    Raises:
        ResultError: the file cannot be written.
    """
    write_text(path, json.dumps(_content(diagnosis), indent=1, sort_keys=True) + "\n")


def load_diagnosis(path: str | Path) -> Diagnosis:
    """Read a diagnosis file and check it: schema, digest, and that its numbers follow from its answers.

    Raises:
        ResultError: the file is missing, truncated, edited or inconsistent; the error says which.
    """
    return read_json(path, "diagnosis", _read)


def _content(diagnosis: Diagnosis) -> dict[str, Any]:
    ledger = asdict(diagnosis.ledger)
    times = {name: ledger.pop(name) for name in _TIMES}
    content: dict[str, Any] = {
        "format": FORMAT,
        "question": plain(diagnosis.question),
        "learner": plain(diagnosis.learner),
        "provenance": plain(diagnosis.provenance),
        "seen": diagnosis.seen,
        "unmeasured": dict(diagnosis.unmeasured),
        "cells": [_packed(cell) for cell in diagnosis.cells],
        "symmetries": [_packed(symmetry) for symmetry in diagnosis.symmetries],
        "ledger": ledger,
        "summary": summary(diagnosis),
    }
    content = json.loads(json.dumps(content))
    return {**content, "digest": _digest(content), "times": times}


def _packed(part: Cell | Symmetry) -> dict[str, Any]:
    values = {name: getattr(part, name) for name in part.__dataclass_fields__}
    return {name: pack_array(v, _LAYOUTS[name]) if name in _LAYOUTS else v for name, v in values.items()}


def _digest(content: Mapping[str, Any]) -> str:
    return json_sha256({name: value for name, value in content.items() if name not in ("digest", "times")})


def _read(content: Any) -> Diagnosis:
    check_format(content, FORMAT, {"format", *_PARTS, "summary", "digest"})
    if _digest(content) != content["digest"]:
        raise ResultError("the file was altered after it was written", expected=f"digest {content['digest']}")
    parts = {name: validated(kind, content[name], name) for name, kind in _PARTS.items()}
    question: Question = parts["question"]
    if (question.protocol, question.rule) != (PROTOCOL, RULE):
        raise ResultError("the diagnosis is of another version", expected=f"protocol {PROTOCOL}, {RULE}")
    _check_ranges(question, parts)
    _check_suites(question, parts["cells"])
    diagnosis = Diagnosis(
        question,
        parts["learner"],
        parts["provenance"],
        parts["seen"],
        parts["unmeasured"],
        tuple(_cell(fields, question) for fields in parts["cells"]),
        tuple(_symmetry(fields, question) for fields in parts["symmetries"]),
        _ledger({**parts["ledger"], **parts["times"]}),
    )
    _check_cells(diagnosis)
    if not close(content["summary"], json.loads(json.dumps(summary(diagnosis)))):
        raise ResultError("the summary does not follow from the answers", expected=diagnosis.verdict)
    return diagnosis


def _check_ranges(question: Question, parts: Mapping[str, Any]) -> None:
    """Before any array is made: sizes, and that the seen side is as the card has it."""
    ranges = {
        "num_examples": (2, 2**20),
        "num_classes": (2, 2**15 - 1),
        "num_episodes": (2, 2**24),
        "seed": (0, 2**64 - 1),
        "learner_seed": (0, 2**64 - 1),
    }
    for name, (least, most) in ranges.items():
        if not least <= getattr(question, name) <= most:
            raise ResultError(f"{name} is out of range", expected=f"{least} … {most}", got=getattr(question, name))
    if not all(0 <= seconds < math.inf for seconds in parts["times"].values()):
        raise ResultError("a time is no number of seconds", expected="0 or more", got=str(parts["times"]))
    training = parts["learner"].card.get("meta_training")
    if (parts["seen"] == "none") != (training == "none") or (
        parts["seen"] == "known" and not isinstance(training, dict)
    ):
        raise ResultError("the seen side contradicts the card", expected=str(training), got=parts["seen"])
    wanted = asked_positions(question.num_examples)
    found = [(symmetry.name, symmetry.positions) for symmetry in parts["symmetries"]]
    if found != [*wanted.items()]:
        raise ResultError("the symmetries are others, or asked elsewhere", expected=str(wanted), got=found)


def _check_suites(question: Question, cells: Sequence[_CellFields]) -> None:
    """Ids that are some, and the classes of the suite, where it is known here."""
    try:
        for id in (question.suite, *(cell.suite for cell in cells)):
            SuiteSpec(id)
    except MalformedId as error:
        raise ResultError("the diagnosis is of no suite", expected=error.expected, got=error.got) from error
    known = DATASETS.get(registry[question.suite].dataset) if question.suite in registry else None
    if known is not None and known.num_classes != question.num_classes:
        expected = f"{known.num_classes}, as of {question.suite}"
        raise ResultError("num_classes contradicts the suite", expected=expected, got=question.num_classes)


def _ledger(values: Mapping[str, Any]) -> Ledger:
    ledger: Ledger = validated(Ledger, values, "ledger")
    for name, least in (("state_bytes", 0), ("parameters", 0), ("episodes_a_call", 1)):
        value = getattr(ledger, name)
        if value is not None and value < least:
            raise ResultError(f"{name} is out of range", expected=f"{least} or more", got=value, where="ledger")
    return ledger


def _cell(fields: _CellFields, question: Question) -> Cell:
    asked, early = positions(question.num_examples)
    if (fields.positions, fields.early) != (tuple(asked.tolist()), early):
        raise ResultError("a cell has other positions", expected=f"positions {asked.tolist()}, {early} early")
    shape = question.num_episodes, len(asked)
    arrays = {n: unpack_array(n, getattr(fields, n), _LAYOUTS[n], shape) for n in _ARRAYS}
    if not all(((arrays[n] >= 0) & (arrays[n] <= 1)).all() for n in ("expected", "attainable")):
        raise ResultError("an expected accuracy is no probability", expected="0 … 1")
    if not 1 <= fields.num_tasks <= question.num_episodes:
        expected = f"1 … {question.num_episodes}, the episodes"
        raise ResultError("num_tasks of a cell is out of range", expected=expected, got=fields.num_tasks)
    if arrays["attainable"].mean(dtype=np.float64) < _LEAST:
        raise ResultError("a cell leaves nothing to attain", expected=f"a mean of {_LEAST} or more")
    sums = arrays["expected"] + arrays["attainable"]  # of a right prediction, the label's own probability and its rest
    if (np.abs(sums - 1)[arrays["outcome"]] > _ROUNDING).any():
        raise ResultError("what is attainable contradicts what is expected", expected="1 less it, for the label")
    return Cell(**{**vars(fields), **arrays})


def _symmetry(fields: _SymmetryFields, question: Question) -> Symmetry:
    shape = NUM_TASKS, len(fields.positions)
    agree = unpack_array("agree", fields.agree, _LAYOUTS["agree"], shape)
    return Symmetry(fields.name, fields.positions, agree)


def _check_cells(diagnosis: Diagnosis) -> None:
    """The cells are those that a diagnosis asks, in its order, each once and of the suite that it is about."""
    suite, training = diagnosis.question.suite, diagnosis.learner.card.get("meta_training")
    found = [(cell.tasks, cell.images, cell.suite) for cell in diagnosis.cells]
    others = dict.fromkeys(id for tasks, _, id in found if tasks == "other" and id != suite)
    known = training.get("suite") if diagnosis.seen == "known" and isinstance(training, Mapping) else None
    optional = ("unseen", "train", suite)
    wanted = [
        ("unseen", "test", suite),
        ("yardstick", "test", suite),
        *([optional] if optional in found else []),
        *([("seen", "train", known), ("seen", "test", known)] if diagnosis.seen == "known" else []),
        *[("other", "test", id) for id in others],
    ]
    if found != wanted:
        raise ResultError("these are not the cells of a diagnosis", expected=f"{wanted}", got=f"{found}")


def _finite(estimate: Estimate) -> list[float | None]:
    """An interval that cannot be given is null in JSON."""
    return [None if value != value else value for value in estimate]
