"""Episodes as Gymnasium environments: one prediction a step.

Importing this module makes every suite known to Gymnasium. Gymnasium imports it by itself where the id names it:

>>> import gymnasium
>>> env = gymnasium.make("gpicl_bench.envs:gpicl_bench/digits-proj-perm-v0")
>>> observation, info = env.reset(seed=7)  # task 7 of meta_train, episode 0
>>> observation["x"].shape, observation["valid"]
((64,), 0)
>>> observation, reward, terminated, truncated, info = env.step(3)  # the predicted class
>>> observation["valid"], info["position"]  # now observation["label"] is the label of position 0
(1, 1)
"""

from typing import Any

import gymnasium
import numpy as np
from gymnasium import spaces
from gymnasium.vector import AutoresetMode, VectorEnv
from gymnasium.vector.utils import batch_space
from jaxtyping import Float32, Int64

from gpicl_bench import tasks
from gpicl_bench.errors import InvalidArgument, ResetNeeded, check_integer
from gpicl_bench.registration import make, registry
from gpicl_bench.suite import Episode, Split

Observation = dict[str, Any]
_SPLITS = ("meta_train", "meta_validation", "meta_test")
_TASKS = 2**64


class EpisodeEnv(gymnasium.Env[Observation, Any]):
    """One episode after the other of a split, an example a step.

    An observation at position t has `x`, float32 `[D]`: x_t; `label`, 0 … C - 1: y of the position before; `valid`,
    0 or 1: whether there was one (at t = 0 there was none, and `label` is 0). The action is the class predicted for
    x_t, and the reward 1.0 if it is y_t, else 0.0. After T predictions the episode has terminated: the last
    observation has the last label, and zeros for x. `info` has `task`, np.uint64, and `position`, t.

    `reset(seed=s)` begins episode 0 of task s, 0 ≤ s < 2^64, and every reset without a seed the task after the one
    before; the first without any seed begins task 0. Nothing is drawn at random.

    Args:
        split: of any suite, such as `gpicl_bench.make("digits-proj-perm-v0").meta_test`.

    Raises:
        InvalidArgument: a seed, an action or an option is none.
        ResetNeeded: a step before the first reset or after the last prediction.
        DataUnavailable: by `reset`, where the images are not on this machine.
    """

    metadata: dict[str, Any] = {"render_modes": []}

    def __init__(self, split: Split) -> None:
        self.split = _checked(split)
        self.observation_space = observation_space(split)
        self.action_space = spaces.Discrete(split.info.C)
        self._task = -1
        self._position = 0
        self._episode: Episode | None = None

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode: of task `seed`, or of the next task. There are no options."""
        _refuse(options)
        task = self._task + 1 if seed is None else check_integer("a seed", seed, 0, _TASKS - 1)
        super().reset(seed=None if seed is None else task)
        self._episode = self.split.episode(task)
        self._task, self._position = task, 0
        return self._observe(self._episode)

    def step(self, action: Any) -> tuple[Observation, float, bool, bool, dict[str, Any]]:
        """Predict the class of the current example: an integer of Python or NumPy, 0 … C - 1."""
        episode = self._episode
        if episode is None or self._position == len(episode.y):
            raise _reset_needed(episode is None)
        predicted = check_integer("an action", action, 0, self.split.info.C - 1)
        reward = float(predicted == episode.y[self._position])
        self._position += 1
        observation, info = self._observe(episode)
        return observation, reward, self._position == len(episode.y), False, info

    def _observe(self, episode: Episode) -> tuple[Observation, dict[str, Any]]:
        t, last = self._position, self._position == len(episode.y)
        observation = {
            "label": int(episode.y[t - 1]) if t else 0,
            "valid": int(t > 0),
            "x": np.zeros_like(episode.x[0]) if last else episode.x[t].copy(),
        }
        return observation, {"task": np.uint64(self._task), "position": t}


class EpisodeVectorEnv(VectorEnv[Observation, Any, Any]):
    """`num_envs` episodes of a split at once, as EpisodeEnv has them, stepped together in NumPy.

    Observations, rewards and `info` have `num_envs` rows: x float32 `[num_envs, D]`, label and valid int64
    `[num_envs]`.

    `reset(seed=s)` begins task s + j in sub-environment j; each time the episodes are over, and at each reset without
    a seed, it goes on to the task that is `num_envs` later: s + j + num_envs, s + j + 2·num_envs, … So each task from
    s on is met once, by one sub-environment. The first reset without any seed begins at s = 0.

    All episodes end at the same step. By Gymnasium's mode NEXT_STEP the step after that begins the next ones: its
    actions are not used, and its rewards are 0.

    Args:
        split: of any suite.
        num_envs: ≥ 1.

    Raises:
        InvalidArgument, ResetNeeded, DataUnavailable: as EpisodeEnv does.
    """

    metadata: dict[str, Any] = {"render_modes": [], "autoreset_mode": AutoresetMode.NEXT_STEP}

    def __init__(self, split: Split, num_envs: int = 1) -> None:
        self.split = _checked(split)
        self.num_envs = check_integer("num_envs", num_envs, 1, 2**31 - 1)
        self.single_observation_space = observation_space(split)
        self.single_action_space = spaces.Discrete(split.info.C)
        self.observation_space = batch_space(self.single_observation_space, self.num_envs)
        self.action_space = batch_space(self.single_action_space, self.num_envs)
        self._first = -self.num_envs  # the task of sub-environment 0
        self._position = 0
        self._x: Float32[np.ndarray, "T num_envs D"] | None = None
        self._y: Int64[np.ndarray, "T num_envs"] = np.empty((0, self.num_envs), np.int64)

    def reset(self, *, seed: Any = None, options: Any = None) -> tuple[Observation, dict[str, Any]]:
        """Begin an episode in each sub-environment: of tasks from `seed` on, or of the next. There are no options."""
        _refuse(options)
        if seed is not None:
            seed = check_integer("a seed", seed, 0, _TASKS - self.num_envs)
        super().reset(seed=seed)
        return self._begin(self._first + self.num_envs if seed is None else seed)

    def step(self, actions: Any) -> tuple[Observation, Any, Any, Any, dict[str, Any]]:
        """Predict the class of each current example: integers `[num_envs]`, 0 … C - 1."""
        if self._x is None:
            raise _reset_needed(True)
        predicted, nowhere = self._check(actions), np.zeros(self.num_envs, np.bool_)
        if self._position == len(self._y):
            observation, info = self._begin(self._first + self.num_envs)
            return observation, np.zeros(self.num_envs), nowhere, nowhere.copy(), info
        rewards = (predicted == self._y[self._position]).astype(np.float64)
        self._position += 1
        observation, info = self._observe(self._x)
        return observation, rewards, nowhere | (self._position == len(self._y)), nowhere, info

    def _begin(self, first: int) -> tuple[Observation, dict[str, Any]]:
        drawn = [self.split.episode(first + j) for j in range(self.num_envs)]
        self._x = np.stack([episode.x for episode in drawn], axis=1)  # a step reads one piece of memory
        self._y = np.stack([episode.y for episode in drawn], axis=1).astype(np.int64)
        self._first, self._position = first, 0
        return self._observe(self._x)

    def _observe(self, x: Float32[np.ndarray, "T num_envs D"]) -> tuple[Observation, dict[str, Any]]:
        t, last = self._position, self._position == len(x)
        observation = {
            "label": self._y[t - 1].copy() if t else np.zeros(self.num_envs, np.int64),
            "valid": np.full(self.num_envs, t > 0, np.int64),
            "x": np.zeros_like(x[0]) if last else x[t].copy(),
        }
        numbers = np.array(range(self._first, self._first + self.num_envs), np.uint64)
        info = {"task": numbers, "position": np.full(self.num_envs, t, np.int64)}
        return observation, info | {f"_{name}": np.ones(self.num_envs, np.bool_) for name in info}

    def _check(self, actions: Any) -> Any:
        try:
            given = np.asarray(actions)
        except (TypeError, ValueError):  # ragged, or no array at all
            given = np.empty(0, object)
        most = self.split.info.C - 1
        listed = not isinstance(actions, np.ndarray) and given.ndim > 0
        mixed = listed and any(isinstance(action, bool | np.bool_) for action in actions)  # NumPy takes True for 1
        whole = given.dtype.kind in "iu" and given.shape == (self.num_envs,) and not mixed
        if not whole or given.min() < 0 or given.max() > most:
            raise InvalidArgument(
                "actions are no predictions",
                expected=f"integers [{self.num_envs}], each from 0 to {most}",
                got=f"{type(actions).__name__} {actions!r}",
            )
        return given


def observation_space(split: Split) -> spaces.Space[Observation]:
    """`label`, `valid` and `x`; in the order in which Gymnasium flattens them."""
    low, high = bounds(split)
    return spaces.Dict(
        {
            "label": spaces.Discrete(split.info.C),
            "valid": spaces.Discrete(2),
            "x": spaces.Box(low, high, (split.info.D,), np.float32),
        }
    )


def bounds(split: Split) -> tuple[float, float]:
    """What no number of any x of this split can be below or above, for pixels from 0 to 255; both are float32.

    Without a projection the standardised 0 and 255. With one, each of the D terms of A_int · (p − center) is at most
    58 · max(center, 255 − center) in size. All that follows the whole numbers is rounding, which keeps their order.
    """
    known = split.dataset
    if split.spec.input != "proj":
        low, high = tasks.standardise(np.array([[0, 255]], np.uint8), known.center, known.std)[0].tolist()
        return low, high
    largest = int(np.abs(tasks.TABLE.astype(int)).max()) * max(known.center, 255 - known.center)
    most = float(np.float32(known.dimension * largest) * tasks.projection_scale(known.dimension, known.std))
    return -most, most


def make_env(suite: str, split: str = "meta_train", render_mode: None = None, **overrides: Any) -> EpisodeEnv:
    """What `gymnasium.make("gpicl_bench/<suite>", …)` calls.

    Args:
        suite: its id.
        split: `meta_train`, `meta_validation` or `meta_test`.
        render_mode: None: there is nothing to see.
        overrides: as `gpicl_bench.make` has them: `num_examples`.
    """
    return EpisodeEnv(_split(suite, split, render_mode, overrides))


def make_vector_env(
    num_envs: int, suite: str, split: str = "meta_train", render_mode: None = None, **overrides: Any
) -> EpisodeVectorEnv:
    """What `gymnasium.make_vec("gpicl_bench/<suite>", num_envs, …)` calls; the rest is as for `make_env`."""
    return EpisodeVectorEnv(_split(suite, split, render_mode, overrides), num_envs)


def register() -> None:
    """Make every suite of the registry known to Gymnasium, as `gpicl_bench/<suite>`.

    This module does it when it is imported; call it again after `gpicl_bench.register`. What is known already stays.
    """
    for suite in registry:
        id = f"gpicl_bench/{suite}"
        if id not in gymnasium.registry:
            gymnasium.register(
                id,
                entry_point="gpicl_bench.envs:make_env",
                vector_entry_point="gpicl_bench.envs:make_vector_env",
                kwargs={"suite": suite},
            )


def _split(suite: str, split: str, render_mode: object, overrides: dict[str, Any]) -> Split:
    if render_mode is not None:
        raise InvalidArgument("an episode has nothing to see", expected="render_mode=None", got=repr(render_mode))
    if split not in _SPLITS:
        raise InvalidArgument(
            "an environment has no such split",
            expected=", ".join(_SPLITS),
            got=repr(split),
            hint="EpisodeEnv and EpisodeVectorEnv take any split, for instance suite.seen(3)",
        )
    chosen: Split = getattr(make(suite, **overrides), split)
    return chosen


def _checked(split: object) -> Split:
    if not isinstance(split, Split):
        raise InvalidArgument(
            "this is no split", expected="for instance gpicl_bench.make(…).meta_test", got=repr(split)
        )
    return split


def _refuse(options: object) -> None:
    """Options that are not known to do anything would be passed over in silence."""
    if options is not None and not (isinstance(options, dict) and not options):
        raise InvalidArgument("an environment takes no options", expected="None", got=repr(options))


def _reset_needed(before: bool) -> ResetNeeded:
    what = "a step before the first reset" if before else "a step after the last prediction of an episode"
    return ResetNeeded(what, hint="call reset(seed=…) for a certain task, or reset() for the next")


register()
