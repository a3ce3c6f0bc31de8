"""Intervals and tests. Tasks are independent draws, and so are meta-training runs; positions are neither."""

import math
from collections.abc import Iterator, Sequence
from functools import lru_cache
from statistics import NormalDist

import numpy as np
from jaxtyping import Bool, Float64, Int64

from gpicl_bench.streams import below, random_bytes, root_key, threefry2x32

LEVEL = 0.95
ALPHA = 1 - LEVEL
POWER = 0.8
RESAMPLES = 2000
_WORDS_AT_ONCE = 2**20
_KEPT_TASKS = 2**13  # resamples of up to so many tasks are kept: at most 32 MB for each number of tasks
_FEWEST = 6  # tasks for which sign flips can reach 5%: 2/2^6
BOOTSTRAP_STREAM = "gpicl-bench/bootstrap/1"
FLIPS = 9999
FLIP_STREAM = "gpicl-bench/sign-flip/1"

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
    """The mean of each resample. In chunks, so that memory is bounded."""
    num_tasks = len(values)
    counts = _kept_counts(num_tasks) if num_tasks <= _KEPT_TASKS else _counts(num_tasks)
    return np.concatenate([chunk.astype(np.float64) @ values / num_tasks for chunk in counts])


@lru_cache(maxsize=2)
def _kept_counts(num_tasks: int) -> tuple[np.ndarray, ...]:
    """`_counts`, drawn once: many results of as many tasks are looked at together."""
    return tuple(_counts(num_tasks))


