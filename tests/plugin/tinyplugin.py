"""A plug-in: a synthetic base dataset of three shapes in noise, and a suite on it."""

import numpy as np

import gpicl_bench


def register():
    gpicl_bench.register_dataset("tinyplugin", train=draw(0, 90), test=draw(1, 60))
    gpicl_bench.register(gpicl_bench.SuiteSpec("tinyplugin-proj-perm-v0", num_examples=20))


def draw(seed, count):
    """Images of 4×4 pixels: a bar, a column or a square, in noise; and their labels."""
    rng = np.random.default_rng(seed)
    shapes = np.zeros((3, 4, 4), int)
    shapes[0, 1], shapes[1, :, 2], shapes[2, 1:3, 1:3] = 150, 150, 150
    labels = np.arange(count) % 3
    return shapes[labels] + rng.integers(0, 100, (count, 4, 4)), labels
