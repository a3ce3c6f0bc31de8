"""What an entry claims: every number follows from its results and diagnoses."""

from collections import Counter
from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import numpy as np

from gpicl_bench.diagnosing import Diagnosis
from gpicl_bench.errors import EntryError, ResultError
from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.evaluation.results import Result
from gpicl_bench.leaderboard.entry import Audited, Entry, Run
from gpicl_bench.learners.card import check_card
from gpicl_bench.registration import make
from gpicl_bench.suite import Split

SOUND: tuple[Audited, ...] = ("passed", "labels withheld")  # without one of these an entry has no rank
_WEAKEST: tuple[Audited, ...] = ("failed", "not auditable", "not audited", "labels withheld", "passed")


def claims(name: str, results: Sequence[Result], diagnoses: Sequence[Diagnosis]) -> dict[str, Any]:
    """The fields of `Claimed`, of one result and one diagnosis for each run.

    Raises:
        EntryError: a result is not of record, or results, diagnoses and cards contradict each other.
        ResultError: two runs are no two runs.
    """
    for result, diagnosis in zip(results, diagnoses, strict=True):
        _check(result, diagnosis)
    runs = Runs(name, tuple(results))
    last = Runs(name, tuple(results), results[0].setting.num_examples - 1)
    trainings = [result.learner.card.get("meta_training") for result in results]
    return {
        "num_tasks": results[0].setting.num_tasks,
        "score": runs.mean,
        "score_interval": runs.run_interval or runs.task_interval,
        "over": "tasks" if runs.run_interval is None else "runs",
        "last": results[0].setting.num_examples - 1,
        "accuracy": last.mean,
        "accuracy_interval": last.run_interval or last.task_interval,
        "audit": min(map(_audited, results), key=_WEAKEST.index),
        "diagnosis": _counted([diagnosis.verdict for diagnosis in diagnoses]),
        "parameters": _largest([diagnosis.ledger.parameters for diagnosis in diagnoses]),
        "state_bytes": _largest([diagnosis.ledger.state_bytes for diagnosis in diagnoses]),
        "meta_training_seconds": _seconds(trainings),
        "meta_training_hardware": _hardware(trainings),
        "episode_seconds": sum(d.ledger.episode_seconds for d in diagnoses) / len(diagnoses),
    }


def check_setting(result: Result, split: Split) -> None:
    """Raise EntryError unless a result is of this split, whole: what was asked decides what a prediction is worth."""
    setting, info = result.setting, split.info
    wanted = {
        "suite": (split.spec.id, setting.suite),
        "tasks": (split.task_set, setting.task_set),
        "images": (split.images, setting.images),
        "fingerprint": (split.fingerprint, setting.fingerprint),
        "number of examples": (info.T, setting.num_examples),
        "number of classes": (info.C, setting.num_classes),
        "choice of positions": (tuple(range(info.T)), setting.positions),
        "learner seed": (0, setting.learner_seed),
    }
    for name, (ours, theirs) in wanted.items():
        if ours != theirs:
            raise EntryError(f"a result has another {name}", expected=str(ours), got=theirs, where=result.learner.name)


def check_learner(result: Result, entry: Entry, run: Run) -> None:
    """Raise ResultError unless a result is of the learner of this run, LearnerError unless its card is one."""
    check_card(SimpleNamespace(card=dict(result.learner.card)), make(entry.suite).info, result.learner.name)
    wanted: dict[str, tuple[Any, Any]] = {
        "learner's file": (entry.files[entry.learner.file], result.learner.source_sha256),
        "arguments": ({**entry.learner.args, **run.args}, dict(result.learner.args)),
        "card": (run.card, dict(result.learner.card)),
    }
    for name, (ours, theirs) in wanted.items():
        if ours != theirs:
            raise ResultError(f"a result is of another {name}", expected=str(ours), got=theirs)


def check_outcomes(result: Result, split: Split) -> None:
    """Raise EntryError unless every outcome follows from its prediction and a label that is made anew."""
    y = np.stack([split.labels(i) for i in range(result.setting.num_tasks)])
    wrong = np.argwhere((result.prediction == y) != result.outcome)
    if len(wrong):
        i, k = wrong[0].tolist()
        raise EntryError("an outcome contradicts the label", got=f"task {i}, k = {k}, and {len(wrong) - 1} more")


def _check(result: Result, diagnosis: Diagnosis) -> None:
    """A result of record, and a diagnosis of the same learner on the same suite."""
    if result.setting.of_record != "record":
        raise EntryError(
            "the result is not of record",
            expected="4,096 tasks of meta_test of a built-in suite, at every position",
            got=f"{result.setting.num_tasks:,} tasks of {result.setting.task_set}, {result.setting.suite}",
        )
    if diagnosis.question.suite != result.setting.suite:
        wanted, got = result.setting.suite, diagnosis.question.suite
        raise EntryError("the diagnosis is of another suite", expected=wanted, got=got)
    if diagnosis.learner != result.learner:
        raise EntryError(
            "result and diagnosis are of two learners", expected=repr(result.learner), got=repr(diagnosis.learner)
        )


def _audited(result: Result) -> Audited:
    if result.audit is not None:
        return result.audit.status
    return "labels withheld" if result.learner.withholds_labels else "not audited"


def _counted(verdicts: Sequence[str]) -> str:
    """One verdict, or each with the number of its runs."""
    counts = sorted(Counter(verdicts).items(), key=lambda pair: (-pair[1], pair[0]))
    return verdicts[0] if len(counts) == 1 else ", ".join(f"{verdict} ({runs} runs)" for verdict, runs in counts)


def _largest(values: Sequence[int | None]) -> int | None:
    """Of all runs; unknown if it is of any."""
    known = [value for value in values if value is not None]
    return max(known) if len(known) == len(values) else None


def _seconds(trainings: Sequence[Any]) -> float | None:
    """Of meta-training, the mean over runs: 0 without any, None where a card does not say."""
    each = [0.0 if t == "none" else t.get("seconds") if isinstance(t, Mapping) else None for t in trainings]
    known = [float(seconds) for seconds in each if seconds is not None]
    return sum(known) / len(known) if len(known) == len(each) else None


def _hardware(trainings: Sequence[Any]) -> str | None:
    named = dict.fromkeys(t["hardware"] for t in trainings if isinstance(t, Mapping) and "hardware" in t)
    return ", ".join(named)[:200] or None
