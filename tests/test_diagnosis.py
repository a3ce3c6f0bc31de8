"""The diagnosis: planted learners, the rule, symmetries, the ledger, files, and cards that contradict their learner."""

import json
import math
import re
from contextlib import nullcontext
from dataclasses import replace
from itertools import pairwise

import equinox as eqx
import jax
import numpy as np
import pytest
import scipy.sparse

import baselines
import gpicl_bench
from gpicl_bench import diagnose, evaluate, load_diagnosis, load_learner, load_result, make, sequence_learner
from gpicl_bench.commands import main
from gpicl_bench.datasets.loading import at_hand
from gpicl_bench.diagnosing.asking import ask_cell, drawn, positions
from gpicl_bench.diagnosing.cell import Cell
from gpicl_bench.diagnosing.ledger import _size, parameters, state_bytes
from gpicl_bench.diagnosing.phase import phase
from gpicl_bench.errors import GpiclBenchError, InvalidArgument, LearnerError, ResultError
from gpicl_bench.learners import adapt
from gpicl_bench.streams import root_key
from tests import planted, synthetic
from tests.conftest import ROOT
from tests.learners import JaxMean, StepNearest, constant, nearest

SUITE = planted.SUITE
WEIGHTS = ROOT / "baselines" / "weights" / SUITE


@pytest.fixture(autouse=True)
def alone(request, monkeypatch):
    """Other base datasets are asked where a test is about them; else the time is better spent."""
    if "other" not in request.node.name:
        monkeypatch.setattr("gpicl_bench.diagnosing.running.other_suites", lambda suite: [])


@pytest.fixture(scope="module")
def found():
    """One diagnosis of 1-NN, as a file."""
    return diagnose(load_learner(ROOT / "baselines" / "nearest_neighbour.py", make(SUITE).info), SUITE, 64)


@pytest.mark.parametrize(
    "name", ["1-NN without a card", "look-up table, 4 tasks", "nearest seen task, 8", "constant", "boundary of 1-NN"]
)
def test_planted_learners_are_told_apart(name):
    maker, verdict, suite = planted.PLANTED[name]
    assert diagnose(maker(3), suite, seed=3).verdict == verdict


def test_labels_alone_are_no_learning_however_unequal_the_classes(forget):
    planted.register_unequal()
    learner = planted.prior_only(planted.NONE)
    result = evaluate(learner, planted.OTHER_SUITE, 64, audit="off")
    assert result.accuracy[-1] - result.accuracy[0] > 0.3  # its accuracy grows all the same
    assert diagnose(learner, planted.OTHER_SUITE, 256).verdict == "no learning"


def cell(tasks, images, knowledge, improvement, noise=0.0, suite=SUITE):
    """A cell whose two numbers are given: 1,000 episodes, one early and one late position."""
    rng = np.random.default_rng(5)
    early = np.arange(1000) < 1000 * knowledge
    late = np.arange(1000) < 1000 * (knowledge + improvement)
    outcome = rng.permutation(np.stack([early, late], axis=1))
    return Cell(
        tasks,
        images,
        suite,
        "meta_test",
        1000,
        (0, 99),
        1,
        outcome,
        np.zeros((1000, 2), np.float32),
        np.ones((1000, 2), np.float32),
    )


def cells(unseen=(0.0, 0.0), train=(0.0, 0.0), held_out=(0.0, 0.0), others=(), nearest=(0.1, 0.7)):
    return [
        cell("unseen", "test", *unseen),
        cell("yardstick", "test", *nearest),
        cell("seen", "train", *train),
        cell("seen", "test", *held_out),
        *[cell("other", "test", 0.0, gain, suite=f"other{n}-proj-perm-v0") for n, gain in enumerate(others)],
    ]


