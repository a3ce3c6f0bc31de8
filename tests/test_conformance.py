"""The contract of suites and learners: kept by all that the project has, and broken by no one unnoticed."""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from sklearn.neighbors import KNeighborsClassifier
from sklearn.tree import DecisionTreeClassifier

from baselines.reference import CLASSICAL
from gpicl_bench import (
    Suite,
    SuiteSpec,
    check_learner,
    check_suite,
    errors,
    load_learner,
    make,
    register,
    register_dataset,
    sequence_learner,
)
from gpicl_bench.conformance import suites
from gpicl_bench.datasets import load_part
from gpicl_bench.registration import SPLITS
from gpicl_bench.sampling import sampler
from gpicl_bench.suite import Episode, Split
from tests.conftest import ROOT
from tests.learners import Guess, JaxMean, StepNearest, constant, guess, nearest, scored_nearest, sequence_nearest
from tests.samples import suites_at_hand

DIGITS = "digits-proj-perm-v0"


@pytest.mark.parametrize("id", suites_at_hand())
def test_every_suite_conforms(id):
    found = {outcome.check: outcome.status for outcome in check_suite(id)}
    assert set(found) == set(suites._CHECKS)
    by_design = {"held-out images"} if "random" in id else set()
    without = set() if "-proj-" in id else {"projection"}
    assert {check for check, status in found.items() if status == "not applicable"} == by_design | without
    suite = make(id)
    assert suite.of_record
    assert set(suite.spec.fingerprints) == set(SPLITS)
    assert not np.array_equal(suite.meta_train.label_map(0), suite.meta_train.label_map(1))


@pytest.mark.parametrize("name", CLASSICAL)
def test_every_reference_learner_conforms(name):
    found = check_learner(load_learner(ROOT / "baselines" / f"{name}.py", make(DIGITS).info))
    assert {"card", "form", "answers", "asked again", "number of tasks", "honeypots"} <= {o.check for o in found}


FORMS = {
    "callable": nearest,
    "scores": scored_nearest,
    "constant": constant,
    "step": StepNearest(),
    "jax": JaxMean(make(DIGITS).info),
    "sequence": sequence_nearest,
    "scikit-learn": KNeighborsClassifier(1),
    "without a random state": DecisionTreeClassifier(max_features=1),
    "stochastic": guess,
    "stochastic step": Guess(),
}


@pytest.mark.parametrize("form", FORMS)
def test_learners_of_every_form_conform(form):
    suite = make("digits-none-perm-v0", num_examples=12)
    assert not [outcome for outcome in check_learner(FORMS[form], suite) if outcome.status == "failed"]


def broken(**methods):
    """A suite of which one split method is replaced: what it must be is known from the real one."""

    class Other(Split):
        pass

    for name, method in methods.items():
        setattr(Other, name, method)

    class Broken(Suite):
        def __init__(self, spec, round_seed=None):
            super().__init__(spec, round_seed)
            for name in ("meta_train", "meta_validation", "meta_test"):
                split = getattr(self, name)
                setattr(self, name, Other(split.spec, split.task_set, split.images))

    return Broken(make(DIGITS, num_examples=20).spec)


def changed(**fields):
    """Episodes with other arrays."""

    def episode(self, i, e=0):
        real = Split.episode(self, i, e)
        return Episode(**{**vars(real), **{name: change(getattr(real, name)) for name, change in fields.items()}})

    return broken(episode=episode)


