"""Episodes as Gymnasium environments: the same tasks, the same predictions, and no warning."""

import dataclasses
import os
import runpy
import subprocess
import sys
import tomllib
from importlib.metadata import EntryPoint

import gymnasium
import numpy as np
import pytest
from gymnasium.utils.env_checker import check_env, data_equivalence
from gymnasium.wrappers import FlattenObservation, TransformObservation
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom

import gpicl_bench
from gpicl_bench import envs, errors, evaluate, make, registry, tasks
from gpicl_bench.datasets import DATASETS, table
from gpicl_bench.learners.threads import one_thread
from tests.conftest import ROOT
from tests.samples import suites_at_hand
from tests.test_fresh_process import run

SMALL = ["digits-proj-perm-v0", "digits-pixperm-perm-v0", "digits-none-perm-v0", "random-none-perm-v0"]
SUITE = make(SMALL[0])
EXAMPLE = ROOT / "docs" / "examples" / "recurrent_policy.py"


def named(suite):
    return f"gpicl_bench/{suite}"


def same(one, other):
    """Equal to the bit, with equal types."""
    return data_equivalence(one, other, exact=True)


def episodes(env, act, seed=None):
    """What the environment shows and pays in one episode, by position; `act` gets the observation."""
    observation, info = env.reset(seed=seed)
    shown, paid, over = [(observation, info)], [], False
    while not over:
        observation, reward, over, truncated, info = env.step(act(observation))
        assert truncated is False
        shown.append((observation, info))
        paid.append(reward)
    return shown, paid


# ---- Gymnasium's own checks


@pytest.mark.parametrize("suite", suites_at_hand())
def test_gymnasium_finds_nothing_to_warn_of(suite):
    """Warnings are errors here. Where D is large an episode is short, for the time it takes."""
    short = {} if make(suite).info.D <= 1024 else {"num_examples": 8}
    env = gymnasium.make(named(suite), **short).unwrapped
    check_env(env)
    low, high = env.observation_space["x"].low, env.observation_space["x"].high
    assert np.isfinite(low).all()
    assert np.isfinite(high).all()


def test_gymnasium_would_warn_of_bounds_that_are_none():
    env = gymnasium.make(named(SMALL[0])).unwrapped
    env.observation_space.spaces["x"] = gymnasium.spaces.Box(-np.inf, np.inf, (64,), np.float32)
    with pytest.raises(UserWarning, match="infinity"):
        check_env(env)


@pytest.mark.parametrize("suite", registry)
def test_every_suite_has_an_id(suite):
    spec = gymnasium.spec(named(suite))
    assert gymnasium.envs.registration.EnvSpec.from_json(spec.to_json()) == spec


# ---- bounds


@given(st.integers(0, 255), st.floats(0.01, 128), st.integers(0, 2**64 - 1), st.data())
@settings(max_examples=20)
def test_no_x_is_out_of_bounds_and_the_bounds_are_reached(center, std, i, data):
    """Of any pixels, with the matrices of tasks and with the one of the largest numbers and signs as bad as can be."""

    row_of_table = dataclasses.replace(DATASETS["digits"], moments=(center, std))
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(table._rows, "digits", row_of_table)
        low, high = envs.bounds(SUITE.meta_train)
    pixels = np.array(data.draw(st.lists(st.sampled_from([0, 1, 128, 254, 255]), min_size=64, max_size=64)), np.uint8)
    farthest = np.full(64, 255 if 255 - center >= center else 0, np.uint8)
    worst = np.full((64, 64), 58, np.int8)
    scale = np.float32(1 / (tasks.SIGMA * 8.0 * std))
    reached = [
        scale * (matrix.astype(np.int64) @ (row.astype(np.int64) - center)).astype(np.float32)
        for matrix in (SUITE.meta_train.task(i).projection, worst, -worst)
        for row in (pixels, farthest)
    ]
    assert low <= np.min(reached)
    assert np.max(reached) <= high
    assert (np.min(reached), np.max(reached)) == (low, high)


@pytest.mark.parametrize("suite", [s for s in suites_at_hand() if "-proj-" not in s])
def test_without_a_projection_the_bounds_are_black_and_white(suite):
    split, space = make(suite).meta_train, gymnasium.make(named(suite)).observation_space["x"]
    center, std = DATASETS[split.dataset.name].center, DATASETS[split.dataset.name].std
    assert space.low[0] == pytest.approx(-center / std, rel=1e-6)
    assert space.high[0] == pytest.approx((255 - center) / std, rel=1e-6)


# ---- one episode