@pytest.mark.parametrize(
    ("verdict", "given", "seen"),
    [
        ("general learning", {"unseen": (0.1, 0.5)}, "known"),
        ("general learning", {"unseen": (0.1, 0.5)}, "unknown"),
        ("general learning", {"unseen": (0.1, 0.5), "others": (0.0, 0.3)}, "none"),
        ("undetermined", {"unseen": (0.1, 0.5), "others": (0.0, 0.0)}, "known"),
        ("undetermined", {"unseen": (0.0, 0.15)}, "known"),
        ("undetermined", {"unseen": (0.3, 0.0)}, "known"),
        ("undetermined", {}, "unknown"),
        ("undetermined", {"nearest": (0.1, 0.0)}, "none"),
        ("undetermined", {"nearest": (0.1, 0.15)}, "known"),
        ("no learning", {}, "none"),
        ("no learning", {}, "known"),
        ("task identification", {"train": (0.2, 0.4), "held_out": (0.2, 0.4)}, "known"),
        ("task identification", {"train": (1.0, 0.0), "held_out": (0.2, 0.4)}, "known"),
        ("task identification", {"train": (0.0, 0.4)}, "known"),
        ("undetermined", {"train": (0.0, 0.15)}, "known"),
        ("instance memorisation", {"train": (0.9, 0.0), "held_out": (0.4, 0.0)}, "known"),
        ("instance memorisation", {"train": (0.9, -0.2)}, "known"),
        ("undetermined", {"train": (0.15, 0.0)}, "known"),
    ],
)
def test_the_rule_is_as_stated(verdict, given, seen):
    decided = phase(cells(**given), seen, "no card")
    assert decided.verdict == verdict
    assert decided.reason


def test_the_numbers_of_a_cell_are_means_with_intervals():
    about = cell("unseen", "test", 0.2, 0.3)
    assert (about.knowledge.value, about.accuracy_early.value) == (pytest.approx(0.2), pytest.approx(0.2))
    assert about.improvement.value == pytest.approx(0.3)
    spread = 1.96 * math.sqrt(0.3 * 0.7 / 1000)  # of the difference: 1 in three tenths of the episodes, else 0
    assert about.improvement.low == pytest.approx(0.3 - spread, abs=0.004)
    assert about.improvement.high == pytest.approx(0.3 + spread, abs=0.004)


@pytest.mark.parametrize("id", [SUITE, "random-none-perm-v0"])
def test_expected_is_the_share_of_the_predicted_label_among_what_is_left(id):
    suite = make(id, num_examples=20)
    asked = ask_cell(
        adapt(planted.prior_only({}), suite.info, "prior"), "unseen", suite.meta_test, [(5, 2)], root_key("t"), int
    )
    episode, task, part = suite.meta_test.episode(5, 2), suite.meta_test.task(5), suite.meta_test.part
    labels = task.label_map[part.labels].tolist()
    for column, k in enumerate(asked.positions):
        shown = episode.y[:k].tolist()
        guess = max(range(10), key=lambda c: (shown.count(c), -c))
        drawn = [] if suite.spec.dataset == "random" else shown
        share = (labels.count(guess) - drawn.count(guess)) / (len(labels) - len(drawn))
        truth = (labels.count(episode.y[k]) - drawn.count(episode.y[k])) / (len(labels) - len(drawn))
        assert asked.expected[0, column] == np.float32(share)
        assert asked.attainable[0, column] == np.float32(1 - truth)
        assert asked.outcome[0, column] == (episode.y[k] == guess)


@pytest.mark.parametrize(("length", "early", "late"), [(2, 1, 1), (10, 1, 1), (100, 5, 10), (1000, 5, 100)])
def test_positions_are_the_first_few_and_the_last_tenth(length, early, late):
    asked, count = positions(length)
    assert (count, len(asked)) == (early, early + late)
    assert asked.tolist() == [*range(early), *range(length - late, length)]


def test_one_nearest_neighbour_is_exactly_equivariant(found):
    assert found.symmetry("relabelling").agree.all()
    assert found.symmetry("context order").agree.all()
    assert found.symmetry("feature permutation").share.value > 0.99
    assert found.symmetry("orthogonal maps").share.value > 0.99
    assert found.symmetry("relabelling").share.low < 1  # 128 tasks prove no more
    with pytest.raises(InvalidArgument, match="no such symmetry"):
        found.symmetry("time reversal")


def test_a_learner_without_symmetry_has_none():
    """It reads one coordinate of the query, and the last example."""

    def learner(context_x, context_y, query_x):
        return [int(query_x[0, 0] > 0) + 2 * int(context_x[-1:, 0].sum() > 0)]

    shares = {s.name: s.share.value for s in diagnose(learner, SUITE, 2).symmetries}
    assert shares["relabelling"] < 0.4
    assert all(0.2 < shares[name] < 0.8 for name in ("context order", "orthogonal maps", "feature permutation"))


