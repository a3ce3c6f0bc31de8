"""The audit: every planted cheater is named, no honest learner is blamed, and nothing passes unseen."""

import os
import subprocess
import sys

import numpy as np
import pytest
from scipy.stats import binom

from gpicl_bench import Audit, Check, audit, errors, evaluate, load_learner, make, sequence_learner
from gpicl_bench.auditing import checks
from gpicl_bench.auditing.perturbation import CUTS, apply, plan
from tests.cheaters import CHEATERS
from tests.conftest import ROOT
from tests.honest import make_lstm, make_transformer
from tests.learners import JaxMean, StepNearest, nearest
from tests.validation import HONEST

SUITE = make("digits-proj-perm-v0")
SEED = "5eed" * 16


@pytest.mark.parametrize("name", CHEATERS)
def test_each_cheater_is_caught_by_its_check(name):
    maker, check = CHEATERS[name]
    found = audit(maker(SUITE.info), SUITE, seed=SEED)
    assert found.status in ("failed", "not auditable")
    assert found.check(check).status in ("failed", "not auditable")
    assert found.check(check).comparisons > 0
    assert found.check(check).detail


@pytest.mark.parametrize("name", [name for name in HONEST if name != "SVM"])
@pytest.mark.parametrize("level", ["quick", "full"])
def test_honest_learners_pass(name, level):
    found = audit(HONEST[name](SUITE.info), SUITE, level, seed=SEED)
    assert found.status == "passed", found
    assert found.num_tasks == {"quick": 64, "full": 128}[level]


@pytest.mark.parametrize(
    "learner", [StepNearest(), JaxMean(SUITE.info), nearest], ids=["step", "step (JAX)", "callable"]
)
def test_other_forms_pass(learner):
    assert audit(learner, SUITE, "quick", seed=SEED).status == "passed"


def test_the_offence_is_located():
    """A leak at one place: position 60 reads the label at 70."""

    @sequence_learner
    def learner(x, y):
        scores = np.zeros((*y.shape, 10))
        if y.shape[1] > 70:
            scores[np.arange(len(y)), 60, y[:, 70]] = 1
        return scores

    found = audit(learner, SUITE, seed=SEED)
    assert found.check("later labels").detail.startswith("position 60 follows the label at 70, in task ")
    assert found.check("label at t").status == "failed"  # position 60 changes with the label at cut 70
    assert found.check("later inputs").status == "passed"


def test_a_joint_leak_is_told_without_a_single_source():
    @sequence_learner
    def learner(x, y):
        scores = np.zeros((*y.shape, 10))
        scores[:, :50] = y[:, 50:].sum(axis=1)[:, None, None] // 40 * np.arange(10)  # one label rarely moves it
        return scores

    detail = audit(learner, SUITE, seed=SEED).check("later labels").detail
    assert "follows the label" in detail


def test_stochastic_learners_that_draw_by_shape_are_not_blamed():
    """Dropout over (T, T), noise of the shape of the queries: another shape is another draw, and no fault."""

    @sequence_learner
    def dropping(x, y, keys):
        length = y.shape[1]
        masks = np.stack([np.random.default_rng(key).random((length, length)) > 0.1 for key in keys])
        return np.tril(x @ x.transpose(0, 2, 1) * masks, k=-1) @ np.eye(10)[y]

    def guessing(context_x, context_y, query_x, key):
        return np.random.default_rng(key).normal(size=(len(query_x), 10))

    dropping.card = guessing.card = {"stochastic": True}
    for learner in (dropping, guessing):
        found = audit(learner, SUITE, "quick", seed=SEED)
        assert found.status == "passed", found


@pytest.mark.parametrize("scale", [1e-6, 1.0, 1e20])
def test_the_scale_of_scores_decides_nothing(scale):
    honest = make_transformer(SUITE.info)
    assert (
        audit(sequence_learner(lambda x, y: np.asarray(honest(x, y), float) * scale), SUITE, "quick", seed=SEED).status
        == "passed"
    )
    flips = sequence_learner(lambda x, y: np.asarray(honest(x, y), float) * scale * (1 if len(x) == 64 else -1))
    assert audit(flips, SUITE, "quick", seed=SEED).check("batch size").status == "failed"
    offset = sequence_learner(
        lambda x, y: np.asarray(honest(x, y), float) * scale * (1 if len(x) == 64 else -1) + 100 * scale
    )
    assert audit(offset, SUITE, "quick", seed=SEED).check("batch size").status == "failed"


def test_learners_of_one_shape_are_audited():
    honest = make_transformer(SUITE.info)

    @sequence_learner
    def fixed(x, y):
        assert x.shape == (64, 100, 64)
        return honest(x, y)

    found = audit(fixed, SUITE, "quick", seed=SEED)
    assert found.status == "passed"
    assert [found.check(name).status for name in ("length", "batch size", "inputs untouched")] == [
        "not applicable"
    ] * 2 + ["passed"]


