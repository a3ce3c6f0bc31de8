"""The harness and its results: exact where the answer is known, equal in every process, safe on disk."""

import dataclasses
import json
import math
import os
import subprocess
import sys
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpicl_bench import Result, errors, evaluate, load_result, make
from gpicl_bench.evaluation import packing
from gpicl_bench.evaluation.storage import digest
from tests.learners import constant, mean, nearest, sequence_nearest

DIGITS = "digits-proj-perm-v0"


def knowing(suite, wrong=()):
    """A learner that is right by construction, but for the given positions: it knows the images' classes."""
    split = suite.meta_test
    answers = {e.x[t].tobytes(): int(e.y[t]) for e in map(split.episode, range(40)) for t in range(split.info.T)}

    def learner(context_x, context_y, query_x):
        label = answers[query_x[0].tobytes()]
        return np.array([(label + (len(context_y) in wrong)) % split.info.C])

    return learner


def test_right_by_construction_scores_one():
    suite = make(DIGITS)
    result = evaluate(knowing(suite), suite, num_tasks=40)
    assert result.score == 1.0
    assert result.score_interval == (1.0, 1.0)
    assert (result.accuracy == 1).all()
    assert result.outcome.all()


def test_the_score_is_the_area_from_one_example_on():
    suite = make(DIGITS)
    at_zero = evaluate(knowing(suite, wrong={0}), suite, num_tasks=5)
    assert at_zero.score == 1.0
    half = evaluate(knowing(suite, wrong=set(range(1, 34))), suite, num_tasks=5)
    assert half.score == pytest.approx((66 / 99 - 0.1) / 0.9)


def test_a_constant_learner_scores_chance():
    result = evaluate(constant, DIGITS, num_tasks=256)
    low, high = result.score_interval
    assert low <= 0 <= high
    inside = (result.accuracy_interval[:, 0] <= 0.1) & (result.accuracy_interval[:, 1] >= 0.1)
    assert inside.mean() > 0.85  # 95% intervals at 100 positions
    for task in (0, 255):
        assert np.array_equal(result.outcome[task], make(DIGITS).meta_test.episode(task).y == 3)


def test_numbers_by_hand():
    suite = make(DIGITS)

    def gentle(context_x, context_y, query_x):
        return mean(context_x, context_y, query_x) / 1e5

    result = evaluate(gentle, suite, num_tasks=6, positions=[0, 3, 99])
    for task in range(6):
        episode = suite.meta_test.episode(task)
        for column, k in enumerate((0, 3, 99)):
            scores = gentle(episode.x[:k], episode.y[:k], episode.x[k : k + 1])[0]
            assert result.prediction[task, column] == scores.argmax()
            expected = math.log(sum(math.exp(s - scores[episode.y[k]]) for s in scores))
            assert result.log_loss[task, column] == pytest.approx(expected, rel=1e-5)
    assert result.accuracy_at(3) == result.outcome[:, 1].mean()
    assert result.mean_log_loss[1] == pytest.approx(result.log_loss[:, 1].mean(), rel=1e-6)
    with pytest.raises(errors.ResultError, match="not asked"):
        result.accuracy_at(5)


def test_chance_has_the_code_length_of_uniform_labels():
    result = evaluate(lambda context_x, context_y, query_x: np.zeros((1, 10)), DIGITS, num_tasks=4)
    assert result.total_bits == pytest.approx(100 * math.log2(10), rel=1e-6)
    assert result.log_loss_interval.shape == (100, 2)


def test_what_was_not_asked_is_not_given():
    result = evaluate(mean, DIGITS, num_tasks=1, positions=[99, 5, 5])
    assert result.setting.positions == (5, 99)
    assert (result.score, result.score_interval, result.total_bits) == (None, None, None)
    assert np.isnan(result.log_loss_interval).all()


