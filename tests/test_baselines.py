"""The reference learners, against the rules they name, written differently."""

import numpy as np
import pytest

from baselines.reference import CLASSICAL
from gpicl_bench import evaluate, load_learner, make
from tests.conftest import ROOT

DIGITS = make("digits-proj-perm-v0")
FILES = [f"{name}.py" for name in CLASSICAL]


def load(name):
    return load_learner(ROOT / "baselines" / name, DIGITS.info)


@pytest.mark.parametrize("name", FILES)
def test_each_answers_every_query_on_its_own(name):
    learner = load(name).learner
    if not hasattr(learner, "fit") and not hasattr(learner, "step"):
        episode = DIGITS.meta_validation.episode(3)
        together = learner(episode.x[:40], episode.y[:40], episode.x[40:60])
        alone = np.concatenate([learner(episode.x[:40], episode.y[:40], episode.x[t : t + 1]) for t in range(40, 60)])
        assert np.allclose(together, alone)
    result = evaluate(load(name), DIGITS, num_tasks=2, positions=[0, 1, 2, 60])
    assert result.learner.source_sha256 is not None


def test_each_is_where_it_should_be():
    """accuracy@99 on digits: 1-NN 0.87, nearest centroid 0.82, SVM 0.89 (four standard errors at 256 tasks)."""
    expected = {
        "nearest_neighbour.py": 0.87,
        "nearest_centroid.py": 0.83,
        "svm.py": 0.89,
        "ridge.py": 0.84,
        "sgd.py": 0.6,
        "chance.py": 0.1,
    }
    assert set(expected) == set(FILES)
    for name, accuracy in expected.items():
        result = evaluate(load(name), DIGITS, num_tasks=256, positions=[99])
        assert result.accuracy_at(99) == pytest.approx(accuracy, abs=4 * (accuracy * (1 - accuracy) / 256) ** 0.5)


def test_nearest_neighbour_and_centroid_by_hand():
    episode = DIGITS.meta_validation.episode(0)
    x, y, query = episode.x[:30], episode.y[:30], episode.x[30:31]
    distances = [np.linalg.norm(query[0] - row) for row in x]
    assert load("nearest_neighbour.py").learner(x, y, query) == y[np.argmin(distances)]
    means = {c: np.mean([row for row, label in zip(x, y, strict=True) if label == c], axis=0) for c in set(y.tolist())}
    nearest = min(means, key=lambda c: np.linalg.norm(query[0] - means[c]))
    assert load("nearest_centroid.py").learner(x, y, query) == nearest


def test_ridge_is_the_primal_solution():
    episode, info = DIGITS.meta_validation.episode(1), DIGITS.info
    x, y, query = episode.x[:30].astype(float), episode.y[:30], episode.x[30:50].astype(float)
    weights = np.linalg.solve(x.T @ x + info.D / 8 * np.eye(info.D), x.T @ (np.eye(info.C)[y] - 1 / info.C))
    assert (
        load("ridge.py").learner(episode.x[:30], y, episode.x[30:50]).tolist()
        == (query @ weights).argmax(axis=1).tolist()
    )


def test_on_mnist(prepared_data):
    result = evaluate(load("nearest_neighbour.py"), "mnist-proj-perm-v0", positions=[99])
    assert 0.66 <= result.accuracy_at(99) <= 0.77