@pytest.mark.parametrize(
    "body", ["sys.exit(1)", "return np.zeros((1, 10)) if len(context_y) >= 30 else np.zeros((len(query_x), 10))"]
)
def test_learners_of_single_queries_are_not_blamed(tmp_path, body):
    path = tmp_path / "mine.py"
    path.write_text(
        f"import sys, numpy as np\ndef learner(context_x, context_y, query_x):\n    if len(query_x) > 1:\n        {body}\n    return np.zeros((1, 10))\n"
    )
    found = audit(load_learner(path, SUITE.info), SUITE, "quick", seed=SEED)
    assert found.status == "passed"
    assert found.check("queries apart").status == "not applicable"


def test_an_answer_that_fails_later_is_a_failed_check_and_loses_nothing(tmp_path):
    calls = []

    @sequence_learner
    def learner(x, y):
        calls.append(1)
        if len(calls) > 6:
            raise RuntimeError("tired")
        return np.zeros((*y.shape, 10))

    result = evaluate(learner, SUITE, num_tasks=64)
    assert "AUDIT FAILED" in result.evidence
    assert any("tired" in check.detail for check in result.audit.checks)
    assert result.outcome.shape == (64, 100)


def test_the_answers_that_were_scored_are_asked_again():
    """Honest while it is audited, and not in the first call: only the recorded predictions can tell."""
    calls = []

    @sequence_learner
    def learner(x, y):
        calls.append(1)
        return np.eye(10)[y] if len(calls) == 1 else np.zeros((*y.shape, 10))

    result = evaluate(learner, SUITE, num_tasks=64)
    assert result.score == 1.0
    assert result.audit.check("scored answers").status == "failed"
    assert result.evidence == "AUDIT FAILED: scored answers"


def test_state_and_randomness_are_told_apart_for_files(tmp_path):
    counting = "import numpy as np\nCALLS = []\ndef learner(context_x, context_y, query_x):\n    CALLS.append(1)\n    return np.array([len(CALLS) % 10])\n"
    drawing = "import numpy as np\nRNG = np.random.default_rng()\ndef learner(context_x, context_y, query_x):\n    return RNG.integers(10, size=1)\n"
    statuses = []
    for name, text in (("counting", counting), ("drawing", drawing)):
        (tmp_path / f"{name}.py").write_text(text)
        found = audit(load_learner(tmp_path / f"{name}.py", SUITE.info), SUITE, "quick", seed=SEED)
        statuses.append((found.status, found.check("equal runs").detail.rpartition(": ")[2]))
    assert statuses == [
        ("failed", "state is kept between calls"),
        ("not auditable", "randomness without a key, or state kept between calls"),
    ]


def test_a_learner_that_says_nothing_fails():
    check = Check("equal runs", "not applicable", 0, "", "")
    assert Audit("quick", 64, SEED, (check,)).status == "failed"
    assert Audit("quick", 64, SEED, ()).status == "failed"


def test_the_same_seed_repeats_an_audit_and_another_does_not():
    learner = make_lstm(SUITE.info)
    first, again, other = (audit(learner, SUITE, "quick", seed=seed) for seed in (SEED, SEED, "0" * 64))
    assert first == again
    assert first.checks != other.checks
    assert audit(learner, SUITE, "quick").seed != audit(learner, SUITE, "quick").seed


def test_perturbations_change_what_they_say_and_nothing_else():
    rng = np.random.default_rng(0)
    x, donor, y = (
        rng.normal(size=(20, 5)).astype("f4"),
        rng.normal(size=(20, 5)).astype("f4"),
        rng.integers(4, size=20).astype("i4"),
    )
    for t in range(20):
        one_x, one_y = apply("label at t", t, x, y, donor, 4, rng)
        assert np.array_equal(one_x, x)
        assert np.flatnonzero(one_y != y).tolist() == [t]
        later_x, later_y = apply("later labels", t, x, y, donor, 4, rng)
        assert np.array_equal(later_x, x)
        assert np.flatnonzero(later_y != y).tolist() == list(range(t + 1, 20))
        input_x, input_y = apply("later inputs", t, x, y, donor, 4, rng)
        assert np.array_equal(input_y, y)
        assert np.flatnonzero((input_x != x).any(axis=1)).tolist() == list(range(t + 1, 20))
    assert 0 <= apply("honeypot", 0, x, y, donor, 4, rng)[1].min() <= 3


