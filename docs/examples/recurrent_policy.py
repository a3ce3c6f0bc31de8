"""A recurrent policy in Gymnasium, NumPy alone: python docs/examples/recurrent_policy.py [suite]

Its state is a matrix W [C, D] of fast weights, and the example that it has predicted last. When the label of that is
observed, W moves by one step of the delta rule (Widrow and Hoff, 1960): W x comes closer to the label's one-hot. No
reward is used: an episode is all the training there is.
"""

import sys

import gymnasium
import numpy as np

NUM_ENVS, RATE = 64, 0.5


class DeltaRule:
    """A policy for B sub-environments at once: observations in, actions [B] out."""

    def __init__(self, num_classes):
        self.num_classes = num_classes

    def init(self, x):
        """State before the first example: W, float32 [B, C, D], and no example."""
        return np.zeros((len(x), self.num_classes, x.shape[1]), np.float32), np.zeros_like(x)

    def step(self, state, observation):
        """State and scores [B, C] for the observed x."""
        (weights, before), x = state, observation["x"]
        target = np.eye(self.num_classes, dtype=np.float32)[observation["label"]]
        wrong = (target - np.einsum("bcd,bd->bc", weights, before)) * observation["valid"][:, None]
        size = np.square(before).sum(axis=1, keepdims=True) + 1e-6
        weights = weights + np.einsum("bc,bd->bcd", RATE * wrong, before / size).astype(np.float32)
        return (weights, x), np.einsum("bcd,bd->bc", weights, x)


def main(suite="digits-proj-perm-v0"):
    envs = gymnasium.make_vec(f"gpicl_bench.envs:gpicl_bench/{suite}", NUM_ENVS, split="meta_test")
    policy = DeltaRule(envs.single_action_space.n)
    observation, _ = envs.reset(seed=0)
    state, over, rewards = policy.init(observation["x"]), False, []
    while not over:
        state, scores = policy.step(state, observation)
        observation, reward, terminated, _, _ = envs.step(scores.argmax(axis=1))
        rewards.append(reward)
        over = terminated.all()
    curve = np.mean(rewards, axis=1)
    print(f"{suite}, {NUM_ENVS} tasks of meta_test")
    for k in (0, 1, 10, 50, 99):
        print(f"accuracy@{k:<3} {curve[k]:.3f}")


if __name__ == "__main__":
    main(*sys.argv[1:])