def _counts(num_tasks: int) -> Iterator[np.ndarray]:
    """How often each resample has each task, `[resample, task]` in chunks: resample r takes the words of child r."""
    root, chunk = root_key(BOOTSTRAP_STREAM), max(1, _WORDS_AT_ONCE // num_tasks)
    resamples = np.arange(RESAMPLES, dtype=np.uint32)[:, None]
    k0, k1 = threefry2x32((root[:1], root[1:]), (np.zeros_like(resamples), resamples))  # the children of the root
    low = np.arange((num_tasks + 1) // 2, dtype=np.uint32)[None, :]
    for start in range(0, RESAMPLES, chunk):
        keys = k0[start : start + chunk], k1[start : start + chunk]
        pairs = np.stack(threefry2x32(keys, (np.zeros_like(low), low)), axis=-1)
        chosen = below(pairs.reshape(len(keys[0]), -1)[:, :num_tasks], num_tasks).astype(np.int64)
        chosen += np.arange(len(chosen))[:, None] * num_tasks
        yield np.bincount(chosen.ravel(), minlength=chosen.size).reshape(chosen.shape).astype(np.uint16)


def t_interval(means: Float64[np.ndarray, " run"]) -> tuple[float, float] | None:
    """95% interval for the mean over runs (Student 1908); None with fewer than three runs."""
    runs = len(means)
    if runs < 3:
        return None
    from scipy.stats import t

    reach = float(t.ppf((1 + LEVEL) / 2, runs - 1) * means.std(ddof=1) / math.sqrt(runs))
    return float(means.mean()) - reach, float(means.mean()) + reach


def sign_flip(differences: Float64[np.ndarray, " task"]) -> float:
    """Two-sided p for a mean difference of 0: under it each task's difference is as likely to have either sign.

    9,999 random flips from a stream of their own, and the flips as they are (Fisher 1935; Phipson and Smyth 2010
    for the count). Where no flip reaches the observed sum S, p is Hoeffding's bound 2·exp(-S²/2Σd²) (1963) if that is
    smaller than 1e-4: it holds for every number of tasks, and many learners can still be told apart.
    """
    return sign_flips([differences])[0]


def sign_flips(pairs: Sequence[Float64[np.ndarray, " task"]]) -> list[float]:
    """`sign_flip` of the differences of many pairs on the same tasks: the flips are drawn once for all of them.

    One matrix product finds the sums of all pairs. It rounds them in another way than the product with a single pair
    does; where that could decide, the single one is taken, so that p does not depend on the other pairs.
    """
    if not pairs:
        return []
    num_tasks, together = len(pairs[0]), np.stack(pairs, axis=1)
    observed = [abs(differences.sum()) * (1 - 1e-12) for differences in pairs]  # sums in another order are the same sum
    rounding = 2 * num_tasks * np.finfo(np.float64).eps * np.abs(together).sum(axis=0)  # at most, of two such sums
    stream = random_bytes(root_key(FLIP_STREAM), FLIPS * ((num_tasks + 7) // 8)).reshape(FLIPS, -1)
    reached = np.zeros(len(pairs), np.int64)
    for rows in np.array_split(stream, 16):
        signs = np.unpackbits(rows, axis=1)[:, :num_tasks].astype(np.float64) * 2 - 1
        sums = np.abs(signs @ together)
        counts = (sums >= observed).sum(axis=0)
        for i in np.flatnonzero((np.abs(sums - observed) <= rounding).any(axis=0)).tolist():
            counts[i] = (np.abs(signs @ pairs[i]) >= observed[i]).sum()
        reached += counts
    return [_share_of_flips(int(count), *pair) for count, *pair in zip(reached, observed, pairs, strict=True)]


def _share_of_flips(reached: int, observed: float, differences: Float64[np.ndarray, " task"]) -> float:
    if reached:
        return (1 + reached) / (1 + FLIPS)
    return min(1 / (1 + FLIPS), 2 * math.exp(-(observed**2) / (2 * float(np.square(differences).sum()))))


def mcnemar(first: Bool[np.ndarray, " task"], second: Bool[np.ndarray, " task"]) -> float:
    """Two-sided exact p that two learners are right equally often, from the tasks where one alone is (McNemar 1947)."""
    from scipy.stats import binomtest

    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    if only_first + only_second == 0:
        return 1.0
    return float(binomtest(only_first, only_first + only_second).pvalue)


def two_level(
    per_task: Float64[np.ndarray, " task"],
    first: Float64[np.ndarray, " run_of_first"],
    second: Float64[np.ndarray, " run_of_second"],
) -> tuple[tuple[float, float], float, float]:
    """Interval, two-sided p and detectable difference for new runs on new tasks.

    The variance of the difference is the sum of each learner's between runs and of the paired differences between
    tasks; its degrees of freedom are those of the side with the fewest runs, less one: Welch's (1947) are more, but not
    safe where the runs differ less than the tasks. A side of one run has no variance between runs: it was not
    meta-trained.
    """
    from scipy.stats import t

    runs = [group for group in (first, second) if len(group) > 1]
    total = sum(float(group.var(ddof=1)) / len(group) for group in (*runs, per_task) if len(group) > 1)
    freedom = min(map(len, runs)) - 1
    difference = float(first.mean() - second.mean())
    if total == 0:
        return (difference, difference), 1.0 if difference == 0 else 0.0, math.nan
    error = math.sqrt(total)
    reach = float(t.ppf((1 + LEVEL) / 2, freedom)) * error
    detectable = float(t.ppf((1 + LEVEL) / 2, freedom) + t.ppf(POWER, freedom)) * error
    return (difference - reach, difference + reach), float(2 * t.sf(abs(difference) / error, freedom)), detectable


def minimum_detectable(differences: Float64[np.ndarray, " task"]) -> float:
    """The true mean difference that a two-sided 5% test of one pair over such tasks finds with probability 0.8.

    NaN where no difference could be found: fewer than six tasks, or no variation to judge by.
    """
    spread = float(differences.std(ddof=1)) if len(differences) > 1 else 0.0
    if len(differences) < _FEWEST or spread == 0:
        return math.nan
    quantiles = _NORMAL.inv_cdf((1 + LEVEL) / 2) + _NORMAL.inv_cdf(POWER)
    return float(quantiles * spread / math.sqrt(len(differences)))


def holm(p_values: list[float]) -> list[float]:
    """p values corrected so that all are valid together (Holm 1979)."""
    adjusted, running = [0.0] * len(p_values), 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=p_values.__getitem__)):
        running = max(running, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = running
    return adjusted