def test_vsml_is_equivariant_by_its_equations():
    found = diagnose(baselines.load("vsml", SUITE), make(SUITE, num_examples=12), 2)
    assert found.symmetry("relabelling").share.value > 0.99
    assert found.symmetry("feature permutation").share.value > 0.99


@pytest.mark.parametrize(
    ("model", "tokens", "floats"),
    [
        ("transformer", "paired", lambda c: 2 * c.layers * 100 * c.heads * c.head_size + 64 + 1),
        ("transformer", "shifted", lambda c: 2 * c.layers * 100 * c.heads * c.head_size + 1),
        ("lstm", "shifted", lambda c: 2 * c.hidden + 1),
        ("lstm", "paired", lambda c: 2 * c.hidden + 64 + 1),
    ],
)
def test_the_state_has_the_bytes_of_its_formula(model, tokens, floats):
    """Keys and values, or c and h; t; with paired tokens the example before: 4 bytes a number."""
    learner = baselines.load(model, SUITE, tokens)
    ledger = diagnose(learner, SUITE, 2).ledger
    assert ledger.state_bytes == 4 * floats(learner.model.config)
    training = learner.card["meta_training"]
    assert training["steps"] > 0 < training["seconds"]
    assert training["hardware"]
    assert ledger.parameters == sum(
        leaf.size for leaf in jax.tree.leaves(eqx.filter(learner.model, eqx.is_inexact_array))
    )
    assert ledger.first_seconds > 0 < ledger.episode_seconds


def test_a_state_that_grows_is_measured_at_its_largest():
    ledger = diagnose(StepNearest(), make(SUITE, num_examples=10), 2).ledger
    assert ledger.state_bytes == 9 * (64 * 4 + 8) + 64 * 4  # nine examples with labels, and the last input


def test_jax_states_and_missing_ones():
    info = make(SUITE).info
    assert diagnose(JaxMean(info), SUITE, 2).ledger.state_bytes == 4 * (10 * 64 + 10 + 64)
    none = diagnose(nearest, SUITE, 2).ledger
    assert none.state_bytes is None
    assert "whole context" in none.state


def test_a_state_of_an_unknown_kind_is_said_to_be_unknown():
    class Odd:
        def init(self):
            return object()

        def step(self, state, x, y_prev):
            return state, np.zeros(10)

    ledger = diagnose(Odd(), SUITE, 2).ledger
    assert ledger.state_bytes is None
    assert "object" in ledger.state


class Both:
    """1-NN as sequences and in steps; or with steps that answer otherwise, or fail."""

    def __init__(self, steps="1-NN", jax=False):
        self.steps, self.jax = steps, jax

    def __call__(self, x, y):
        rows = []
        for inputs, labels in zip(x, y, strict=True):
            state, scores = StepNearest().init(), []
            for t in range(len(labels)):
                state, answer = StepNearest().step(state, inputs[t], int(labels[t - 1]) if t else -1)
                scores.append(answer)
            rows.append(scores)
        return np.array(rows)

    def init(self):
        return jax.numpy.zeros(5) if self.jax else StepNearest().init()

    def step(self, state, x, y_prev):
        if self.steps == "none":
            raise NotImplementedError("no steps")
        if self.jax:
            return state, jax.numpy.zeros(10).at[3].set(1)
        state, scores = StepNearest().step(state, x, y_prev)
        return state, scores if self.steps == "1-NN" else -scores


@pytest.mark.parametrize(
    ("learner", "size", "state"),
    [
        (Both(), 9 * (64 * 4 + 8) + 64 * 4, "largest"),
        (Both("other"), None, "not measured: the step form answers otherwise"),
        (Both("other", jax=True), None, "not measured: the step form answers otherwise"),
        (Both("none"), None, "not measured: NotImplementedError: no steps"),
        (Both("none", jax=True), None, "not measured: NotImplementedError: no steps"),
    ],
)
def test_a_step_form_that_is_not_asked_must_answer_alike(learner, size, state):
    """Else its state is that of another learner."""
    suite = make(SUITE, num_examples=10)
    adapter = adapt(sequence_learner(learner), suite.info, "both")
    block = drawn(suite.meta_test, [(0, 0), (1, 0)], root_key("t"))
    found, how = state_bytes(learner, adapter, block)
    assert (found, how.startswith(state)) == (size, True), how


