"""A power law through lengths some of which are known only to be longer than what was waited for.

log length = a + b log x + σ noise, by maximum likelihood; a run that never left its plateau counts with the probability
of being longer (right-censored regression: Tobin 1958; Meeker and Escobar 1998, section 17).
"""

from collections.abc import Sequence
from functools import cache
from typing import NamedTuple

import numpy as np
from scipy import optimize, stats

RESAMPLES = 1000


class PowerLaw(NamedTuple):
    """length = factor · x^exponent.

    Attributes:
        low, high: a 95% percentile interval of the exponent over resampled runs; unbounded where a place has one run,
            which tells nothing of how runs differ.
        places: how many values of x have runs that left.
    """

    factor: float
    exponent: float
    low: float
    high: float
    places: int

    def __str__(self) -> str:
        if not np.isfinite(self.low):
            return f"{self.exponent:.2f} (no interval: one run a place)"
        return f"{self.exponent:.2f} ({self.low:.2f} to {self.high:.2f})"


def fit(x: Sequence[float], length: Sequence[float], left: Sequence[bool]) -> PowerLaw | None:
    """The power law; None where fewer than two places have runs that left. What was fitted once is remembered.

    Args:
        x: a positive number of each run.
        length: steps until it left its plateau, or the steps that it was given.
        left: whether it left.
    """
    return _fit(tuple(x), tuple(length), tuple(left))


@cache  # a page asks thrice, and resampling takes seconds
def _fit(x: tuple[float, ...], length: tuple[float, ...], left: tuple[bool, ...]) -> PowerLaw | None:
    values, lengths, known = np.log(np.asarray(x, float)), np.log(np.asarray(length, float)), np.asarray(left, bool)
    count = len(set(values[known]))
    if count < 2:
        return None
    intercept, slope = _maximum(values, lengths, known)
    low, high = _interval(values, lengths, known)
    return PowerLaw(float(np.exp(intercept)), slope, low, high, count)


def _interval(values: np.ndarray, lengths: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    places = [np.flatnonzero(values == place) for place in np.unique(values)]
    if min(map(len, places)) < 2:
        return -np.inf, np.inf
    rng, slopes = np.random.default_rng(0), []
    while len(slopes) < RESAMPLES:  # within each place: the grid is not random
        rows = np.concatenate([rng.choice(place, len(place)) for place in places])
        if len(set(values[rows][known[rows]])) > 1:
            slopes.append(_maximum(values[rows], lengths[rows], known[rows])[1])
    low, high = np.percentile(slopes, [2.5, 97.5])
    return float(low), float(high)


def _maximum(x: np.ndarray, y: np.ndarray, known: np.ndarray) -> tuple[float, float]:
    """a and b; without censored runs these are the least squares."""
    slope, intercept = np.polyfit(x[known], y[known], 1)
    if known.all():
        return float(intercept), float(slope)

    def loss(parameters: np.ndarray) -> float:
        a, b, log_sigma = parameters
        z = (y - a - b * x) / np.exp(log_sigma)
        return -float(np.where(known, stats.norm.logpdf(z) - log_sigma, stats.norm.logsf(z)).sum())

    spread = max(float(np.std(y[known] - intercept - slope * x[known])), 0.1)
    bounds = [(None, None), (None, None), (np.log(0.02), 3.0)]
    found = optimize.minimize(loss, [intercept, slope, np.log(spread)], method="L-BFGS-B", bounds=bounds)
    return float(found.x[0]), float(found.x[1])