def test_positions_and_numbers_of_tasks_change_no_prediction():
    whole = evaluate(nearest, DIGITS, num_tasks=70)
    few = evaluate(nearest, DIGITS, num_tasks=3, positions=[2, 50])
    assert np.array_equal(whole.prediction[:3][:, [2, 50]], few.prediction)


@pytest.mark.parametrize(
    ("changes", "num_tasks", "kind"),
    [
        ({}, 4096, "record"),
        ({}, 1024, "quick"),
        ({}, 64, "no"),
        ({}, 4097, "no"),
        ({"positions": [99]}, 4096, "no"),
        ({"suite": make(DIGITS, num_examples=50)}, 4096, "no"),
        ({"suite": make(DIGITS).at_round("0" * 64)}, 4096, "no"),
        ({"suite": make(DIGITS).meta_validation}, 4096, "no"),
        ({"suite": make(DIGITS).seen()}, 4096, "no"),
    ],
)
def test_what_is_of_record(changes, num_tasks, kind):
    """By its setting; `test_the_record` of the command line asks all 4,096."""
    result = evaluate(constant, **{"suite": DIGITS, "num_tasks": 1, **changes})
    assert dataclasses.replace(result.setting, num_tasks=num_tasks).of_record == kind


@pytest.mark.parametrize(
    "arguments",
    [{"num_tasks": 0}, {"num_tasks": True}, {"num_tasks": -1}, {"positions": []}, {"positions": [100]},
     {"positions": [-1]}, {"learner_seed": -1}, {"learner_seed": 2**64}],
)  # fmt: skip
def test_bad_arguments_are_refused(arguments):
    with pytest.raises(errors.InvalidArgument, match=r"expected"):
        evaluate(constant, **{"suite": DIGITS, "num_tasks": 2, **arguments})


def test_two_processes_write_the_same_file(tmp_path):
    """In another process, after another suite, with another number of BLAS threads: the same, times apart."""
    program = (
        "import sys, gpicl_bench\n"
        "for id in sys.argv[2:]:\n"
        "    loaded = gpicl_bench.load_learner('baselines/ridge.py', gpicl_bench.make(id).info)\n"
        "    gpicl_bench.evaluate(loaded, id, num_tasks=40).save(f'{sys.argv[1]}/{id}.json')\n"
    )
    contents = []
    for order, threads in (([DIGITS, "random-proj-perm-v0"], "1"), (["random-proj-perm-v0", DIGITS], "2")):
        folder = tmp_path / threads
        folder.mkdir()
        environment = {**os.environ, "OPENBLAS_NUM_THREADS": threads, "PYTHONHASHSEED": threads}
        subprocess.run([sys.executable, "-c", program, str(folder), *order], check=True, env=environment)
        read = [json.loads((folder / f"{id}.json").read_text()) for id in sorted(order)]
        contents.append([{k: v for k, v in content.items() if k != "times"} for content in read])
    assert contents[0] == contents[1]


@pytest.fixture(scope="module")
def result():
    return evaluate(mean, DIGITS, num_tasks=70)


def test_a_saved_result_reads_back(result, tmp_path):
    result.save(tmp_path / "a.json")
    again = load_result(tmp_path / "a.json")
    for name in ("setting", "learner", "provenance", "times", "score", "score_interval", "total_bits"):
        assert getattr(again, name) == getattr(result, name)
    for name in ("prediction", "outcome", "log_loss"):
        assert getattr(again, name).dtype == getattr(result, name).dtype
        assert np.array_equal(getattr(again, name), getattr(result, name))
    assert digest(again) == digest(result)
    assert os.listdir(tmp_path) == ["a.json"]


def test_one_task_and_labels_only_can_be_saved(tmp_path):
    evaluate(nearest, DIGITS, num_tasks=1).save(tmp_path / "a.json")
    again = load_result(tmp_path / "a.json")
    assert again.log_loss is None
    assert np.isnan(again.score_interval).all()


