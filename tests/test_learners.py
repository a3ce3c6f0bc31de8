"""Every form of learner gives the same predictions; everything that is no prediction is refused by name."""

import numpy as np
import pytest
from sklearn.cluster import KMeans
from sklearn.dummy import DummyClassifier
from sklearn.linear_model import LinearRegression
from sklearn.neighbors import KNeighborsClassifier, KNeighborsRegressor
from sklearn.tree import DecisionTreeClassifier

from gpicl_bench import errors, evaluate, make, sequence_learner
from gpicl_bench.learners.classifier import smoothed
from tests.learners import JaxMean, StepNearest, constant, mean, nearest, scored_nearest, sequence_nearest

DIGITS = "digits-proj-perm-v0"
FEW = {"num_tasks": 3, "positions": [0, 1, 2, 30, 99]}


def test_one_rule_in_every_form_predicts_the_same():
    reference = evaluate(nearest, DIGITS, **FEW).prediction[:, 1:]
    for learner in (scored_nearest, StepNearest(), sequence_nearest, KNeighborsClassifier(1)):
        assert np.array_equal(evaluate(learner, DIGITS, **FEW, audit="off").prediction[:, 1:], reference), learner


def test_jax_step_form():
    suite = make(DIGITS)
    stepped = evaluate(JaxMean(suite.info), suite, num_tasks=70, positions=[1, 20, 99])
    called = evaluate(mean, suite, num_tasks=70, positions=[1, 20, 99])
    assert (stepped.prediction == called.prediction).mean() > 0.99  # float32 sums in another order: rare ties
    assert stepped.learner.form == "step (JAX)"