HUNDRED = np.zeros(100)


@pytest.mark.parametrize(
    ("state", "size"),
    [
        (3, 8),
        (True, 8),
        (2**80000, 10001),
        (-1.5, 8),
        (np.float32(1), 4),
        (HUNDRED, 800),
        ({"a": HUNDRED, "b": (HUNDRED, None)}, 800),
        ([HUNDRED[:50], HUNDRED[50:], HUNDRED[::-2]], 800),
        (np.broadcast_to(np.zeros(1), (1000, 1000)), 8),
        (np.lib.stride_tricks.sliding_window_view(np.zeros(10), 3), 80),
        (np.zeros((0, 5)), 0),
        (np.ma.array(np.zeros(10), mask=np.zeros(10, bool)), 90),
        (np.ma.array(np.zeros(10)), 80),
        (jax.numpy.zeros(3), 12),
        ([jax.numpy.ones(3)] * 3, 12),
        (jax.ShapeDtypeStruct((3,), jax.numpy.bfloat16), 6),
    ],
    ids=range(16),
)
def test_a_state_has_the_bytes_of_its_memory(state, size):
    assert _size(state) == size


@pytest.mark.parametrize(
    "state",
    [
        np.array([object()]),
        np.zeros(2, [("a", object)]),
        scipy.sparse.eye(10).tocsr(),
        type("Lookalike", (), {"dtype": np.dtype("f4"), "shape": (1,)})(),
    ],
)
def test_what_only_looks_like_an_array_is_of_an_unknown_kind(state):
    with pytest.raises(TypeError, match=r"array of objects|unknown kind"):
        _size(state)


class Module:
    """As much of a module as counting needs."""

    def __init__(self, *sizes):
        self.sizes = sizes

    def state_dict(self):
        return {}

    def parameters(self):
        return [type("Parameter", (), {"numel": lambda self, size=size: size})() for size in self.sizes]


@pytest.mark.parametrize(
    ("learner", "claimed", "count"),
    [(Module(3, 4), 7, 7), (Module(3, 4), None, 7), (Module(), None, None), (Module(), 7, 7), (nearest, 7, 7)],
)
def test_parameters_are_those_of_the_module_or_of_the_card(learner, claimed, count):
    assert parameters(learner, {} if claimed is None else {"parameters": claimed}, "x") == count
    with pytest.raises(LearnerError, match="the card contradicts the learner"):
        parameters(Module(3), {"parameters": 7}, "x")


def test_an_error_of_the_ledger_names_its_episode():
    def broken(context_x, context_y, query_x):
        raise RuntimeError("mine")

    with pytest.raises(LearnerError, match="where: broken, the ledger's episode, position 0"):
        diagnose(broken, SUITE, 2)


def test_equal_seeds_give_equal_diagnoses_and_others_do_not(found):
    again = diagnose(load_learner(ROOT / "baselines" / "nearest_neighbour.py", make(SUITE).info), make(SUITE), 64)
    other = diagnose(load_learner(ROOT / "baselines" / "nearest_neighbour.py", make(SUITE).info), SUITE, 64, seed=1)
    assert all(np.array_equal(a.outcome, b.outcome) for a, b in zip(found.cells, again.cells, strict=True))
    assert not np.array_equal(found.cells[0].outcome, other.cells[0].outcome)
    assert found.cells[0].task_set != other.cells[0].task_set


def test_small_pools_are_asked_in_several_episodes():
    found = diagnose(planted.look_up_table(3, 0), SUITE, 10)
    seen = [cell for cell in found.cells if cell.tasks == "seen"]
    assert [(cell.num_tasks, len(cell.outcome), cell.images) for cell in seen] == [(3, 10, "train"), (3, 10, "test")]
    assert seen[0].outcome.all()


def test_tasks_of_a_large_pool_are_all_of_it():
    learner = planted.constant(planted.card(2**40, 7))
    seen = [cell for cell in diagnose(learner, SUITE, 8).cells if cell.tasks == "seen"]
    assert seen[0].num_tasks == 8
    assert {cell.task_set for cell in seen} == {"meta_train@0000000000000007"}


