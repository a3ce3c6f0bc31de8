"""A result: what a learner predicted on the tasks of one split, and every number derived from it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16

from gpicl_bench.auditing.report import Audit
from gpicl_bench.errors import ResultError
from gpicl_bench.evaluation import metrics
from gpicl_bench.evaluation.statistics import bootstrap, wilson
from gpicl_bench.registration import registry

RECORD_TASKS = 4096  # of the evaluation of record (protocol, section 7)
QUICK_TASKS = 1024
_NO_OTHER_FIELDS = {"extra": "forbid"}  # for pydantic, when a file is read


@dataclass(frozen=True)
class Setting:
    """What was asked: tasks 0 … num_tasks-1 of a split, episode 0, one query at each position.

    Attributes:
        suite, task_set, images, fingerprint: the split.
        num_examples, num_classes: T and C.
        num_tasks: how many tasks.
        positions: k, the number of labelled examples before each query.
        learner_seed: of the keys that a stochastic learner gets.
        protocol: the version of the task protocol.
    """

    __pydantic_config__ = _NO_OTHER_FIELDS

    suite: str
    task_set: str
    images: Literal["train", "test"]
    fingerprint: str
    num_examples: int
    num_classes: int
    num_tasks: int
    positions: tuple[int, ...]
    learner_seed: int
    protocol: int

    @property
    def of_record(self) -> Literal["record", "quick", "no"]:
        """`record` (4,096 public tasks of a built-in suite, every position), `quick` (1,024), or `no`."""
        known = registry.get(self.suite)
        whole = (
            known is not None
            and known.of_record
            and self.fingerprint == known.fingerprints["meta_test"]
            and self.task_set == "meta_test"
            and self.positions == tuple(range(self.num_examples))
        )
        sizes: dict[int, Literal["record", "quick"]] = {RECORD_TASKS: "record", QUICK_TASKS: "quick"}
        return sizes.get(self.num_tasks, "no") if whole else "no"


@dataclass(frozen=True)
class LearnerRecord:
    """Who answered. `source_sha256` is of the learner's file; `card` is what it says of itself."""

    __pydantic_config__ = _NO_OTHER_FIELDS

    name: str
    form: str
    withholds_labels: bool
    source_sha256: str | None
    args: Mapping[str, Any]
    card: Mapping[str, Any]


@dataclass(frozen=True)
class Provenance:
    """Where it ran: versions of packages, platform, device, and the commit of a checkout."""

    __pydantic_config__ = _NO_OTHER_FIELDS

    versions: Mapping[str, str]
    platform: str
    device: str
    commit: str | None


@dataclass(frozen=True)
class Times:
    """When it ran and for how long, in seconds: drawing tasks, the learner and the audit apart."""

    __pydantic_config__ = _NO_OTHER_FIELDS

    started: str
    tasks: float
    learner: float
    audit: float
    total: float


