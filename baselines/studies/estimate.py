"""What a study will take: each program is compiled and goes two steps."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from baselines.studies.grid import Cell
from baselines.studies.running import groups
from baselines.studies.together import make_program

STEPS = 2


class Estimate(NamedTuple):
    """Of a group of cells that train together; without the time that measuring takes."""

    cells: list[Cell]
    seconds: float
    memory: int


def estimates(cells: Sequence[Cell]) -> Iterator[Estimate]:
    """One for each group, in the order in which they would run; nothing is written."""
    for group in groups(cells):
        settings = [cell.settings for cell in group]
        begin = time.monotonic()
        trainer, steps = make_program(settings), np.arange(STEPS, dtype=np.int32)
        state = trainer.start()
        memory = trainer.memory(state, steps)
        state = jax.block_until_ready(trainer.train(state, steps)[0])
        compiled = time.monotonic()
        jax.block_until_ready(trainer.train(state, steps))
        step = (time.monotonic() - compiled) / STEPS
        yield Estimate(group, compiled - begin + step * settings[0].training.steps, memory)