@pytest.mark.parametrize(
    ("card", "why"),
    [
        ({}, "does not say"),
        ({"meta_training": {"suite": SUITE}}, "num_tasks, seed"),
        ({"meta_training": {"num_tasks": 4, "seed": 1}}, "suite"),
    ],
)
def test_what_was_seen_is_unknown_without_a_whole_card(card, why):
    found = diagnose(planted.constant(card), SUITE, 256)
    assert found.seen == "unknown"
    assert found.verdict == "undetermined (seen tasks unknown)"
    assert why in found.unmeasured["seen tasks"]
    assert why in found.phase.reason


@pytest.mark.parametrize(
    ("training", "message"),
    [
        ({"suite": "nist-proj-perm-v0", "num_tasks": 4, "seed": 0}, "its suite does not exist"),
        ({"suite": "digits", "num_tasks": 4, "seed": 0}, "its suite does not exist"),
        ({"suite": SUITE, "num_tasks": 0, "seed": 0}, "meta_training.num_tasks is malformed"),
        ({"suite": SUITE, "num_tasks": True, "seed": 0}, "meta_training.num_tasks is malformed"),
        ({"suite": SUITE, "num_tasks": 10**400, "seed": 0}, "meta_training.num_tasks is malformed"),
        ({"suite": SUITE, "num_tasks": 4, "seed": -1}, "meta_training.seed is malformed"),
        ({"suite": SUITE, "epochs": 4}, "unknown field"),
        ("digits", "meta_training is malformed"),
    ],
)
def test_a_card_that_cannot_be_true_is_named(training, message):
    with pytest.raises((LearnerError, InvalidArgument), match=message):
        diagnose(planted.constant({"meta_training": training}), SUITE, 8)


def test_a_card_of_a_suite_that_the_learner_cannot_answer_on_is_named():
    @sequence_learner
    def learner(x, y):
        return x @ np.ones((64, 10), np.float32)

    learner.card = {"meta_training": {"suite": "random-proj-perm-v0", "num_tasks": 4, "seed": 0}}
    with pytest.raises(LearnerError, match="the card contradicts the learner") as caught:
        diagnose(learner, SUITE, 8)
    assert "D = 784" in str(caught.value)


def test_a_learner_of_any_shape_is_asked_on_the_suite_of_its_card():
    """VSML's weights, trained on 8×8 digits, asked about 28×28 images: its seen tasks are those of digits."""
    suite = make("random-proj-perm-v0", num_examples=4)
    vsml = load_learner(ROOT / "baselines" / "vsml.py", suite.info, {"checkpoint": str(WEIGHTS / "vsml-paired")})
    cells = diagnose(vsml, suite, 2).cells
    assert [cell.suite for cell in cells if cell.tasks == "seen"] == [SUITE, SUITE]


def test_a_longer_episode_than_the_card_allows_is_named():
    shifted = load_learner(
        ROOT / "baselines" / "transformer.py",
        make(SUITE).info,
        {"checkpoint": str(WEIGHTS / "transformer-shifted")},
    )
    with pytest.raises(LearnerError, match="longer than this learner can take"):
        diagnose(shifted, make(SUITE, num_examples=120), 2)


@pytest.mark.parametrize("arguments", [{"num_episodes": 1}, {"seed": -1}, {"learner_seed": 2**64}])
def test_arguments_out_of_range_are_named(arguments):
    with pytest.raises(InvalidArgument, match=next(iter(arguments))):
        diagnose(nearest, SUITE, **arguments)


def test_short_episodes_and_few_of_them():
    found = diagnose(nearest, make(SUITE, num_examples=2), 2)
    assert [symmetry.name for symmetry in found.symmetries][:1] == ["relabelling"]
    assert found.phase.verdict == "undetermined"


def test_a_suite_of_one_task_has_no_unseen_ones(forget):
    gpicl_bench.register("digits-none-none-v0")
    found = diagnose(nearest, "digits-none-none-v0", 64)
    assert found.cells[0].improvement.low > 0.2
    assert (found.phase.verdict, "one task" in found.phase.reason) == ("undetermined", True)