@pytest.mark.parametrize("suite", SMALL)
@pytest.mark.parametrize("split", ["meta_train", "meta_validation", "meta_test"])
def test_an_episode_is_the_splits_to_the_bit(suite, split):
    env, tasks_of = gymnasium.make(named(suite), split=split), getattr(make(suite), split)
    for seed in (0, 17, np.int64(3), 2**64 - 1):
        expected = tasks_of.episode(int(seed))
        shown, paid = episodes(env, lambda observation: int(observation["label"]), seed)
        assert len(shown) == 101
        x = np.stack([observation["x"] for observation, _ in shown])
        assert x.tobytes() == np.vstack([expected.x, np.zeros((1, expected.x.shape[1]), np.float32)]).tobytes()
        assert [o["label"] for o, _ in shown] == [0, *expected.y.tolist()]
        assert [o["valid"] for o, _ in shown] == [0] + [1] * 100
        assert all(o in env.observation_space for o, _ in shown)
        assert [info["task"] for _, info in shown] == [seed] * 101
        assert [info["position"] for _, info in shown] == [*range(101)]
        repeated = [0, *expected.y[:-1].tolist()]  # the label before, predicted again
        assert paid == [float(a == b) for a, b in zip(repeated, expected.y.tolist(), strict=True)]


def test_every_reset_begins_the_next_task():
    env = gymnasium.make(named(SMALL[0]))
    assert [env.reset()[1]["task"] for _ in range(3)] == [0, 1, 2]
    assert env.reset(seed=41)[1]["task"] == 41
    env.step(0)
    observation, info = env.reset()
    assert info["task"] == 42
    assert same(observation["x"], SUITE.meta_train.episode(42).x[0])
    assert not same(observation["x"], env.reset(seed=43)[0]["x"])


def test_labels_come_after_the_answer_only():
    """Whatever is answered, the same is seen; what is seen before the answer at t tells of y before t only."""
    env = gymnasium.make(named(SMALL[0]))
    shown = [episodes(env, lambda observation, a=a: a, 5)[0] for a in (0, 9)]
    assert same(shown[0], shown[1])
    assert set(shown[0][0][1]) == {"task", "position"}


def test_what_was_shown_is_the_users_to_change():
    env = envs.EpisodeEnv(SUITE.meta_test)
    observation, _ = env.reset(seed=1)
    for _ in range(5):
        observation["x"][:] = 7
        observation, *_, info = env.step(0)
        assert same(observation["x"], SUITE.meta_test.episode(1).x[info["position"]])


def test_any_split_is_an_environment():
    """Of a round, of seen tasks, of other lengths: what has no id."""
    for split in (SUITE.seen(3), SUITE.at_round("ab" * 32).meta_test, make(SMALL[2], num_examples=7).meta_train):
        shown, paid = episodes(envs.EpisodeEnv(split), lambda observation: 3, 2)
        assert len(paid) == split.info.T
        assert np.array_equal([observation["label"] for observation, _ in shown[1:]], split.labels(2))
        together = envs.EpisodeVectorEnv(split, 2)
        assert same(together.reset(seed=1)[0]["x"][1], shown[0][0]["x"])
    assert len(episodes(gymnasium.make(named(SMALL[2]), num_examples=7), lambda observation: 0)[1]) == 7


def test_global_generators_are_left_alone():
    before = np.random.get_state()[1].tobytes()  # noqa: NPY002
    together = gymnasium.make_vec(named(SMALL[0]), 2)
    together.reset()
    for _ in range(102):
        together.step([0, 1])
    assert np.random.get_state()[1].tobytes() == before  # noqa: NPY002


# ---- many at once


@pytest.mark.parametrize("suite", SMALL)
def test_together_they_are_what_they_are_alone(suite):
    """Observations, rewards, ends and infos of three rounds, types too; Gymnasium's own vector of single ones has the first."""
    n, rng = 3, np.random.default_rng(0)
    together = gymnasium.make_vec(named(suite), n, split="meta_validation")
    assert isinstance(together.unwrapped, envs.EpisodeVectorEnv)
    assert together.metadata["autoreset_mode"] == gymnasium.vector.AutoresetMode.NEXT_STEP
    alone = gymnasium.make_vec(named(suite), n, vectorization_mode="sync", split="meta_validation")
    assert together.observation_space == alone.observation_space
    assert together.action_space == alone.action_space
    assert same(together.reset(seed=11), alone.reset(seed=11))
    for episode in range(3):
        for _ in range(100):
            actions = rng.integers(0, 10, n)
            ours, theirs = together.step(actions), alone.step(actions)
            assert same(ours, theirs)
            assert ours[0] in together.observation_space
        assert ours[2].all()
        begun = together.step(actions)
        numbers = [11 + (episode + 1) * n + j for j in range(n)]
        theirs = alone.reset(seed=numbers[0])
        assert begun[4]["task"].tolist() == numbers
        assert same((begun[0], begun[4]), theirs)
        assert not begun[1].any()
        assert not begun[2].any()
        assert not begun[3].any()


