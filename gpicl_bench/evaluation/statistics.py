"""Intervals over tasks. Tasks are independent draws; positions within a task are not."""

import math
from statistics import NormalDist

import numpy as np
from jaxtyping import Float64, Int64

from gpicl_bench.streams import below, root_key, words

LEVEL = 0.95
RESAMPLES = 1000
BOOTSTRAP_STREAM = "gpicl-bench/bootstrap/1"

_NORMAL = NormalDist()


def wilson(successes: Int64[np.ndarray, "*n"], trials: int) -> Float64[np.ndarray, "*n 2"]:
    """95% intervals for proportions, by inverting the score test (Wilson 1927, JASA 22, eq. 4).

    With p = successes/n and z the normal quantile: (p + z²/2n ± z·√(p(1-p)/n + z²/4n²)) / (1 + z²/n).
    """
    z = _NORMAL.inv_cdf((1 + LEVEL) / 2)
    p = np.asarray(successes, np.float64) / trials
    centre = p + z * z / (2 * trials)
    spread = z * np.sqrt(p * (1 - p) / trials + (z / (2 * trials)) ** 2)
    bounds = np.stack([centre - spread, centre + spread], axis=-1) / (1 + z * z / trials)
    return np.clip(bounds, 0, 1)


def bootstrap(values: Float64[np.ndarray, "task n"]) -> Float64[np.ndarray, "n 2"]:
    """95% intervals for the mean of each column, over tasks: bias-corrected and accelerated.

    Resamples of the rows come from a stream of their own (`BOOTSTRAP_STREAM`), the same for every
    column and every learner. NaN with fewer than two tasks: then no interval can be given.

    Source: Efron (1987), Better bootstrap confidence intervals, JASA 82.
    """
    num_tasks, columns = values.shape
    if num_tasks < 2:
        return np.full((columns, 2), np.nan)
    means = np.sort(_resampled_means(values), axis=0)
    mean = values.mean(axis=0)
    tolerance = 1e-12 * np.abs(values).max(axis=0)  # sums in another order are the same mean
    share = ((means < mean - tolerance).mean(axis=0) + (means <= mean + tolerance).mean(axis=0)) / 2
    centred = values - mean
    second, third = (centred**2).sum(axis=0), (centred**3).sum(axis=0)
    acceleration = np.divide(third, 6 * second**1.5, out=np.zeros(columns), where=second > tolerance**2)
    bounds = [
        np.quantile(means[:, c], _levels(share[c], acceleration[c])) if second[c] > tolerance[c] ** 2 else [mean[c]] * 2
        for c in range(columns)
    ]
    return np.array(bounds)


def _levels(share: float, acceleration: float) -> list[float]:
    """The quantiles of the resampled means that bound the interval (Efron 1987, eq. 6.5 and 6.6)."""
    bias = _NORMAL.inv_cdf(min(max(share, 1 / RESAMPLES), 1 - 1 / RESAMPLES))
    tails = (_NORMAL.inv_cdf((1 - LEVEL) / 2), _NORMAL.inv_cdf((1 + LEVEL) / 2))
    return [_NORMAL.cdf(bias + (bias + z) / (1 - acceleration * (bias + z))) for z in tails]


def _resampled_means(values: Float64[np.ndarray, "task n"]) -> Float64[np.ndarray, "resample n"]:
    num_tasks = len(values)
    chosen = below(words(root_key(BOOTSTRAP_STREAM), RESAMPLES * num_tasks), num_tasks).reshape(RESAMPLES, num_tasks)
    counts = np.stack([np.bincount(row, minlength=num_tasks) for row in chosen]).astype(np.float64)
    return counts @ values / num_tasks


def halfwidth(interval: Float64[np.ndarray, "2"]) -> float:
    """Half the length of an interval, for people; NaN where there is none."""
    return math.nan if np.isnan(interval).any() else float(interval[1] - interval[0]) / 2
