"""Comparisons: paired, corrected, refused where the tasks differ; and the statistics behind them."""

import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy import stats

from gpicl_bench import compare, errors, evaluate, load_learner, make
from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.evaluation.statistics import holm, mcnemar, minimum_detectable, sign_flip, t_interval, two_level
from tests.conftest import ROOT
from tests.learners import constant, nearest

SUITE = make("digits-proj-perm-v0")


def noisy(level, name, seed=None, salt=0):
    """Right with probability `level` by its key, so that its true accuracy is known; `seed` is that of its training."""
    split = SUITE.meta_test
    answers = {e.x[t].tobytes(): int(e.y[t]) for e in map(split.episode, range(64)) for t in range(100)}

    def learner(context_x, context_y, query_x, key):
        rng = np.random.default_rng([*key.tolist(), salt, seed or 0])
        right = answers[query_x[0].tobytes()]
        return np.array([right if rng.random() < level else (right + 1) % 10])

    learner.__name__ = name
    learner.card = (
        {"stochastic": True} if seed is None else {"stochastic": True, "meta_training": {"seed": seed, "steps": 5}}
    )
    return evaluate(learner, SUITE, num_tasks=64)


@pytest.fixture(scope="module")
def results():
    return {
        name: noisy(level, name, salt=salt)
        for salt, (name, level) in enumerate({"good": 0.8, "same": 0.8, "bad": 0.6}.items())
    }


def test_ranks_pairs_and_tie_groups(results):
    found = compare([results["bad"], results["good"], results["same"]])
    assert [learner.name for learner in found.learners][2] == "bad"
    assert found.groups == (1, 1, 2)
    verdicts = {frozenset((pair.first, pair.second)): pair.differs for pair in found.pairs}
    assert verdicts == {
        frozenset(("good", "same")): False,
        frozenset(("good", "bad")): True,
        frozenset(("same", "bad")): True,
    }
    for pair in found.pairs:
        per_task = results[pair.first].areas - results[pair.second].areas
        assert pair.difference == pytest.approx(per_task.mean())
        assert pair.interval[0] <= pair.difference <= pair.interval[1]
        assert pair.detectable == pytest.approx(2.8016 * per_task.std(ddof=1) / 8, rel=1e-3)


def test_a_third_learner_changes_no_score(results):
    two, three = compare([results["good"], results["same"]]), compare([*results.values()])
    scores = {learner.name: (learner.mean, learner.task_interval) for learner in three.learners}
    for learner in two.learners:
        assert scores[learner.name] == (learner.mean, learner.task_interval)
        assert learner.mean == results[learner.name].score
        assert learner.task_interval == pytest.approx(results[learner.name].score_interval, abs=1e-12)


def test_accuracy_at_a_position_uses_mcnemar(results):
    pair = compare([results["good"], results["bad"]], at=50).pairs[0]
    good, bad = (results[name].outcome[:, 50] for name in ("good", "bad"))
    wins, losses = int((good & ~bad).sum()), int((bad & ~good).sum())
    assert pair.p == pytest.approx(stats.binomtest(wins, wins + losses).pvalue)
    assert pair.method == "exact McNemar"
    for learner in compare([results["good"], results["bad"]], at=50).learners:
        assert learner.task_interval == tuple(results[learner.name].accuracy_interval[50])


def test_runs_of_one_learner():
    first = [noisy(level, "first", seed=s) for s, level in ((1, 0.78), (2, 0.82), (3, 0.8))]
    second = [noisy(level, "second", seed=s) for s, level in ((1, 0.6), (2, 0.64), (3, 0.62))]
    found = compare([*first, *second])
    assert [(learner.name, len(learner.results)) for learner in found.learners] == [("first", 3), ("second", 3)]
    assert found.learners[0].mean == pytest.approx(np.mean([result.score for result in first]))
    assert found.learners[0].run_interval == pytest.approx(
        stats.t.interval(0.95, 2, np.mean([r.score for r in first]), stats.sem([r.score for r in first]))
    )
    assert found.pairs[0].method == "t over runs and tasks"
    assert found.groups == (1, 2)
    fewer = compare([*first[:2], *second[:2]])
    assert fewer.learners[0].run_interval is None
    assert fewer.pairs[0].method == "sign flips over tasks"