@given(st.integers(1, 5), st.integers(0, 2**64 - 100), st.integers(1, 4))
@settings(max_examples=10)
def test_no_two_of_them_meet_one_task(n, seed, resets):
    together = envs.EpisodeVectorEnv(make(SMALL[2], num_examples=2).meta_train, n)
    met = together.reset(seed=seed)[1]["task"].tolist()
    for _ in range(resets):
        met += together.reset()[1]["task"].tolist()
    assert met == [*range(seed, seed + n * (resets + 1))]


def test_a_vector_that_was_not_seeded_begins_at_task_0():
    together = gymnasium.make_vec(named(SMALL[0]), 4)
    assert together.reset()[1]["task"].tolist() == [0, 1, 2, 3]
    assert together.reset()[1]["task"].tolist() == [4, 5, 6, 7]


def test_what_a_vector_has_shown_is_the_users_to_change():
    together = envs.EpisodeVectorEnv(SUITE.meta_test, 2)
    shown = together.reset(seed=4)
    for t in range(1, 102):
        for array in (*shown[0].values(), *shown[1].values()):
            array[:] = 1
        observation, rewards, *over, info = together.step([0, 0])
        shown = observation, info
        if t < 100:
            assert same(observation["x"][1], SUITE.meta_test.episode(5).x[t])
            assert observation["label"].tolist() == [SUITE.meta_test.labels(i)[t - 1] for i in (4, 5)]
    assert info["task"].tolist() == [6, 7]


def test_wrappers_take_it():
    """Flattened: the one-hot of the label, the one-hot of valid, x; alone and together."""
    expected = SUITE.meta_train.episode(8)
    flat = FlattenObservation(gymnasium.make(named(SMALL[0])))
    flat.reset(seed=8)
    row = flat.step(0)[0]
    assert same(
        row, np.concatenate([np.eye(10)[expected.y[0]], [0, 1], expected.x[1].astype(float)])
    )  # float64: of int64 and float32
    only_x = TransformObservation(
        gymnasium.make(named(SMALL[0])), lambda observation: observation["x"], flat.unwrapped.observation_space["x"]
    )
    assert same(only_x.reset(seed=8)[0], expected.x[0])
    together = gymnasium.wrappers.vector.FlattenObservation(
        gymnasium.wrappers.vector.RecordEpisodeStatistics(gymnasium.make_vec(named(SMALL[0]), 2))
    )
    together.reset(seed=8)
    assert same(together.step([0, 0])[0][0], row)
    for _ in range(99):
        info = together.step([0, 0])[4]
    assert info["episode"]["r"].tolist() == [(SUITE.meta_train.labels(i) == 0).sum() for i in (8, 9)]
    assert info["episode"]["l"].tolist() == [100, 100]


# ---- policies


def test_a_random_policy_is_at_chance():
    """Within the interval that it leaves once in 10,000; one that reads on has all of the reward."""
    n, rng = 256, np.random.default_rng(1)
    together = envs.EpisodeVectorEnv(SUITE.meta_train, n)
    observation, _ = together.reset(seed=1000)
    y = np.stack([SUITE.meta_train.labels(1000 + j) for j in range(n)])
    right = sum(together.step(rng.integers(0, 10, n))[1].sum() for _ in range(100))
    low, high = binom.ppf([0.00005, 0.99995], n * 100, 0.1)
    assert low <= right <= high
    together.reset(seed=1000)
    assert sum(together.step(y[:, t])[1].sum() for t in range(100)) == n * 100


class Alone:
    """The example's policy as a step learner of the package."""

    def __init__(self, policy):
        self.policy = policy

    def init(self):
        return self.policy.init(np.zeros((1, 64), np.float32))

    def step(self, state, x, y_prev):
        label = max(int(y_prev), 0)
        observation = {"x": x[None], "label": np.array([label]), "valid": np.array([int(y_prev >= 0)])}
        state, scores = self.policy.step(state, observation)
        return state, scores[0]