@pytest.mark.parametrize(("rows", "length", "cuts"), [(64, 100, 6), (64, 100, 2), (64, 2, 3), (8, 7, 5)])
def test_cuts_cover_the_episode(rows, length, cuts):
    variants = plan(rows, length, cuts, np.random.default_rng(1))
    for kind in CUTS:
        chosen = [cut for variant in variants if variant.kind == kind for cut in variant.cuts]
        last = length - (kind != "label at t")
        assert len(chosen) == rows * cuts
        assert set(chosen) <= set(range(last))
        assert len(set(chosen)) == min(last, rows * cuts)
        if last < rows * cuts:
            assert max(map(chosen.count, chosen)) <= -(-rows * cuts // last)


def test_honeypots_are_exact():
    bound = checks.BUDGET / checks.STATISTICAL / 2
    asked, chance = 6400, 1 / 10
    high = int(binom.isf(bound, asked, chance)) + 1  # the least count with so small a tail
    low = int(binom.ppf(bound, asked, chance)) - 1
    statuses = {count: checks.honeypots(count, asked, 10).status for count in (low, low + 2, 640, high - 1, high + 1)}
    assert statuses == {low: "failed", low + 2: "passed", 640: "passed", high - 1: "passed", high + 1: "failed"}


def test_public_tasks_are_compared_by_rank():
    rng = np.random.default_rng(3)
    accuracy, stratum = rng.normal(0.6, 0.1, 128), np.arange(128) % 4
    stratum[stratum == 3] = 0
    for shift in (np.zeros(128), 0.02 * (stratum > 0), 0.05 * (stratum == 1)):  # within what chance does
        assert checks.public_tasks(accuracy + shift, stratum).status == "passed"
    assert checks.public_tasks(np.full(128, 0.5), stratum).status == "passed"
    for knows in (stratum > 0, stratum == 1, stratum == 2):
        assert checks.public_tasks(accuracy + 0.4 * knows, stratum).status == "failed"


def test_evaluate_audits_sequence_learners():
    honest, cheater = make_transformer(SUITE.info), CHEATERS["causal mask off"][0](SUITE.info)
    assert evaluate(honest, SUITE, num_tasks=2).evidence.startswith("audit passed (quick, ")
    failed = evaluate(cheater, SUITE, num_tasks=2)
    assert "AUDIT FAILED: label at t, later labels" in failed.evidence
    assert "AUDIT FAILED" in repr(failed)
    assert evaluate(cheater, SUITE, num_tasks=2, audit="off").evidence == "NOT AUDITED"
    assert failed.times.audit > 0
    unaudited = evaluate(nearest, SUITE, num_tasks=2)
    assert unaudited.audit is None
    assert unaudited.evidence == "not audited; labels withheld by the harness"
    assert evaluate(nearest, SUITE, num_tasks=2, audit="quick").evidence.startswith("audit passed")
    assert (
        evaluate(nearest, SUITE, num_tasks=70, positions=[5], audit="quick").audit.check("scored answers").comparisons
        == 64
    )


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: audit(nearest, "digits-proj-perm-v1"), errors.VersionNotFound),
        (lambda: audit(nearest, SUITE, "full", seed="12"), errors.InvalidArgument),
        (lambda: audit(nearest, SUITE, "full", learner_seed=-1), errors.InvalidArgument),
        (lambda: audit(42, SUITE), errors.LearnerError),
        (lambda: audit(lambda context_x, context_y, query_x: None, SUITE), errors.LearnerError),
    ],
)
def test_bad_input(call, kind):
    with pytest.raises(kind):
        call()


def test_a_short_suite_can_be_audited():
    assert audit(nearest, make("digits-proj-perm-v0", num_examples=2), "quick", seed=SEED).comparisons > 0


def run(*arguments):
    command = [sys.executable, "-W", "error", "-m", "gpicl_bench", "audit", *map(str, arguments)]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)


def test_the_command_and_its_exit_status(tmp_path):
    passed = run("baselines/nearest_neighbour.py", "--level", "quick", "--seed", SEED)
    assert passed.returncode == 0, passed.stderr
    assert f"--seed {SEED} repeats it" in passed.stdout
    cheater = tmp_path / "cheater.py"
    cheater.write_text("from tests.cheaters import CHEATERS\nmake_learner = CHEATERS['causal mask off'][0]\n")
    failed = run(cheater, "--level", "quick")
    assert failed.returncode == 1, failed.stderr
    assert "later labels     failed" in failed.stdout
    assert "follows the label at" in failed.stdout
    missing = run("missing.py")
    assert missing.returncode == 2
    assert "Traceback" not in missing.stderr


def test_a_file_that_runs_here_only_fails(tmp_path):
    path = tmp_path / "mine.py"
    path.write_text("import os, numpy as np\nif os.environ.get('PYTHONHASHSEED') == '2718':\n    raise RuntimeError('not here')\n"
                    "def learner(context_x, context_y, query_x):\n    return np.array([1])\n")  # fmt: skip
    check = audit(load_learner(path, SUITE.info), SUITE, seed=SEED).check("fresh process")
    assert check.status == "failed"
    assert "does not run there" in check.detail
    assert "not here" in check.detail


def test_a_check_that_was_not_made_is_named():
    found = audit(CHEATERS["dropout without a key"][0](SUITE.info), SUITE, "quick", seed=SEED)
    with pytest.raises(errors.InvalidArgument, match=r"(?s)was not made.*equal runs"):
        found.check("later labels")