def edits(content):
    yield "format", {**content, "format": "gpicl-bench-result/2"}
    yield "missing field", {k: v for k, v in content.items() if k != "learner"}
    yield "extra field", {**content, "note": "hello"}
    yield "task set", {**content, "setting": {**content["setting"], "task_set": "meta_train"}}
    yield "number of tasks", {**content, "setting": {**content["setting"], "num_tasks": 71}}
    yield "no tasks", {**content, "setting": {**content["setting"], "num_tasks": 0}}
    yield "negative tasks", {**content, "setting": {**content["setting"], "num_tasks": -70}}
    yield "huge", {**content, "setting": {**content["setting"], "num_tasks": 10**30}}
    yield "positions", {**content, "setting": {**content["setting"], "positions": [*range(99), 300]}}
    yield "no positions", {**content, "setting": {**content["setting"], "positions": []}}
    yield "wrong type", {**content, "setting": {**content["setting"], "num_tasks": "70"}}
    yield "name", {**content, "learner": {**content["learner"], "name": "mine"}}
    yield "score", {**content, "summary": {**content["summary"], "score": 0.99}}
    yield "digest", {**content, "digest": "0" * 64}
    yield "times", {**content, "times": {**content["times"], "total": "fast"}}
    yield "array", {**content, "arrays": {**content["arrays"], "prediction": content["arrays"]["outcome"]}}
    yield "no array", {**content, "arrays": {**content["arrays"], "prediction": None}}
    yield "lost log-loss", {**content, "arrays": {**content["arrays"], "log_loss": None}}
    yield "no base64", {**content, "arrays": {**content["arrays"], "outcome": "*"}}
    yield "wrong arrays", {**content, "arrays": []}
    yield "list", [content]


def accepted(path, edits):
    """The names of edits that a reader takes, or refuses without naming the file."""
    taken = []
    for name, edited in edits:
        path.write_text(json.dumps(edited))
        try:
            load_result(path)
            taken.append(name)
        except errors.ResultError as error:
            taken += [name] * ("a.json" not in str(error))
    return taken


def test_every_edit_is_found(result, tmp_path):
    path = tmp_path / "a.json"
    result.save(path)
    assert accepted(path, edits(json.loads(path.read_text()))) == []


def forgeries(content):
    """Edits by somebody who writes a new digest: only the contents can tell."""
    setting = content["setting"]
    for name, value in {"suite": "nonsense", "fingerprint": "zz", "protocol": 7, "learner_seed": -5, "task_set": "meta_best",
                        "images": "validation", "num_examples": 10**11, "num_classes": 1}.items():  # fmt: skip
        yield name, {**content, "setting": {**setting, name: value}}
    for summary in (None, [1], {**content["summary"], "score": "x"}, {**content["summary"], "score_interval": {"a": 1}},
                    {**content["summary"], "score_interval": [1, 2, 3]}, {**content["summary"], "accuracy@42": 1.0},
                    {**content["summary"], "of_record": "record"}, {**content["summary"], "score": 0.99}):  # fmt: skip
        yield f"summary {summary}", {**content, "summary": summary}


def test_forgeries_that_contradict_themselves_are_found(result, tmp_path, monkeypatch):
    path = tmp_path / "a.json"
    result.save(path)
    monkeypatch.setattr("gpicl_bench.evaluation.storage._digest", lambda *_: "same")
    assert accepted(path, forgeries(json.loads(path.read_text()) | {"digest": "same"})) == []


@pytest.mark.parametrize("change", ["all right", "negative", "not finite", "no class"])
def test_arrays_that_contradict_each_other_are_found(result, tmp_path, change):
    arrays = {
        "prediction": result.prediction.copy(),
        "outcome": result.outcome.copy(),
        "log_loss": result.log_loss.copy(),
    }
    if change == "all right":
        arrays["outcome"][:] = True
    elif change == "negative":
        arrays["log_loss"] -= 5
    elif change == "not finite":
        arrays["log_loss"][3, 3] = np.nan
    elif change == "no class":
        arrays["prediction"][3, 3] = 10
    dataclasses.replace(result, **arrays).save(tmp_path / "a.json")
    with pytest.raises(errors.ResultError, match=r"contradicts its outcome|out of range"):
        load_result(tmp_path / "a.json")


