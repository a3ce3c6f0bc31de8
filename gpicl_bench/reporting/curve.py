"""A learning curve, as it is drawn."""

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float64

from gpicl_bench.evaluation.comparison import Runs


@dataclass(frozen=True, eq=False)
class Curve:
    """The learning curve of one learner.

    Attributes:
        name: for people.
        positions: k, ascending.
        accuracy: accuracy@k.
        interval: 95% intervals; None for a reference learner.
    """

    name: str
    positions: tuple[int, ...]
    accuracy: Float64[np.ndarray, " position"]
    interval: Float64[np.ndarray, "position 2"] | None = None


def curve(runs: Runs) -> Curve:
    """The mean over the runs of a learner."""
    return Curve(runs.name, runs.results[0].setting.positions, runs.accuracy, runs.accuracy_interval)
