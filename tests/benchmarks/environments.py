"""Steps a second in Gymnasium: episodes beside CartPole, whose steps are four numbers and need no images."""

import gymnasium
import numpy as np

import gpicl_bench.envs
from gpicl_bench.errors import DataUnavailable
from tests.benchmarks.rounds import Contender, interleaved

NUM_ENVS = 64
SUITES = ("digits-none-perm-v0", "digits-proj-perm-v0", "mnist-none-perm-v0", "mnist-proj-perm-v0")


def stepping(id, mode, steps=100):
    """So many steps of all sub-environments from a reset on, whose time counts: it draws the tasks."""
    envs = gymnasium.make_vec(id, NUM_ENVS, vectorization_mode=mode)
    actions = np.zeros(NUM_ENVS, np.int64)

    def run(number):
        envs.reset(seed=number * NUM_ENVS)
        for _ in range(steps):
            _, _, terminated, _, info = envs.step(actions)
        return terminated, info

    return Contender(run, NUM_ENVS * steps)


def drawing(split):
    """The same tasks without an environment."""
    return Contender(lambda number: [split.episode(number * NUM_ENVS + j) for j in range(NUM_ENVS)], NUM_ENVS * 100)


def measure_environments(rounds):
    """Steps of a sub-environment a second."""
    contenders = {
        "CartPole-v1": stepping("CartPole-v1", "vector_entry_point"),
        "CartPole-v1, sync": stepping("CartPole-v1", "sync"),
    }
    for suite in SUITES:
        split = gpicl_bench.make(suite).meta_train
        try:
            split.part  # noqa: B018, the images, if they are here
        except DataUnavailable:
            continue
        id = f"gpicl_bench/{suite}"
        contenders[suite] = stepping(id, "vector_entry_point")
        contenders[f"{suite}, sync"] = stepping(id, "sync")
        contenders[f"{suite}, its tasks alone"] = drawing(split)
    return {"num_envs": NUM_ENVS, "measured": interleaved("environments", contenders, rounds)}
