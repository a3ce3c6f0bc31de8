"""Intervals against SciPy's, and against simulated truths."""

import numpy as np
import pytest
from scipy.stats import binomtest
from scipy.stats import bootstrap as scipy_bootstrap

from gpicl_bench.evaluation import statistics
from gpicl_bench.evaluation.metrics import areas, log_losses
from gpicl_bench.evaluation.statistics import FLIP_STREAM, FLIPS, bootstrap, sign_flip, sign_flips, wilson
from gpicl_bench.learners.prediction import predicted
from gpicl_bench.streams import random_bytes, root_key


@pytest.mark.parametrize(
    ("successes", "trials"), [(0, 1), (1, 1), (0, 50), (37, 50), (50, 50), (1, 4096), (2900, 4096)]
)
def test_wilson_is_scipys(successes, trials):
    expected = binomtest(successes, trials).proportion_ci(method="wilson")
    assert wilson(np.array([successes]), trials)[0] == pytest.approx([expected.low, expected.high], abs=1e-12)


def test_bootstrap_agrees_with_scipys_bca():
    values = np.random.default_rng(0).gamma(2.0, size=(400, 1))
    generator = {"random_state": np.random.default_rng(1)}  # `rng` since SciPy 1.15 only
    expected = scipy_bootstrap(
        (values[:, 0],), np.mean, n_resamples=20_000, method="BCa", **generator
    ).confidence_interval
    width = expected.high - expected.low
    assert bootstrap(values)[0] == pytest.approx([expected.low, expected.high], abs=0.08 * width)


def test_bootstrap_covers_simulated_truths():
    values = np.random.default_rng(1).gamma(2.0, size=(256, 1000))  # columns are experiments; the mean is 2
    low, high = bootstrap(values).T
    coverage = ((low <= 2) & (high >= 2)).mean()
    assert coverage == pytest.approx(0.95, abs=5 * (0.95 * 0.05 / 1000) ** 0.5)


def test_bootstrap_at_the_edges():
    assert np.isnan(bootstrap(np.ones((1, 3)))).all()
    assert bootstrap(np.full((50, 2), 0.1)).tolist() == [[pytest.approx(0.1)] * 2] * 2
    nearly = np.ones((1000, 1))
    nearly[3] = 0
    low, high = bootstrap(nearly)[0]
    assert 0.99 < low <= 0.999 <= high <= 1


def test_bootstrap_is_the_same_every_time_and_for_every_column():
    values = np.random.default_rng(2).normal(size=(64, 1))
    assert bootstrap(values).tolist() == bootstrap(values).tolist()
    assert bootstrap(np.tile(values, 3)) == pytest.approx(np.tile(bootstrap(values), (3, 1)), abs=1e-12)


def test_kept_resamples_are_those_that_are_drawn(monkeypatch):
    values = np.random.default_rng(3).normal(size=(100, 2))
    kept = bootstrap(values), bootstrap(values)
    monkeypatch.setattr(statistics, "_KEPT_TASKS", 0)
    assert all(np.array_equal(bootstrap(values), found) for found in kept)


def test_flips_of_many_pairs_are_those_of_each():
    """Also where many sums are equal but for their rounding: multiples of 1/891, as scores are."""
    rng = np.random.default_rng(4)
    pairs = [rng.normal(0.01 * n, 0.1, 100) for n in range(5)]
    pairs += [rng.integers(-20, 20 + n, 100) / 99 / 0.9 for n in range(20)]
    assert sign_flips(pairs) == [sign_flip(differences) for differences in pairs] == [one_by_one(d) for d in pairs]
    assert sign_flips([]) == []


def one_by_one(differences):
    """The definition, with one product for all flips of a pair."""
    stream = random_bytes(root_key(FLIP_STREAM), FLIPS * ((len(differences) + 7) // 8)).reshape(FLIPS, -1)
    signs = np.unpackbits(stream, axis=1)[:, : len(differences)].astype(np.float64) * 2 - 1
    reached = int((np.abs(signs @ differences) >= abs(differences.sum()) * (1 - 1e-12)).sum())
    return (1 + reached) / (1 + FLIPS) if reached else pytest.approx(0, abs=1e-4)


def test_metrics_by_hand():
    scores = np.log([[[0.2, 0.5, 0.3], [0.4, 0.4, 0.2]]])
    y = np.array([[2, 0]], np.int32)
    assert predicted(scores).tolist() == [[1, 0]]  # the first of two largest
    assert log_losses(scores, y) == pytest.approx(-np.log([[0.3, 0.4]]))
    assert log_losses(scores + 1e4, y) == pytest.approx(-np.log([[0.3, 0.4]]))
    assert areas(np.array([[True, False], [True, True], [False, False]]), 5) == pytest.approx(
        [(0.5 - 0.2) / 0.8, 1, -0.25]
    )