def test_a_stochastic_learner_takes_its_keys():
    from tests.learners import Guess, guess

    for learner in (guess, Guess()):
        suite = make(SUITE, num_examples=4)
        one, same, other = (diagnose(learner, suite, 16, learner_seed=seed) for seed in (1, 1, 2))
        assert np.array_equal(one.cells[0].outcome, same.cells[0].outcome)
        assert not np.array_equal(one.cells[0].outcome, other.cells[0].outcome)


def test_other_base_datasets_of_the_same_shape_are_asked_and_missing_ones_named(monkeypatch, tmp_path):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(tmp_path))
    assert at_hand("digits")
    assert at_hand("random_rgb32")
    assert not at_hand("mnist")
    assert not at_hand("cifar10_28")
    found = diagnose(nearest, make("random-proj-perm-v0", num_examples=4), 2)
    assert found.unmeasured["mnist-proj-perm-v0"] == "its images are not on this machine"
    assert not [cell for cell in found.cells if cell.tasks == "other"]


def test_real_images_are_other_base_datasets(prepared_data):
    found = diagnose(nearest, make("random-proj-perm-v0", num_examples=4), 2)
    assert "mnist-proj-perm-v0" in [cell.suite for cell in found.cells if cell.tasks == "other"]


def test_a_file_gives_the_same_diagnosis(found, tmp_path):
    found.save(tmp_path / "d.json")
    again = load_diagnosis(tmp_path / "d.json")
    assert (again.phase, again.ledger, again.question) == (found.phase, found.ledger, found.question)
    assert [s.share for s in again.symmetries] == [s.share for s in found.symmetries]
    again.save(tmp_path / "again.json")
    assert (tmp_path / "again.json").read_text() == (tmp_path / "d.json").read_text()
    assert str(ROOT) not in (tmp_path / "d.json").read_text()


def edits(content):
    """Each field, changed or missing; the digest is made anew for half of them by the caller."""
    yield "seen", {**content, "seen": "known"}
    yield "verdict", {**content, "summary": {**content["summary"], "verdict": "no learning"}}
    yield "format", {**content, "format": "gpicl-bench-result/1"}
    yield "missing", {k: v for k, v in content.items() if k != "cells"}
    yield "no answers", {**content, "cells": [{k: v for k, v in c.items() if k != "outcome"} for c in content["cells"]]}
    yield "other answers", {**content, "cells": [{**c, "outcome": c["expected"][:40]} for c in content["cells"]]}
    yield "twice", {**content, "cells": [content["cells"][0]] * 2}
    yield "positions", {**content, "cells": [{**c, "positions": [0, 1]} for c in content["cells"]]}
    yield "name", {**content, "learner": {**content["learner"], "name": 7}}
    yield "extra", {**content, "question": {**content["question"], "note": "x"}}
    yield "rule", {**content, "question": {**content["question"], "rule": "mine"}}
    yield "episodes", {**content, "question": {**content["question"], "num_episodes": 10**9}}


@pytest.mark.parametrize("number", range(12))
@pytest.mark.parametrize("careful", [False, True])
def test_edited_files_are_refused(found, tmp_path, number, careful):
    from gpicl_bench.diagnosing.storage import _digest

    found.save(tmp_path / "d.json")
    content = json.loads((tmp_path / "d.json").read_text())
    _, edited = list(edits(content))[number]
    if careful and "digest" in edited:
        edited = {**edited, "digest": _digest(edited)}
    (tmp_path / "d.json").write_text(json.dumps(edited))
    with pytest.raises(ResultError):
        load_diagnosis(tmp_path / "d.json")


def asked(found, **changes):
    return replace(found, question=replace(found.question, **changes))


def first(found, **changes):
    return replace(found, cells=(replace(found.cells[0], **changes), *found.cells[1:]))


def on(found, *cells):
    """These cells: (kind, images, suite)."""
    made = tuple(replace(found.cells[0], tasks=tasks, images=images, suite=suite) for tasks, images, suite in cells)
    return replace(found, cells=made)