def test_positions_never_pass_as_runs(results):
    values = Runs("good", (results["good"],)).values
    assert values.shape == (1, 64)
    assert Runs("good", (results["good"],)).run_interval is None


@pytest.mark.parametrize(
    ("other", "says"),
    [
        ({"num_tasks": 63}, "different num_tasks"),
        ({"suite": "digits-none-perm-v0"}, "different suite"),
        ({"suite": SUITE.at_round("ab" * 32)}, "different task_set"),
        ({"suite": SUITE.meta_validation}, "different task_set"),
        ({"suite": SUITE.seen()}, "different task_set"),
        ({"suite": make(SUITE.id, num_examples=99)}, "different fingerprint"),
        ({"positions": [3, 99]}, "different positions"),
    ],
)
def test_results_of_other_tasks_are_refused(results, other, says):
    with pytest.raises(errors.ResultError, match=says):
        compare([results["good"], evaluate(constant, **{"suite": SUITE, "num_tasks": 64, **other})])


def test_another_protocol_is_refused(results):
    setting = dataclasses.replace(results["bad"].setting, protocol=2)
    with pytest.raises(errors.ResultError, match="different protocol"):
        compare([results["good"], dataclasses.replace(results["bad"], setting=setting)])


def test_what_is_no_comparison_is_refused(results):
    with pytest.raises(errors.ResultError, match="nothing to compare"):
        compare([])
    with pytest.raises(errors.ResultError, match="given twice"):
        compare([results["good"], results["good"]])
    seeds = [evaluate(nearest, SUITE, num_tasks=4, learner_seed=seed) for seed in (0, 1)]
    with pytest.raises(errors.ResultError, match="no two runs"):
        compare(seeds)
    with pytest.raises(errors.ResultError, match=r"(?s)no score.*--at K"):
        compare([evaluate(nearest, SUITE, num_tasks=4, positions=[9])])
    with pytest.raises(errors.ResultError, match="was not asked"):
        compare([evaluate(nearest, SUITE, num_tasks=4, positions=[9])], at=8)


def test_one_task_and_one_learner(results):
    alone = compare([results["good"]])
    assert (alone.groups, alone.pairs) == ((1,), ())
    single = compare([evaluate(learner, SUITE, num_tasks=1) for learner in (nearest, constant)])
    assert math.isnan(single.learners[0].task_interval[0])
    assert math.isnan(single.pairs[0].detectable)
    assert single.groups == (1, 1)


def test_arguments_tell_learners_of_one_file_apart():
    file = ROOT / "baselines" / "ridge.py"
    results = [evaluate(load_learner(file, SUITE.info, {"alpha": a}), SUITE, num_tasks=4) for a in (0.1, 10.0)]
    names = {learner.name for learner in compare(results).learners}
    assert {name.split(")")[0] for name in names} == {"ridge(alpha=0.1", "ridge(alpha=10.0"}


@given(st.lists(st.floats(0, 1), min_size=1, max_size=8))
def test_holm_by_its_definition(p_values):
    """The smallest level at which the step-down procedure rejects: reject p_(i) while p_(j) ≤ α/(m-j+1) for all j ≤ i."""
    adjusted, count = holm(p_values), len(p_values)
    ordered = sorted(p_values)
    for p, corrected in zip(p_values, adjusted, strict=True):
        rank = max(i for i, q in enumerate(ordered) if q == p)
        least = min(1.0, max((count - j) * ordered[j] for j in range(rank + 1)))
        assert corrected <= least + 1e-12
        first = ordered.index(p)
        assert corrected >= min(1.0, max((count - j) * ordered[j] for j in range(first + 1))) - 1e-12


