"""Comparisons: paired, corrected, refused where the tasks differ; and the statistics behind them."""

import dataclasses
import itertools
import json
import math
import os
import subprocess
import sys

import jaxtyping
import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from scipy import stats
from sklearn.neighbors import KNeighborsClassifier

from gpicl_bench import Audit, compare, errors, evaluate, load_learner, load_result, make
from gpicl_bench.evaluation.comparison import Runs, weakest
from gpicl_bench.evaluation.identity import by_learner
from gpicl_bench.evaluation.statistics import holm, mcnemar, minimum_detectable, sign_flip, t_interval, two_level
from tests import synthetic
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
    assert pair.method == "exact McNemar, of these runs only"
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
    assert fewer.pairs[0].method == "t over runs and tasks"
    single = compare([first[0], second[0]])
    assert single.pairs[0].method == "sign flips over tasks, of these runs only"


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


def test_objects_are_told_apart_by_their_settings_or_by_name():
    results = [
        evaluate(KNeighborsClassifier(1, metric=metric), SUITE, num_tasks=8) for metric in ("euclidean", "manhattan")
    ]
    assert len(compare(results).learners) == 2
    functions = [
        evaluate(learner, SUITE, num_tasks=8)
        for learner in (lambda *context: np.array([1]), lambda *context: np.array([2]))
    ]
    with pytest.raises(errors.ResultError, match=r"(?s)no two runs.*compare\(\{"):
        compare(functions)
    assert {runs.name for runs in compare({"one": functions[:1], "two": functions[1:]}).learners} == {"one", "two"}


def changed(result, **learner):
    return dataclasses.replace(result, learner=dataclasses.replace(result.learner, **learner))


def test_runs_share_everything_but_their_seed():
    runs = [noisy(0.7, "net", seed=seed) for seed in (1, 2, 3)]
    layers = [changed(result, args={"layers": n}) for n, result in enumerate(runs)]
    assert [len(learner.results) for learner in compare(layers).learners] == [1, 1, 1]
    checkpoints = [changed(result, args={"checkpoint": f"seed{n}", "width": 4}) for n, result in enumerate(runs)]
    assert [len(learner.results) for learner in compare(checkpoints).learners] == [3]
    weights = [
        changed(result, card={**result.learner.card, "weights_sha256": f"{n}" * 64}) for n, result in enumerate(runs)
    ]
    assert [len(learner.results) for learner in compare(weights).learners] == [3]
    other = changed(noisy(0.7, "net", seed=1, salt=9), card={**runs[0].learner.card, "weights_sha256": "f" * 64})
    with pytest.raises(errors.ResultError, match=r"(?s)no two runs.*seed 1 twice: digests \w+… and \w+…"):
        compare([*weights, other])
    copies = [dataclasses.replace(runs[0], learner=result.learner) for result in runs]
    with pytest.raises(errors.ResultError, match="exactly the same"):
        compare(copies)


def carded(result, seed, args=None, **training):
    """The same result, of another run."""
    card = {"meta_training": {"suite": SUITE.id, "seed": seed, **training}, "weights_sha256": f"{seed:x}" * 64}
    return changed(result, args=args or {}, card=card)


@pytest.fixture(scope="module")
def nets():
    return [noisy(0.7, "net", salt=salt) for salt in range(6)]


def counts(results):
    return {learner.name: len(learner.results) for learner in compare(results).learners}


def test_what_follows_from_a_seed_makes_no_other_learner(nets):
    """The selected step, the tasks met until then, and what the card will say of time and hardware."""
    runs = [
        carded(result, seed, steps=steps, num_tasks=16 * steps, seconds=seed + 0.5, hardware=f"device {seed}")
        for seed, (result, steps) in enumerate(zip(nets[:3], (100, 260, 220), strict=True))
    ]
    assert counts(runs) == {"net": 3}
    pools = [carded(result, seed, steps=100 + seed, num_tasks=2**10) for seed, result in enumerate(nets[:3])]
    assert counts(pools) == {"net": 3}