BOTH = ("unseen", "test", SUITE), ("yardstick", "test", SUITE)
ELSEWHERE = "random_8-proj-perm-v0"


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda d: asked(d, suite="digits"), "of no suite"),
        (lambda d: asked(d, suite="random_8-proj-perm-v0"), "not the cells"),
        (lambda d: asked(d, num_classes=11), "num_classes contradicts"),
        (lambda d: asked(d, seed=2**64), "seed is out of range"),
        (lambda d: asked(d, learner_seed=-1), "learner_seed is out of range"),
        (lambda d: asked(d, learner_seed=2**64), "learner_seed is out of range"),
        (lambda d: first(d, suite="digits-proj-perm-v0-x"), "of no suite"),
        (lambda d: first(d, num_tasks=0), "num_tasks of a cell"),
        (lambda d: first(d, num_tasks=65), "num_tasks of a cell"),
        (lambda d: first(d, attainable=np.full_like(d.cells[0].attainable, 1e-7)), "nothing to attain"),
        (lambda d: first(d, attainable=d.cells[0].attainable / 2), "contradicts what is expected"),
        (lambda d: on(d, *BOTH[::-1]), "not the cells"),
        (lambda d: on(d, BOTH[0], ("yardstick", "test", ELSEWHERE)), "not the cells"),
        (lambda d: on(d, *BOTH, ("other", "test", SUITE)), "not the cells"),
        (lambda d: on(d, *BOTH, *[("other", "test", ELSEWHERE)] * 2), "not the cells"),
        (lambda d: on(d, *BOTH, ("other", "train", ELSEWHERE)), "not the cells"),
        (lambda d: on(d, *BOTH, ("seen", "train", SUITE), ("seen", "test", SUITE)), "not the cells"),
        (lambda d: replace(d, ledger=replace(d.ledger, state_bytes=-1)), "state_bytes is out of range"),
        (lambda d: replace(d, ledger=replace(d.ledger, parameters=-1)), "parameters is out of range"),
        (lambda d: replace(d, ledger=replace(d.ledger, episodes_a_call=0)), "episodes_a_call is out of range"),
        (lambda d: replace(d, ledger=replace(d.ledger, first_seconds=-1.0)), "no number of seconds"),
    ],
    ids=range(21),
)
def test_a_file_that_contradicts_itself_is_refused(found, tmp_path, change, says):
    """Though its digest and its summary are right."""
    found, file = change(found), tmp_path / "d.json"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("gpicl_bench.diagnosing.storage.summary", lambda diagnosis: {})
        found.save(file)
        with pytest.raises(ResultError, match=says) as caught:
            load_diagnosis(file)
    assert str(file) in str(caught.value)


@pytest.mark.parametrize(("seen", "fine"), [(SUITE, True), (ELSEWHERE, False)])
def test_seen_cells_are_of_the_suite_of_the_card(seen, fine, tmp_path):
    known = synthetic.diagnosis(seen="known", card=synthetic.trained(0))
    moved = tuple(replace(cell, suite=seen) if cell.tasks == "seen" else cell for cell in known.cells)
    replace(known, cells=(*moved, replace(moved[0], tasks="other", suite=ELSEWHERE))).save(tmp_path / "d.json")
    with nullcontext() if fine else pytest.raises(ResultError, match="not the cells"):
        assert len(load_diagnosis(tmp_path / "d.json").cells) == 5


def test_a_file_of_another_kind_or_version_is_called_what_it_is(found, tmp_path):
    found.save(tmp_path / "d.json")
    synthetic.result().save(tmp_path / "r.json")
    with pytest.raises(ResultError, match="this is a diagnosis file"):
        load_result(tmp_path / "d.json")
    with pytest.raises(ResultError, match="this is a result file"):
        load_diagnosis(tmp_path / "r.json")
    for name, load in (("d.json", load_diagnosis), ("r.json", load_result)):
        text = (tmp_path / name).read_text()
        (tmp_path / name).write_text(re.sub(r'("format": "gpicl-bench-\w+)/1"', r'\1/2"', text))
        with pytest.raises(ResultError, match="another version of the format"):
            load(tmp_path / name)


@pytest.mark.parametrize("text", ["", "{}", "[]", "[" * 10000, "null", '{"format": "gpicl-bench-diagnosis/1"}'])
def test_what_is_no_diagnosis_is_refused(tmp_path, text):
    (tmp_path / "d.json").write_text(text)
    with pytest.raises(ResultError, match=r"no diagnosis file|wrong fields"):
        load_diagnosis(tmp_path / "d.json")


