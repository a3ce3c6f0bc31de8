"""A cell: a learner's answers on one kind of task and of images, and what they show.

`excess` is what the inputs add: whether a prediction was right, less the probability that a query drawn from what the
task has left, its input unseen, has the predicted label. Of a learner that looks at labels alone, however unequal the
classes are, it has the mean 0 at every position. It is given as a share of the excess of a learner that is always right
at these queries, so that 1 is perfect whatever the classes: both steps are those of Cohen's kappa (1960).
"""

from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Float32, Float64

from gpicl_bench.evaluation.statistics import bootstrap

Tasks = Literal["seen", "unseen", "other", "yardstick"]


class Estimate(NamedTuple):
    """A mean over episodes, and its 95% interval (BCa over episodes)."""

    value: float
    low: float
    high: float

    def __str__(self) -> str:
        return f"{self.value:.3f} ({self.low:.3f} to {self.high:.3f})"


@dataclass(frozen=True, eq=False)
class Cell:
    """Answers to one query at each position of each episode.

    Attributes:
        tasks: `seen` in meta-training, by the learner's card; `unseen`, drawn for the diagnosis; or `other`: unseen
            tasks of another base dataset; or `yardstick`: what 1-NN answers to the episodes of the first cell.
        images: the part of the base dataset: `train`, or `test`, the held-out images.
        suite, task_set: whose tasks they are.
        num_tasks: how many tasks; fewer than episodes where the learner has seen only so few.
        positions: k, the number of labelled examples before each query; ascending.
        early: how many of the positions, from the first on, count as early; the others are late.
        outcome: whether the prediction was right.
        expected: the probability that it is right for a query whose input says nothing.
        attainable: one less this probability for the label itself: the excess of who is always right.
    """

    tasks: Tasks
    images: Literal["train", "test"]
    suite: str
    task_set: str
    num_tasks: int
    positions: tuple[int, ...]
    early: int
    outcome: Bool[np.ndarray, "episode position"]
    expected: Float32[np.ndarray, "episode position"]
    attainable: Float32[np.ndarray, "episode position"]

    @property
    def name(self) -> str:
        """For people."""
        images = {"train": "training images", "test": "held-out images"}[self.images]
        if self.tasks == "other":
            return f"unseen tasks of {self.suite}"
        if self.tasks == "yardstick":
            return "1-NN on unseen tasks"
        return f"{self.tasks} tasks, {images}"

    @cached_property
    def accuracy_early(self) -> Estimate:
        """Accuracy at the early positions."""
        return _estimate(self.outcome[:, : self.early].mean(axis=1))

    @cached_property
    def accuracy_late(self) -> Estimate:
        """Accuracy at the late positions."""
        return _estimate(self.outcome[:, self.early :].mean(axis=1))

    @cached_property
    def knowledge(self) -> Estimate:
        """Excess at the early positions: what the learner knows before the context has taught it much."""
        return _estimate(self._early)

    @cached_property
    def improvement(self) -> Estimate:
        """Excess at the late positions less that at the early ones: what the context has taught it."""
        return _estimate(self._excess[:, self.early :].mean(axis=1) - self._early)

    @property
    def _excess(self) -> Float64[np.ndarray, "episode position"]:
        return (self.outcome - self.expected.astype(np.float64)) / self.attainable.mean(dtype=np.float64)

    @property
    def _early(self) -> Float64[np.ndarray, " episode"]:
        return self._excess[:, : self.early].mean(axis=1)


def _estimate(values: Float64[np.ndarray, " episode"]) -> Estimate:
    low, high = bootstrap(values[:, None])[0]
    return Estimate(float(values.mean()), float(low), float(high))