def test_a_learner_sees_the_past_only():
    """Whatever an array of the context is a view of holds no later example and no label to come."""
    split = make(DIGITS).meta_test
    seen = []

    def spy(context_x, context_y, query_x):
        k, episode = len(context_y), split.episode(len(seen) // 3)
        assert np.array_equal(context_x, episode.x[:k])
        assert np.array_equal(context_y, episode.y[:k])
        assert np.array_equal(query_x, episode.x[k : k + 1])
        for array, known in ((context_x, k), (context_y, k), (query_x, 1)):
            assert not array.flags.writeable
            whole = array
            while whole.base is not None:
                whole = whole.base
            assert not whole[known:].any()
        seen.append(k)
        return np.zeros(1, int)

    evaluate(spy, split, num_tasks=2, positions=[0, 7, 50])
    assert seen == [0, 7, 50] * 2


def test_step_learners_get_the_label_of_the_example_before():
    split, got = make(DIGITS).meta_test, []

    class Spy:
        def init(self):
            return 0

        def step(self, state, x, y_prev):
            got.append(y_prev)
            assert np.array_equal(x, split.episode(0).x[state])
            return state + 1, np.zeros(10)

    evaluate(Spy(), split, num_tasks=1, positions=[0, 20])
    assert got == [-1, *split.episode(0).y[:20].tolist()]


def test_sequence_learners_always_get_whole_blocks():
    """So a compiled learner compiles once, and what it says of a task does not depend on how many are asked."""
    shapes = set()

    @sequence_learner
    def learner(x, y):
        shapes.add((x.shape, y.shape))
        return np.repeat(x.mean(axis=(1, 2))[:, None, None], 100, axis=1) * np.arange(10)

    many, few = (evaluate(learner, DIGITS, num_tasks=n, audit="off") for n in (70, 5))
    assert shapes == {((64, 100, 64), (64, 100))}
    assert np.array_equal(many.log_loss[:5], few.log_loss)
    assert not many.learner.withholds_labels


def test_stochastic_learners_get_keys_of_their_own():
    keys = []

    def callable_form(context_x, context_y, query_x, key):
        keys.append(tuple(key))
        return np.array([key[0] % 10])

    class StepForm:
        card = {"stochastic": True}

        def init(self, key):
            return key

        def step(self, state, x, y_prev):
            return state, np.eye(10)[state[0] % 10]

    @sequence_learner
    def sequence_form(x, y, keys):
        return np.repeat(np.eye(10)[keys[:, 0] % 10][:, None], 100, axis=1)

    callable_form.card = sequence_form.card = {"stochastic": True}
    asked = {"num_tasks": 3, "positions": [0, 9]}
    for learner in (callable_form, StepForm(), sequence_form):
        first, again = (evaluate(learner, DIGITS, **asked) for _ in range(2))
        other = evaluate(learner, DIGITS, **asked, learner_seed=2**63)
        assert np.array_equal(first.prediction, again.prediction)
        assert not np.array_equal(first.prediction, other.prediction)
    assert len(set(keys)) == 12  # two seeds, three tasks, two positions


def test_a_classifier_without_a_random_state_is_reproducible():
    tree = DecisionTreeClassifier(max_features=1)
    first, again = (evaluate(tree, DIGITS, num_tasks=2, positions=range(30, 60)) for _ in range(2))
    other = evaluate(tree, DIGITS, num_tasks=2, positions=range(30, 60), learner_seed=1)
    assert np.array_equal(first.log_loss, again.log_loss)
    assert not np.array_equal(first.log_loss, other.log_loss)


def test_classifier_probabilities_are_smoothed():
    result = evaluate(DummyClassifier(strategy="prior"), DIGITS, num_tasks=2, positions=[0, 1, 9])
    labels = [make(DIGITS).meta_test.episode(i).y for i in range(2)]
    for task, y in enumerate(labels):
        for column, k in enumerate((0, 1, 9)):
            p = (y[:k] == y[k]).mean() if k else 1 / 10
            epsilon = 1 / (k + 10)
            expected = -np.log((1 - epsilon) * p + epsilon / 10)
            assert result.log_loss[task, column] == pytest.approx(expected, rel=1e-6)
    assert np.exp(smoothed(np.eye(4), 3)).sum(axis=1) == pytest.approx(1)


def test_a_classifier_without_probabilities_gives_labels():
    class Last(DummyClassifier):
        predict_proba = property()

        def predict(self, X):
            return np.full(len(X), 7)

    result = evaluate(Last(), DIGITS, num_tasks=2, positions=[0, 1, 40])
    assert result.log_loss is None
    assert result.prediction[:, 0].tolist() == [0, 0]
    assert result.prediction[:, 1].tolist() == [int(make(DIGITS).meta_test.episode(i).y[0]) for i in range(2)]
    assert result.prediction[:, 2].tolist() == [7, 7]


def returning(value):
    return lambda context_x, context_y, query_x: value


def raising(context_x, context_y, query_x):
    if len(context_y) == 5:
        raise RuntimeError("no idea")
    return np.array([0])


def writing(context_x, context_y, query_x):
    context_x[:] = 0
    return np.array([0])


def mixing(context_x, context_y, query_x):
    return np.zeros((1, 10)) if len(context_y) > 3 else np.array([0])


class Step:
    def __init__(self, scores):
        self.scores = scores

    def init(self):
        return 0

    def step(self, state, x, y_prev):
        return state, self.scores


class NoPair(Step):
    def step(self, state, x, y_prev):
        return self.scores


class JaxNaN(JaxMean):
    def step(self, state, x, y_prev):
        state, scores = super().step(state, x, y_prev)
        return state, scores * float("nan")


class JaxShape(JaxMean):
    def step(self, state, x, y_prev):
        return state, x


@pytest.mark.parametrize(
    ("learner", "says"),
    [
        (raising, r"RuntimeError: no idea\n  where: raising, task 0, position 5"),
        (writing, r"(?s)read-only.*task 0, position 0.*copy before you write"),
        (mixing, r"(?s)scores at some positions and labels at others.*task 0, position 4"),
        (returning(np.array([10])), r"(?s)label is out of range.*0 … 9.*got: 10.*task 0, position 0"),
        (returning(np.array([-1])), "label is out of range"),
        (returning(np.array([1.5])), "no prediction"),
        (returning(np.array([True])), "no prediction"),
        (returning(np.zeros(10)), r"(?s)no prediction.*\(1, 10\).*float64 of shape \(10,\)"),
        (returning(np.zeros((1, 9))), "no prediction"),
        (returning(None), "no prediction"),
        (returning("seven"), "no prediction"),
        (returning([[1], [2, 3]]), "no array"),
        (returning(np.full((1, 10), np.nan)), r"(?s)not finite.*log\(\(1-ε\)p \+ ε/C\).*task 0, position 0"),
        (returning(np.full((1, 10), -np.inf)), "not finite"),
        (returning(np.eye(10)[:1] * 1e39), "too large for a float32"),
        (Step(np.zeros(9)), r"(?s)no scores.*\(10,\).*position 0"),
        (Step(np.full(10, np.inf)), "not finite"),
        (NoPair(np.zeros(10)), "raised an error"),
        (JaxNaN(make(DIGITS).info), r"(?s)not finite.*task 0, position 0"),
        (JaxShape(make(DIGITS).info), r"(?s)no scores.*\(2, 100, 10\).*\(2, 100, 64\)"),
        (sequence_learner(lambda x, y: np.zeros((64, 99, 10))), r"(?s)no scores.*\(64, 100, 10\).*tasks 0 to 1"),
        (
            sequence_learner(lambda x, y: np.zeros((64, 100, 10)) / (np.arange(100) != 7)[:, None] * np.inf),
            "not finite",
        ),
        (sequence_learner(lambda x, y: y.__setitem__(0, 1)), "read-only"),
        (sequence_learner(lambda x: x), r"(?s)wrong arguments.*\(x, y\)"),
        (lambda context_x, context_y: 0, r"(?s)wrong arguments.*\(context_x, context_y, query_x\)"),
        (KNeighborsClassifier, "a class, not an object"),
        (KNeighborsRegressor(2), "no classifier"),
        (KMeans(2), "no classifier"),
        (LinearRegression(), "no classifier"),
        (42, "this is no learner"),
        (KNeighborsClassifier(50), "raised an error"),
    ],
)
@pytest.mark.filterwarnings("ignore:divide by zero", "ignore:invalid value")
def test_what_is_no_prediction_is_refused(learner, says):
    with pytest.raises(errors.LearnerError, match=says):
        evaluate(learner, DIGITS, num_tasks=2)


@pytest.mark.parametrize(
    ("card", "says"),
    [
        ({"stochastik": True}, "did you mean stochastic"),
        ({"stochastic": "yes"}, "stochastic is malformed"),
        ({"meta_training": {"suites": 1}}, "(?s)unknown field.*meta_training.suites.*did you mean suite"),
        ({"meta_training": {"suite": 1}}, "meta_training.suite is malformed"),
        ({"meta_training": {"num_tasks": 0}}, "meta_training.num_tasks is malformed"),
        ({"meta_training": {"num_tasks": True}}, "meta_training.num_tasks is malformed"),
        ({"meta_training": {"num_tasks": 10**5000}}, "(?s)meta_training.num_tasks is malformed.*about 2"),
        ({"meta_training": {"seed": 2**64}}, "meta_training.seed is malformed"),
        ({"meta_training": {"steps": 1.5}}, "meta_training.steps is malformed"),
        ({"meta_training": {"seconds": float("nan")}}, "meta_training.seconds is malformed"),
        ({"meta_training": {"seconds": True}}, "meta_training.seconds is malformed"),
        ({"meta_training": {"hardware": ["gpu"]}}, "meta_training.hardware is malformed"),
        ({"parameters": -1}, "parameters is malformed"),
        ({"parameters": 10**5000}, "parameters is malformed"),
        ({"licence": "half a pair: \ud800"}, "licence is malformed"),
        ({"meta_training": "none", "parameters": 5}, "the card contradicts itself"),
        ({"weights_sha256": "ABC"}, "weights_sha256 is malformed"),
        ({"max_examples": 0}, "max_examples is malformed"),
        ({"meta_training": "some"}, "meta_training is malformed"),
        ({7: "seven"}, "unknown field"),
        ({"max_examples": 50}, r"(?s)longer than this learner can take.*T ≤ 50.*T = 100"),
        ({"max_examples": True}, "max_examples is malformed"),
        ("trained on MNIST", "a card is a dictionary"),
    ],
)
def test_malformed_cards_are_refused(card, says):
    def learner(context_x, context_y, query_x):
        return np.array([0])

    learner.card = card
    with pytest.raises(errors.LearnerError, match=says):
        evaluate(learner, DIGITS, num_tasks=1)


def test_classes_and_bound_methods_cannot_be_marked():
    with pytest.raises(errors.LearnerError, match="functions and objects"):
        sequence_learner(StepNearest)
    with pytest.raises(errors.LearnerError, match="cannot be marked"):
        sequence_learner(StepNearest().step)


def test_bfloat16_and_whole_number_scores_are_scores():
    import jax.numpy as jnp

    for scores in (jnp.zeros((1, 10), jnp.bfloat16), np.zeros((1, 10), np.int32)):
        assert evaluate(returning(scores), DIGITS, num_tasks=1, positions=[4]).log_loss[0, 0] == pytest.approx(
            np.log(10)
        )


def test_a_constant_learner_has_no_log_loss():
    assert evaluate(constant, DIGITS, num_tasks=1, positions=[4]).mean_log_loss is None