@pytest.mark.parametrize(
    "cards",
    [
        [{"num_tasks": 2**10, "steps": 100}, {"num_tasks": 2**11, "steps": 100}],  # other pools
        [{"num_tasks": 1600, "steps": 100}, {"num_tasks": 3200, "steps": 100}],  # another batch
        [{"num_tasks": 0, "steps": 0}, {"num_tasks": 1600, "steps": 100}],
        [{"suite": "digits-none-perm-v0"}, {}],
        [{"num_tasks": "many", "steps": 1}, {"num_tasks": 16, "steps": 1}],
        [{"num_tasks": [16], "steps": {"a": 1}}, {"num_tasks": {}, "steps": []}],
    ],
)
def test_what_follows_from_no_seed_makes_another_learner(cards, nets):
    results = [carded(result, seed, **card) for seed, (result, card) in enumerate(zip(nets, cards, strict=False))]
    assert counts(results) == {"net": 1, "net #2": 1}


@pytest.mark.parametrize("seeds", [([1], [2]), ({"a": 1}, {"a": 2}), (None, 0), ("a", 1.5)])
def test_a_seed_may_be_anything_that_a_card_can_say(seeds, nets):
    results = [
        changed(result, card={"meta_training": {"seed": seed}}) for result, seed in zip(nets, seeds, strict=False)
    ]
    assert counts(results) == {"net": 2}


odd_names = st.text(st.sampled_from("a #2()="), max_size=5)
odd_records = st.tuples(
    odd_names,
    st.dictionaries(st.sampled_from(["checkpoint", "seed", "width"]), odd_names | st.integers(0, 1), max_size=2),
    st.dictionaries(
        st.sampled_from(["seed", "steps", "num_tasks"]), st.none() | st.integers(0, 2) | odd_names, max_size=3
    ),
)


@given(st.lists(odd_records, max_size=8))
@example([("a #2", {}, {}), ("a", {}, {"num_tasks": 1}), ("a", {}, {"num_tasks": 2})])
def test_no_learner_is_lost_whatever_it_is_called(records):
    results = [synthetic.result(name, args=args, card={"meta_training": card}) for name, args, card in records]
    groups = by_learner(results)
    assert sum(map(len, groups.values())) == len(results)
    assert {id(result) for runs in groups.values() for result in runs} == {*map(id, results)}


def test_a_seed_with_several_results_is_refused(nets):
    """Whatever else a card says of a run: which of them are runs of one recipe is not to be guessed."""
    results = [carded(result, 1, steps=steps, num_tasks=1024) for result, steps in zip(nets, (90, 70), strict=False)]
    with pytest.raises(errors.ResultError, match="no two runs"):
        compare(results)
    named = {f"{n} steps": [result] for n, result in zip((90, 70), results, strict=True)}
    assert len(compare(named).learners) == 2


def in_folders(nets, *folders):
    """A run of each folder, with seeds of their own."""
    return counts([carded(r, n, {"checkpoint": f}) for n, (r, f) in enumerate(zip(nets, folders, strict=False))])


def test_a_checkpoint_says_what_a_learner_is_but_for_the_seed_that_it_names(nets):
    assert in_folders(
        nets, "tiny/net-paired-seed0", "tiny/net-paired-seed11", "tiny/net-shifted-seed0", "tiny/net-shifted-seed5"
    ) == {"net(net-paired)": 2, "net(net-shifted)": 2}
    assert in_folders(nets, "runs/big", "runs/small") == {"net(big)": 1, "net(small)": 1}
    assert in_folders(nets, "big/seed0", "big/seed1", "small/seed2") == {"net(big)": 2, "net(seed2)": 1}
    assert in_folders(nets, "big/last.npz", "small/last.npz") == {"net(big/last.npz)": 1, "net(small/last.npz)": 1}
    assert in_folders(nets, "net_seed0/best", "net_seed1/best") == {"net": 2}


def test_a_lone_run_is_shown_by_the_last_part_of_its_path(nets):
    shown = {"net(paired-seed0)": 1, "net(shifted-seed5)": 1}
    assert in_folders(nets, "/home/me/runs/paired-seed0", "C:\\runs\\shifted-seed5") == shown


def test_the_reference_runs_of_a_baseline_are_one_learner():
    files = sorted((ROOT / "baselines" / "results" / "digits-tiny").glob("lstm-*/*-v0.json"))
    assert counts([load_result(file) for file in files]) == {
        "lstm(lstm-paired)": 3,
        "lstm(lstm-shifted)": 3,
    }
    every = [load_result(file) for file in sorted((ROOT / "baselines" / "results" / "digits-tiny").glob("*/*-v0.json"))]
    assert sorted(counts(every).values()) == [1, 2, *[3] * 8]  # one transformer was made with another file


