"""What a study will take: each program is compiled and goes two steps."""

import time
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import jax
import numpy as np

from baselines.studies.grid import Cell
from baselines.studies.running import groups, halves, of_memory, told
from baselines.studies.together import check_fits, make_program, program

STEPS = 2


class Estimate(NamedTuple):
    """Of a group of cells that train together; without the time that measuring takes.

    `trouble` is why the group cannot start, such as images that are not here; then nothing is known.
    """

    cells: list[Cell]
    seconds: float
    memory: int
    trouble: str | None = None


def estimates(cells: Sequence[Cell]) -> Iterator[Estimate]:
    """One for each group, in the order in which they would run; nothing is written."""
    known: dict[tuple[str, int], tuple[float, int]] = {}  # groups of one program and size take the same
    for group in groups(cells):
        yield from _estimated(group, known)


def _estimated(group: list[Cell], known: dict[tuple[str, int], tuple[float, int]]) -> Iterator[Estimate]:
    """Of a group, or of its halves where it does not fit, as it would run."""
    place = program(group[0].settings), len(group)
    try:
        known[place] = known.get(place) or _tried(group)
    except Exception as error:  # the boundary, as of `run_study`
        if of_memory(error) and len(group) > 1:
            for half in halves(group):
                yield from _estimated(half, known)
        else:
            yield Estimate(group, 0.0, 0, " ".join(told(error).split()))
    else:
        yield Estimate(group, *known[place])


def _tried(group: Sequence[Cell]) -> tuple[float, int]:
    """Seconds of all steps, compiling included, and bytes."""
    settings = [cell.settings for cell in group]
    begin = time.monotonic()
    trainer, steps = make_program(settings), np.arange(STEPS, dtype=np.int32)
    memory = check_fits(trainer, settings, STEPS)
    state = trainer.start()
    state = jax.block_until_ready(trainer.train(state, steps)[0])
    compiled = time.monotonic()
    jax.block_until_ready(trainer.train(state, steps))
    step = (time.monotonic() - compiled) / STEPS
    return compiled - begin + step * settings[0].training.steps, memory