@pytest.mark.parametrize("suite", SMALL[:3])
def test_environment_and_harness_agree_on_every_prediction(suite):
    """The same learner, which the environment shows its labels and the harness tells them; it learns."""
    learner = Alone(runpy.run_path(str(EXAMPLE))["DeltaRule"](10))
    told = evaluate(learner, suite, num_tasks=8, audit="off")
    env = gymnasium.make(named(suite), split="meta_test")
    for i in range(8):
        state, predicted = learner.init(), []

        def act(observation, predicted=predicted):
            nonlocal state
            y_prev = observation["label"] if observation["valid"] else -1
            state, scores = learner.step(state, observation["x"], y_prev)
            predicted.append(int(scores.argmax()))
            return predicted[-1]

        with one_thread():  # as the harness asks
            _, paid = episodes(env, act, i)
        assert predicted == told.prediction[i].tolist()
        assert paid == told.outcome[i].tolist()
    assert told.accuracy_at(99) > 0.3


def test_the_example_learns_and_prints_what_the_page_shows():
    page = (ROOT / "docs" / "gymnasium.md").read_text()
    done = subprocess.run(
        [sys.executable, "-W", "error", EXAMPLE],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert f"```text\n{done.stdout}```" in page
    accuracies = [float(line.split()[1]) for line in done.stdout.splitlines()[1:]]
    assert accuracies == sorted(accuracies)
    assert accuracies[-1] > 0.6


# ---- Gymnasium's registry


def test_gymnasium_imports_what_the_id_names_and_no_jax_with_it():
    program = """
import sys, gymnasium
env = gymnasium.make("gpicl_bench.envs:gpicl_bench/digits-proj-perm-v0", split="meta_test")
print(env.reset(seed=3)[1], "jax" in sys.modules)
envs = gymnasium.make_vec("gpicl_bench.envs:gpicl_bench/digits-proj-perm-v0", num_envs=2, vectorization_mode="vector_entry_point")
print(envs)
"""
    assert (
        run(program)
        == "{'task': np.uint64(3), 'position': 0} False\nEpisodeVectorEnv(gpicl_bench/digits-proj-perm-v0, num_envs=2)\n"
    )


def test_the_declared_entry_point_registers_every_suite(monkeypatch):
    declared = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["entry-points"]["gymnasium.envs"]
    ((name, value),) = declared.items()
    monkeypatch.setattr(gymnasium.envs.registration, "registry", known := {})
    monkeypatch.setattr(gymnasium, "registry", known)
    EntryPoint(name, value, "gymnasium.envs").load()()
    assert [*known] == [named(suite) for suite in registry]


def test_a_suite_of_ones_own_is_known_after_register(forget, monkeypatch):
    images = np.arange(80, dtype=np.uint8).reshape(20, 2, 2)
    gpicl_bench.register_dataset("mine", (images, np.arange(20) % 2), (images[:10], np.arange(10) % 2))
    gpicl_bench.register(gpicl_bench.SuiteSpec("mine-pixperm-perm-v0", num_examples=4))
    known = dict(gymnasium.registry)
    monkeypatch.setattr(gymnasium.envs.registration, "registry", known)
    monkeypatch.setattr(gymnasium, "registry", known)
    envs.register()
    check_env(gymnasium.make("gpicl_bench/mine-pixperm-perm-v0").unwrapped)


# ---- what is refused


@pytest.mark.parametrize("seed", [-1, 2**64, 1.0, "1", True, np.array([1]), np.float32(1), [0, 1]])
def test_odd_seeds_are_refused_and_change_nothing(seed):
    for env in (gymnasium.make(named(SMALL[0])), gymnasium.make_vec(named(SMALL[0]), 2)):
        before = env.reset(seed=6)
        with pytest.raises(errors.InvalidArgument, match="a seed is out of range"):
            env.reset(seed=seed)
        env.step(env.action_space.sample() * 0)
        assert not same(env.reset(), before)
        assert env.reset(seed=6)[1]["task"].ravel()[0] == 6


def test_the_last_task_is_the_last():
    env = gymnasium.make(named(SMALL[0]))
    env.reset(seed=2**64 - 1)
    with pytest.raises(errors.InvalidArgument, match="out of range"):
        env.reset()
    together = gymnasium.make_vec(named(SMALL[0]), 2)
    assert together.reset(seed=2**64 - 2)[1]["task"].tolist() == [2**64 - 2, 2**64 - 1]
    with pytest.raises(errors.InvalidArgument, match=f"0 to {2**64 - 2}"):
        together.reset(seed=2**64 - 1)


@pytest.mark.parametrize(
    "action", [-1, 10, 1.0, "1", None, True, np.True_, np.array(True), np.array([1]), np.float32(1), [1]]
)
def test_what_is_no_action_is_refused_and_changes_nothing(action):
    env = gymnasium.make(named(SMALL[0]))
    env.reset(seed=1)
    with pytest.raises(errors.InvalidArgument, match=r"(?s)an action is out of range.*from 0 to 9"):
        env.step(action)
    assert env.step(np.int8(SUITE.meta_train.labels(1)[0]))[1] == 1.0


@pytest.mark.parametrize(
    "actions",
    [0, [0], [0, 1, 2], [[0, 1]], [0.0, 1.0], [0, 10], [-1, 0], [True, False], [0, True], (np.True_, 1), ["0", "1"], None, [0, None], [[0], [0, 1]], np.zeros((2, 1), int), np.zeros(2, bool)],
    ids=repr,
)  # fmt: skip
def test_what_are_no_actions_is_refused_and_changes_nothing(actions):
    together = gymnasium.make_vec(named(SMALL[0]), 2)
    together.reset(seed=1)
    with pytest.raises(
        errors.InvalidArgument, match=r"(?s)actions are no predictions.*integers \[2\], each from 0 to 9"
    ):
        together.step(actions)
    right = [SUITE.meta_train.labels(i)[0] for i in (1, 2)]
    assert together.step(right)[1].tolist() == [1.0, 1.0]


def test_steps_before_a_reset_and_after_the_end_are_refused():
    env = envs.EpisodeEnv(SUITE.meta_train)
    with pytest.raises(errors.ResetNeeded, match=r"(?s)before the first reset.*call reset"):
        env.step(0)
    with pytest.raises(errors.ResetNeeded, match="before the first reset"):
        envs.EpisodeVectorEnv(SUITE.meta_train, 2).step([0, 0])
    episodes(env, lambda observation: 0, 9)
    for _ in range(2):
        with pytest.raises(errors.ResetNeeded, match="after the last prediction"):
            env.step(0)
    assert env.reset()[1]["task"] == 10


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        ({"split": "test"}, r"(?s)no such split.*meta_train, meta_validation, meta_test.*'test'.*seen"),
        ({"colour": "red"}, "(?s)cannot be overridden.*colour"),
        ({"num_examples": 1}, "num_examples is out of range"),
        ({"num_examples": 361}, "longer than the pool"),
    ],
)
def test_what_cannot_be_made_is_refused(wrong, says):
    for make_one in (gymnasium.make, gymnasium.make_vec):
        with pytest.raises(errors.InvalidArgument, match=says):
            make_one(named(SMALL[0]), **wrong)