def test_many_learners_can_still_be_told_apart():
    """35 learners are 595 pairs: 10,000 flips alone could not find any difference."""
    results = [noisy(0.9 - 0.5 * (n % 2), f"learner {n}", salt=n) for n in range(8)]
    many = {f"{n}": [changed(results[n % 8], name=f"learner {n}")] for n in range(35)}
    assert compare(many).groups[-1] == 2


def test_the_weakest_evidence_is_shown():
    results = [
        evaluate(learner, SUITE, num_tasks=4, audit=level) for learner, level in ((nearest, "off"), (constant, "quick"))
    ]
    failed = dataclasses.replace(results[0], audit=Audit("quick", 0, "", ()))
    for order in ([*results, failed], [failed, *results]):
        assert weakest(order).startswith("AUDIT FAILED")
    assert weakest(results[::-1]) == "not audited; labels withheld by the harness"


@pytest.mark.parametrize("results", [[1], ["a.json"], "a.json"])
def test_what_is_no_result_is_refused(results):
    with pytest.raises((errors.ResultError, jaxtyping.TypeCheckError)):
        compare(results)


def test_results_may_come_from_a_generator(results):
    assert len(compare(result for result in results.values()).learners) == 3


def test_a_mean_needs_the_same_learner_and_as_many_tasks(results, tmp_path):
    for suite in ("digits-proj-perm-v0", "digits-none-perm-v0"):
        for name, learner, count in (("a", nearest, 4), ("b", constant, 4 if "proj" in suite else 5)):
            evaluate(learner, suite, num_tasks=count).save(tmp_path / f"{name}-{suite}.json")
    done = run(*sorted(tmp_path.glob("a-*")), "--benchmark", "offline-v0", cwd=tmp_path)
    assert "missing: digits-pixperm-perm-v0, random-proj-perm-v0; not audited" in done.stdout
    mixed = run(*sorted(tmp_path.glob("*.json")), "--benchmark", "offline-v0", cwd=tmp_path)
    assert mixed.returncode == 2
    assert "different num_tasks have no mean" in mixed.stderr


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
    assert sign_flip(np.ones(200)) == pytest.approx(2 * math.exp(-100))  # Hoeffding's bound, below any count of flips
    assert sign_flip(np.ones(14)) == pytest.approx(2 / 2**14, abs=4e-4)


def test_mcnemar_by_hand():
    first, second = np.array([1, 1, 1, 1, 1, 0, 0], bool), np.array([0, 0, 0, 0, 0, 1, 0], bool)
    assert mcnemar(first, second) == pytest.approx(2 * (1 + 6) / 2**6)
    assert mcnemar(first, first) == 1.0


def test_two_level_is_a_t_test_of_run_means_where_tasks_do_not_matter():
    first, second = np.array([0.5, 0.6, 0.55, 0.7]), np.array([0.3, 0.42, 0.35])
    error = (first.var(ddof=1) / 4 + second.var(ddof=1) / 3) ** 0.5
    difference = first.mean() - second.mean()
    interval, p, detectable = two_level(np.full(500, difference), first, second)
    assert p == pytest.approx(2 * stats.t.sf(difference / error, 2))
    assert p > stats.ttest_ind(first, second, equal_var=False).pvalue
    assert interval == pytest.approx(stats.t.interval(0.95, 2, difference, error))
    assert detectable == pytest.approx((stats.t.ppf(0.975, 2) + stats.t.ppf(0.8, 2)) * error)
    assert two_level(np.zeros(9), np.ones(3), np.ones(3))[:2] == ((0.0, 0.0), 1.0)


def test_detectable_difference_is_found_with_probability_four_fifths():
    rng, sigma, num_tasks = np.random.default_rng(5), 0.1, 200
    detectable = minimum_detectable(rng.normal(0, sigma, 100_000)[:num_tasks])
    found = [stats.ttest_1samp(rng.normal(detectable, sigma, num_tasks), 0).pvalue < 0.05 for _ in range(1000)]
    assert np.mean(found) == pytest.approx(0.8, abs=0.09)  # the deviation was estimated from 200 tasks
    assert minimum_detectable(np.tile([0.0, 1.0], 2048)) == pytest.approx(2.8016 * 0.5 / 64, rel=1e-3)
    for hopeless in (np.array([1.0]), np.array([0.1, 0.2, 0.3, 0.2, 0.1]), np.zeros(50)):
        assert math.isnan(minimum_detectable(hopeless))


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