def test_sign_flip_is_the_exact_test():
    differences = np.array([0.3, -0.1, 0.4, 0.2, 0.5, -0.05, 0.25, 0.35])
    sums = [
        abs(sum(s * d for s, d in zip(signs, differences, strict=True)))
        for signs in itertools.product((-1, 1), repeat=8)
    ]
    exact = np.mean(np.array(sums) >= abs(differences.sum()) - 1e-12)
    assert sign_flip(differences) == pytest.approx(exact, abs=4 * (exact * (1 - exact) / 9999) ** 0.5)
    assert sign_flip(-differences) == sign_flip(differences)
    assert sign_flip(np.zeros(10)) == 1.0
    assert sign_flip(np.ones(200)) == 1e-4


def test_mcnemar_by_hand():
    first, second = np.array([1, 1, 1, 1, 1, 0, 0], bool), np.array([0, 0, 0, 0, 0, 1, 0], bool)
    assert mcnemar(first, second) == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(first, first) == 1.0


def test_two_level_is_welch_where_tasks_do_not_matter():
    first, second = np.array([0.5, 0.6, 0.55, 0.7]), np.array([0.3, 0.42, 0.35])
    expected = stats.ttest_ind(first, second, equal_var=False)
    interval, p, _ = two_level(np.full(500, first.mean() - second.mean()), first, second)
    assert p == pytest.approx(expected.pvalue, rel=1e-6)
    assert interval == pytest.approx(tuple(expected.confidence_interval()), rel=1e-6)
    assert two_level(np.zeros(9), np.ones(3), np.ones(3)) == ((0.0, 0.0), 1.0, 0.0)


def test_detectable_difference_is_found_with_probability_four_fifths():
    rng, sigma, num_tasks = np.random.default_rng(5), 0.1, 200
    detectable = minimum_detectable(rng.normal(0, sigma, 100_000)[:num_tasks])
    found = [stats.ttest_1samp(rng.normal(detectable, sigma, num_tasks), 0).pvalue < 0.05 for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.09)  # the deviation was estimated from 200 tasks
    assert math.isnan(minimum_detectable(np.array([1.0])))


def test_t_interval_needs_three_runs():
    assert t_interval(np.array([0.1, 0.2])) is None
    assert t_interval(np.array([0.1, 0.2, 0.4])) == pytest.approx(
        stats.t.interval(0.95, 2, 0.7 / 3, stats.sem([0.1, 0.2, 0.4]))
    )


def run(*arguments, cwd):
    command = [sys.executable, "-W", "error", "-m", "gpicl_bench", "compare", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=cwd, env=environment, capture_output=True, text=True, check=False)


def test_the_command(results, tmp_path):
    for name, result in results.items():
        result.save(tmp_path / f"{name}.json")
    done = run("good.json", "bad.json", "same.json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert "group 2  bad" in done.stdout
    assert "not audited; labels withheld by the harness" in done.stdout
    assert "tie " in done.stdout
    assert run("good.json", "bad.json", "--at", "99", cwd=tmp_path).returncode == 0
    shown = run("good.json", "--benchmark", "offline-v0", cwd=tmp_path).stdout
    assert "missing: digits-pixperm-perm-v0, digits-none-perm-v0, random-proj-perm-v0" in shown


@pytest.mark.parametrize(
    ("damage", "says"),
    [
        (lambda text: text[:500], "no result file"),
        (lambda text: text.replace('"num_tasks": 64', '"num_tasks": 65'), "damaged"),
        (lambda text: text.replace('"name": "bad"', '"name": "best"'), "was altered"),
        (lambda text: json.dumps({**json.loads(text), "summary": {}}), "was altered"),
    ],
)
def test_a_damaged_file_is_named(results, tmp_path, damage, says):
    results["bad"].save(tmp_path / "bad.json")
    (tmp_path / "bad.json").write_text(damage((tmp_path / "bad.json").read_text()))
    done = run("bad.json", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (2, "")
    assert says in done.stderr
    assert "bad.json" in done.stderr