def test_what_is_no_environment_is_refused_outside_of_type_checks():
    """Where beartype does not answer first."""
    program = """
import gpicl_bench, gymnasium, numpy as np
from gpicl_bench import envs
split = gpicl_bench.make("digits-none-perm-v0").meta_train
calls = [lambda: envs.EpisodeEnv("digits-none-perm-v0"), lambda: envs.EpisodeVectorEnv(None, 2), lambda: envs.EpisodeVectorEnv(split, 0),
         lambda: envs.EpisodeVectorEnv(split, 2.0), lambda: envs.make_env("digits-none-perm-v0", render_mode="human"),
         lambda: envs.make_env("digits-none-perm-v0", split=["meta_test"])]
for call in calls:
    try:
        call()
    except gpicl_bench.errors.InvalidArgument as error:
        print(error.what)
gymnasium.make("gpicl_bench/digits-none-perm-v0", render_mode=None)
"""
    assert run(program).splitlines() == [
        "this is no split",
        "this is no split",
        "num_envs is out of range",
        "num_envs is out of range",
        "an episode has nothing to see",
        "an environment has no such split",
    ]


@pytest.mark.parametrize(
    "options", [{"reset_mask": np.array([True, False])}, {"task": 3}, "none", 5, np.array([1, 2]), []], ids=repr
)
def test_options_are_refused(options):
    for env in (envs.EpisodeEnv(SUITE.meta_train), envs.EpisodeVectorEnv(SUITE.meta_train, 2)):
        with pytest.raises(errors.InvalidArgument, match="takes no options"):
            env.reset(seed=1, options=options)


def test_images_that_are_not_here_are_named(no_back_off, monkeypatch, tmp_path):
    for name in ("TFDS_DATA_DIR", "GPICL_BENCH_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    env = gymnasium.make("gpicl_bench/kmnist-proj-perm-v0")
    if "kmnist-proj-perm-v0" not in suites_at_hand():
        with pytest.raises(errors.DataUnavailable, match="kmnist"):
            env.reset()
