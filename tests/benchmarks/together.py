"""Eight runs in one program beside eight runs in a row: whole runs, which compile, and their compiled steps alone."""

import tempfile
from pathlib import Path

import jax
import numpy as np

from baselines.run import run
from baselines.settings import make_settings
from baselines.studies.together import make_program, train_together
from baselines.training import make_tasks, make_trainer
from tests.benchmarks.rounds import Contender, interleaved

RUNS = 8
STEPS = 100
SIZES = {  # width, T, B
    "width 16, T = 20, 4 episodes": (16, 20, 4),
    "width 32, T = 50, 16 episodes": (32, 50, 16),
}


def measure_together(rounds):
    """By size: runs a second of both ways, for whole runs and for steps alone."""
    found = {}
    for name, (width, length, batch_size) in SIZES.items():
        group = [settings(width, length, batch_size, seed) for seed in range(RUNS)]
        found[name] = {
            "whole": interleaved(f"{name}, whole runs", whole(group), rounds),
            "steps": interleaved(f"{name}, steps alone", steps_alone(group), rounds),
        }
    return {"runs": RUNS, "steps": STEPS, "sizes": found}


def settings(width, length, batch_size, seed):
    """A small paired Transformer on digits with a pool of 1,024 tasks."""
    size = {"width": width, "head_size": width, "num_examples": length, "batch_size": batch_size, "num_tasks": 1024}
    how = {"steps": STEPS, "every": STEPS, "warmup": 10, "validation_tasks": 16, "seed": seed}
    return make_settings("transformer", "digits-tiny", {**size, **how})


def whole(group):
    """Each in a folder of its own, as `python -m baselines train` does it, or all at once."""

    def in_a_row(number):
        with tempfile.TemporaryDirectory() as scratch:
            for one in group:
                run(one, Path(scratch) / str(one.training.seed))

    def at_once(number):
        with tempfile.TemporaryDirectory() as scratch:
            train_together(group, Path(scratch))

    return {"in a row": Contender(in_a_row, RUNS), "at once": Contender(at_once, RUNS)}


def steps_alone(group):
    """The same steps, everything compiled before: what is left is what the device does."""
    trainer, numbers = make_trainer(group[0]), np.arange(STEPS, dtype=np.int32)
    train = jax.jit(trainer.train)
    runs = [(make_tasks(one), make_trainer(one).start()) for one in group]
    program = make_program(group)
    start = jax.tree.map(np.asarray, program.start())

    def in_a_row(number):
        for sampler, state in runs:
            jax.block_until_ready(train(sampler, state, numbers))

    def at_once(number):
        jax.block_until_ready(program.train(jax.tree.map(jax.numpy.array, start), numbers))

    return {"in a row": Contender(in_a_row, RUNS), "at once": Contender(at_once, RUNS)}