@dataclass(frozen=True, eq=False)
class Result:
    """Predictions of one learner on one split; everything else is derived from them.

    Attributes:
        audit: the evidence that was gathered; None if none was.
        prediction: the predicted class.
        outcome: whether it was right.
        log_loss: in nats; None for a learner that gives labels only.
    """

    setting: Setting
    learner: LearnerRecord
    provenance: Provenance
    times: Times
    audit: Audit | None
    prediction: Int16[np.ndarray, "task position"]
    outcome: Bool[np.ndarray, "task position"]
    log_loss: Float32[np.ndarray, "task position"] | None

    def __repr__(self) -> str:
        score = "no score" if self.score is None else f"score {self.score:.3f}"
        return f"<Result: {self.learner.name} on {self.setting.suite}, {score}, {self.evidence}>"

    @property
    def evidence(self) -> str:
        """What supports the numbers: it stands wherever a score is shown."""
        if self.audit is not None and self.audit.status == "passed":
            return f"audit passed ({self.audit.level}, {self.audit.comparisons:,} comparisons)"
        if self.audit is not None:
            failed = ", ".join(c.name for c in self.audit.checks if c.status in ("failed", "not auditable"))
            return f"AUDIT {self.audit.status.upper()}: {failed or 'nothing was compared'}"
        return "not audited; labels withheld by the harness" if self.learner.withholds_labels else "NOT AUDITED"

    @cached_property
    def accuracy(self) -> Float64[np.ndarray, " position"]:
        """accuracy@k at each position: the mean over tasks."""
        return self.outcome.mean(axis=0)

    @cached_property
    def accuracy_interval(self) -> Float64[np.ndarray, "position 2"]:
        """95% Wilson intervals over tasks."""
        return wilson(self.outcome.sum(axis=0), self.setting.num_tasks)

    def accuracy_at(self, k: int) -> float:
        """accuracy@k: after k labelled examples.

        Raises:
            ResultError: k is not among the positions of this result.
        """
        return float(self.accuracy[self._column(k)])

    @cached_property
    def score(self) -> float | None:
        """Area under the learning curve, k = 1 … T-1, chance 0, perfect 1; None unless all were asked."""
        return None if self.areas is None else float(self.areas.mean())

    @cached_property
    def score_interval(self) -> tuple[float, float] | None:
        """95% interval of the score by the bootstrap over tasks (`statistics.bootstrap`)."""
        return None if self.areas is None else _pair(bootstrap(self.areas[:, None])[0])

    @cached_property
    def mean_log_loss(self) -> Float64[np.ndarray, " position"] | None:
        """log-loss@k in nats: the mean over tasks."""
        return None if self.log_loss is None else self.log_loss.mean(axis=0, dtype=np.float64)

    @cached_property
    def log_loss_interval(self) -> Float64[np.ndarray, "position 2"] | None:
        """95% intervals of log-loss@k by the bootstrap over tasks."""
        return None if self.log_loss is None else bootstrap(self.log_loss.astype(np.float64))

    @cached_property
    def total_bits(self) -> float | None:
        """Total log-loss of an episode in bits, mean over tasks: the prequential code length of its labels.

        None unless there are scores at every position. Divided by T it is the objective of the paper.
        """
        return None if self._bits is None else float(self._bits.mean())

    @cached_property
    def total_bits_interval(self) -> tuple[float, float] | None:
        """95% interval of `total_bits` by the bootstrap over tasks."""
        return None if self._bits is None else _pair(bootstrap(self._bits[:, None])[0])

    def save(self, path: str | Path) -> None:
        """Write the result to a JSON file, whole or not at all."""
        from gpicl_bench.evaluation.storage import save_result

        save_result(self, Path(path))

    def plot(self, ax: Any = None) -> Any:
        """Draw the learning curve, with its 95% band over tasks, beside reference learners in grey.

        Args:
            ax: matplotlib's Axes to draw into; None: those of a new Figure. Names stand to the right of the axes.

        Returns:
            The Axes; `.figure.savefig("curve.png")` keeps them.

        Raises:
            PictureError: matplotlib is not installed: pip install 'gpicl-bench[plot]'.
        """
        from gpicl_bench.evaluation.comparison import Runs
        from gpicl_bench.reporting.curves import plot

        return plot([Runs(self.learner.name, (self,))], ax)

    @cached_property
    def areas(self) -> Float64[np.ndarray, " task"] | None:
        """Each task's score; their mean is the score."""
        wanted = range(1, self.setting.num_examples)
        if not set(wanted) <= set(self.setting.positions):
            return None
        return metrics.areas(self.outcome[:, [self._column(k) for k in wanted]], self.setting.num_classes)

    @property
    def _bits(self) -> Float64[np.ndarray, " task"] | None:
        if self.log_loss is None or len(self.setting.positions) < self.setting.num_examples:
            return None
        return self.log_loss.sum(axis=1, dtype=np.float64) / math.log(2)

    def _column(self, k: int) -> int:
        if k not in self.setting.positions:
            raise ResultError(
                "this position was not asked",
                expected=f"one of {self.setting.positions}",
                got=k,
                where=f"{self.learner.name} on {self.setting.suite}",
            )
        return self.setting.positions.index(k)


def _pair(interval: Float64[np.ndarray, "2"]) -> tuple[float, float]:
    return float(interval[0]), float(interval[1])