counted = iter(range(10**9))
SUITES = {
    "float64": (changed(x=lambda x: x.astype(float)), {"shapes"}, "float64|f64"),
    "scaled": (changed(x=lambda x: x * np.float32(8)), {"inputs", "sampler"}, "x is another"),
    "infinite": (changed(x=lambda x: x / 0), {"shapes"}, "x is not finite"),
    "labels": (changed(y=lambda y: (y + 1) % 10), {"label maps"}, "y is another"),
    "range": (changed(y=lambda y: y + 9), {"shapes"}, "y is out of range.*0 … 9"),
    "images": (changed(indices=lambda i: np.roll(i, 1)), {"label maps", "inputs"}, "is another"),
    "twice": (changed(indices=lambda i: i * 0), {"shapes"}, "an image comes twice.*expected 20, got 1"),
    "short": (changed(x=lambda x: x[:5]), {"shapes", "inputs"}, "other arrays|Expected type"),
    "variance": (
        broken(task=lambda self, i: replace(task := Split.task(self, i), projection=task.projection // 8)),
        {"projection", "inputs"},
        "the variance of A is another",
    ),
    "seed": (broken(at_seed=lambda self, seed: self), {"seeds and splits", "streams"}, "are the same"),
    "state": (
        broken(_indices=lambda self, part, i, e: (np.arange(20, dtype=np.int32) + next(counted)) % len(part)),
        {"determinism"},
        "another episode",
    ),
    "one stream": (
        broken(key=lambda self, stream: Split.key(replace(self, task_set="meta_train"), stream)),
        {"streams", "seeds and splits"},
        "two streams are one",
    ),
    "permutation": (
        broken(label_map=lambda self, i: Split.label_map(self, i) // 2),
        {"label maps"},
        "the label map is another",
    ),
    "batches": (
        broken(batch=lambda self, step, *rest: Split.batch(self, step + 1, *rest)),
        {"batches", "sampler"},
        "a slot is another",
    ),
    "raises": (broken(labels=lambda self, i, e=0: 1 // 0), {"label maps"}, "ZeroDivisionError"),
}


@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
@pytest.mark.parametrize("name", SUITES)
def test_a_suite_that_breaks_the_contract_is_caught(name):
    suite, checks, says = SUITES[name]
    with pytest.raises(errors.ConformanceError, match=f"(?s){DIGITS} fails .*({says})") as caught:
        check_suite(suite)
    failed = {outcome.check for outcome in caught.value.outcomes if outcome.status == "failed"}
    assert checks <= failed
    assert all(check in str(caught.value) for check in failed)


def test_arrays_of_another_kind_are_told_to_those_who_check_no_types():
    """In a process without the tests' type checks."""
    program = """
import gpicl_bench, gpicl_bench.conformance
from tests.test_conformance import SUITES
for name in ("float64", "short"):
    try:
        gpicl_bench.check_suite(SUITES[name][0])
    except gpicl_bench.errors.ConformanceError as error:
        print(error)
"""
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "shapes: an episode has other arrays, expected {'x': ((20, 64), 'float32')" in done.stdout
    assert "got {'x': ((20, 64), 'float64')" in done.stdout
    assert "got {'x': ((5, 64), 'float32')" in done.stdout


def test_a_sampler_with_other_bits_is_caught(monkeypatch):
    monkeypatch.setattr(sampler, "seal", lambda x, whole, key: x * 2)
    with pytest.raises(errors.ConformanceError, match="fails 1 of 13 .*\n  sampler: the JAX sampler differs"):
        check_suite(make("digits-proj-perm-v0", num_examples=6))


def test_wrong_pins_and_strange_specifications_are_caught():
    pins = {**make(DIGITS).spec.fingerprints, "meta_validation": "0" * 64}
    with pytest.raises(
        errors.ConformanceError, match=r"(?s)another suite is registered.*what is pinned|not what its id"
    ):
        check_suite(Suite(SuiteSpec(DIGITS, fingerprints=pins)))
    with pytest.raises(errors.ConformanceError, match="\n  id: another suite is registered"):
        check_suite(Suite(SuiteSpec("digits-proj-perm-v8")))


def test_images_that_are_not_held_out_are_caught(forget):
    rng = np.random.default_rng(0)
    images, labels = rng.integers(0, 256, (60, 3, 3)), np.arange(60) % 2
    register_dataset("leaky", train=(images, labels), test=(images[:40], labels[:40]))
    register(SuiteSpec("leaky-none-perm-v0", num_examples=9))
    with pytest.raises(
        errors.ConformanceError, match="held-out images: .*up to 1%: 0 of 40, got 40 copies, where leaky"
    ):
        check_suite("leaky-none-perm-v0")


def test_images_of_training_under_another_name_are_caught(forget):
    """A split that draws from train what it says it draws from test; both parts are of one size."""
    rng = np.random.default_rng(1)
    images, labels = rng.integers(0, 256, (80, 3, 3)), np.arange(80) % 2
    register_dataset("twins", train=(images[:40], labels[:40]), test=(images[40:], labels[40:]))
    register(SuiteSpec("twins-none-perm-v0", num_examples=9))
    suite = make("twins-none-perm-v0")
    check_suite(suite)
    suite.meta_test = type("Leaky", (Split,), {"part": property(lambda self: load_part("twins", "train"))})(
        suite.spec, "meta_test", "test"
    )
    with pytest.raises(errors.ConformanceError, match="a split shows other images.*twins-none-perm-v0, meta_test"):
        check_suite(suite)


@pytest.mark.parametrize("check", [check_suite, lambda suite: check_learner(nearest, suite)])
def test_images_that_are_not_here_are_nobodys_fault(check, own_cache, no_back_off, monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    with pytest.raises(errors.DataUnavailable, match="kmnist"):
        check("kmnist-none-perm-v0")


@pytest.mark.parametrize("transforms", ["proj-perm", "pixperm-none", "none-none"])
def test_the_smallest_suites_conform(forget, transforms):
    """Two examples of two classes in two pixels: nothing differs by chance alone."""
    images = np.arange(24, dtype=np.uint8).reshape(-1, 2)
    register_dataset("least", train=(images[:6], np.arange(6) % 2), test=(images[6:], np.arange(6) % 2))
    register(SuiteSpec(f"least-{transforms}-v0", num_examples=2))
    found = {outcome.check: outcome.status for outcome in check_suite(f"least-{transforms}-v0")}
    assert found["fingerprints"] == "not applicable"  # nothing is pinned


def test_a_round_and_another_length_conform():
    check_suite(make("digits-none-perm-v0").at_round("cd" * 32))
    check_suite(make("digits-pixperm-perm-v0", num_examples=7))


@sequence_learner
def peeking(x, y):
    return np.eye(10)[y]


def wide(context_x, context_y, query_x):
    return np.array([11])


def writing(context_x, context_y, query_x):
    context_x.flags.writeable = True
    context_x[:] = 0
    return np.array([0])


def moody(context_x, context_y, query_x):
    return np.array([next(counted) % 7 % 3])


def carded(context_x, context_y, query_x):
    return np.array([0])


carded.card = {"stochastik": True}


@pytest.mark.parametrize(
    ("learner", "checks", "says"),
    [
        (peeking, {"label at t"}, "position .* follows the label at"),
        (wide, {"answers"}, "a label is out of range, expected 0 … 9, got 11"),
        (writing, {"inputs untouched"}, "wrote into argument 0"),
        (moody, {"equal runs"}, "differs when asked again"),
        (carded, {"card", "form"}, "card, form: a card has an unknown field"),
        (42, {"form"}, "this is no learner"),
        (KNeighborsClassifier(50), {"answers"}, "the learner raised an error"),
    ],
)
def test_a_learner_that_breaks_the_contract_is_caught(learner, checks, says):
    with pytest.raises(errors.ConformanceError, match=f"(?s)fails .*{says}") as caught:
        check_learner(learner, make("digits-none-perm-v0", num_examples=12))
    assert checks <= {outcome.check for outcome in caught.value.outcomes if outcome.status == "failed"}


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda: check_suite(7), errors.InvalidArgument),
        (lambda: check_suite("digit-proj-perm-v0"), errors.SuiteNotFound),
        (lambda: check_learner(nearest, 7), errors.InvalidArgument),
        (lambda: check_learner(nearest, DIGITS, "slow"), errors.InvalidArgument),
    ],
)
def test_bad_arguments_are_refused(call, kind):
    from jaxtyping import TypeCheckError

    with pytest.raises((kind, TypeCheckError)):
        call()