@pytest.mark.parametrize("text", ['{"a": ' + "9" * 5000 + "}", "[" * 100_000, "nan", '"a"'])
def test_odd_json_is_no_result(tmp_path, text):
    (tmp_path / "a.json").write_text(text)
    with pytest.raises(errors.ResultError, match="a.json"):
        load_result(tmp_path / "a.json")


def test_memory_is_bounded_in_the_number_of_tasks():
    from gpicl_bench.evaluation.statistics import bootstrap

    tracemalloc.start()
    bootstrap(np.zeros((100_000, 1)) + np.arange(100_000)[:, None] % 7)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100 * 2**20  # all 2,000 resamples at once would be 1,600 MB


@settings(max_examples=30)
@given(st.data())
def test_every_changed_or_cut_byte_is_found_or_harmless(result, tmp_path_factory, data):
    path = tmp_path_factory.mktemp("bytes") / "a.json"
    result.save(path)
    content = bytearray(path.read_bytes())
    if data.draw(st.booleans()):
        content = content[: data.draw(st.integers(0, len(content) - 2))]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    path.write_bytes(content)
    try:
        again = load_result(path)
    except errors.ResultError:
        return
    assert digest(again) == digest(result)  # only times, white space or the compressor's own bytes differ


@pytest.mark.parametrize("path", ["missing/a.json", "."])
def test_an_impossible_output_is_named_and_nothing_is_left(result, tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ResultError, match="cannot be written"):
        result.save(path)
    assert os.listdir(tmp_path) == []
    with pytest.raises(errors.ResultError, match="no result file"):
        load_result(path)


def test_a_result_is_what_evaluate_returns(result):
    assert isinstance(result, Result)
    assert result.prediction.dtype == np.int16
    assert result.outcome.dtype == bool
    assert result.log_loss.dtype == np.float32
    assert result.learner.withholds_labels
    assert not evaluate(sequence_nearest, DIGITS, num_tasks=1, positions=[0], audit="off").learner.withholds_labels


@pytest.mark.parametrize("other", [2, 255])
def test_an_outcome_is_0_or_1(other):
    """A byte of the file that is neither would count as right."""
    packed = packing.pack_array(np.array([[0, 1, other]], np.uint8), "|u1")
    with pytest.raises(errors.ResultError, match="damaged"):
        packing.unpack_array("outcome", packed, "|b1", (1, 3))
    good = packing.pack_array(np.array([[0, 1, 1]], np.uint8), "|u1")
    assert packing.unpack_array("outcome", good, "|b1", (1, 3)).tolist() == [[False, True, True]]


def test_a_card_that_changes_later_changes_no_file(tmp_path):
    training = {"seed": 1}

    def learner(context_x, context_y, query_x):
        training["seed"] = {1, 2}  # no plain value
        return np.array([0])

    learner.card = {"meta_training": training}
    result = evaluate(learner, DIGITS, num_tasks=2)
    result.save(tmp_path / "r.json")
    assert load_result(tmp_path / "r.json").learner.card == {"meta_training": {"seed": 1}}


@pytest.mark.parametrize(
    "later", [{"meta_training": {1: 2}}, {"parameters": math.nan}, [1], None, RuntimeError("mine")]
)
def test_an_odd_card_is_an_error_of_the_package(later):
    """Right when it is checked, and another one when it is kept."""

    class Fickle:
        asked = 0

        @property
        def card(self):
            self.asked += 1
            if self.asked <= 2:  # by adapt
                return {"meta_training": "none"}
            if isinstance(later, Exception):
                raise later
            return later

        def __call__(self, context_x, context_y, query_x):
            return np.array([0])

    with pytest.raises(errors.LearnerError):
        evaluate(Fickle(), DIGITS, num_tasks=1)