def test_with_few_episodes_nothing_is_decided():
    found = diagnose(planted.nearest(), SUITE, 63)
    assert (found.phase.verdict, "too few" in found.phase.reason) == ("undetermined", True)


@pytest.mark.parametrize("length", [2, 3])
def test_who_cannot_learn_in_so_few_examples_is_not_blamed(length):
    found = diagnose(planted.nearest(), make(SUITE, num_examples=length), 256)
    assert found.phase.verdict == "undetermined"


def test_a_perfect_learner_on_unequal_classes_is_no_failure(forget):
    """24 of 25 examples are of one class: accuracy can rise by 0.04 at most."""
    rng = np.random.default_rng(0)
    labels = (np.arange(2000) % 25 == 0).astype(np.int64)
    images = (rng.normal(0, 8, (2000, 4, 4, 1)) + 60 + 120 * labels[:, None, None, None]).clip(0, 255).astype(np.uint8)
    gpicl_bench.register_dataset("rare", train=(images, labels), test=(images[:1000], labels[:1000]))
    gpicl_bench.register("rare-proj-perm-v0")
    assert diagnose(nearest, "rare-proj-perm-v0", 256).phase.verdict in ("general learning", "undetermined")


def test_the_yardstick_is_one_nearest_neighbour():
    found = diagnose(nearest, SUITE, 16)
    mine, yardstick = found.cells[:2]
    assert yardstick.tasks == "yardstick"
    assert (mine.outcome == yardstick.outcome).mean() > 0.99  # sums in another order


def test_labels_for_some_tasks_and_scores_for_others_are_named():
    count = []

    def learner(context_x, context_y, query_x):
        count.append(1)
        return [1] if len(count) < 3000 else np.zeros((1, 10))

    with pytest.raises(LearnerError, match="some (tasks|positions)"):
        diagnose(learner, SUITE, 100)


def test_the_command_line_diagnoses_and_writes(tmp_path, capsys):
    file = tmp_path / "mine.py"
    file.write_text("import numpy as np\n\n\ndef learner(x, y, query):\n    return np.array([3])\n")
    target = tmp_path / "d.json"
    assert main(["diagnose", str(file), "--num-episodes", "32", "--seed", "5", "--output", str(target)]) == 0
    told = capsys.readouterr().out
    assert "mine on digits-proj-perm-v0: undetermined (seen tasks unknown)" in told
    assert "seen tasks: not measured" in told
    assert load_diagnosis(target).question.seed == 5


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--num-episodes", "0"], "num_episodes is out of range"),
        (["--output", "missing/d.json"], "could not be written"),
        (["--suite", "nist-proj-perm-v0"], "no suite"),
        (["--num-examples", "1"], "num_examples"),
    ],
)
def test_bad_options_are_named(options, message, capsys):
    assert main(["diagnose", str(ROOT / "baselines" / "chance.py"), *options]) == 2
    assert message in capsys.readouterr().err


def test_every_error_is_the_packages_own():
    def broken(context_x, context_y, query_x):
        raise RuntimeError("mine")

    with pytest.raises(GpiclBenchError, match="the learner raised an error"):
        diagnose(broken, SUITE, 2)


def test_a_diagnosis_shows_itself():
    found = diagnose(constant, make(SUITE, num_examples=4), 2)
    assert repr(found) == "<Diagnosis: constant on digits-proj-perm-v0, undetermined (seen tasks unknown)>"
    assert isinstance(found, gpicl_bench.Diagnosis)


def test_intervals_shrink_with_more_episodes():
    widths = []
    for count in (32, 128, 512):
        gain = diagnose(planted.nearest(), SUITE, count).cells[0].improvement
        widths.append(gain.high - gain.low)
    assert all(a > 1.5 * b for a, b in pairwise(widths))


def test_a_cell_with_other_predictions_has_another_verdict(found):
    """The verdict is derived, not stored."""
    first = found.cells[0]
    wrong = replace(found, cells=(replace(first, outcome=np.zeros_like(first.outcome)), *found.cells[1:]))
    assert (found.phase.verdict, wrong.phase.verdict) == ("general learning", "no learning")
