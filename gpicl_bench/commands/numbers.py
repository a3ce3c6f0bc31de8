"""Results for programs."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from gpicl_bench.evaluation import Result
from gpicl_bench.evaluation.storage import digest, summary


def numbers(result: Result, path: Path | None) -> dict[str, Any]:
    """The numbers of a result; the file at `path` has the predictions too."""
    return {
        "learner": result.learner.name,
        "setting": asdict(result.setting),
        **summary(result),
        "accuracy": result.accuracy,
        "accuracy_interval": result.accuracy_interval,
        "log_loss": result.mean_log_loss,
        "evidence": result.evidence,
        "digest": digest(result),
        "times": asdict(result.times),
        "output": None if path is None else str(path),
    }


def mean_score(results: Sequence[Result]) -> float | None:
    """A benchmark's score, the mean over all its suites; None unless every position was asked."""
    scores = [result.score for result in results if result.score is not None]
    return sum(scores) / len(scores) if len(scores) == len(results) else None
