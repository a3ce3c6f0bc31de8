"""Contenders measured in turn, round by round: what disturbs one disturbs the others too."""

import statistics
import sys
import time
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

ONE = ", one thread"  # threads of several libraries in one process disturb each other: the better of both counts


class Contender(NamedTuple):
    """`run(round)` does `tasks` tasks, and returns when they are done."""

    run: Callable[[int], object]
    tasks: int


def interleaved(title: str, contenders: Mapping[str, Contender], rounds: int) -> dict[str, dict[str, Any]]:
    """Tasks a second of wall time and of CPU time: medians, and every round.

    The first round is not counted: it compiles.
    """
    wall: dict[str, list[float]] = {name: [] for name in contenders}
    cpu: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        print(f"\r{title}: round {number} of {rounds}", end="", file=sys.stderr, flush=True)
        for name, (run, tasks) in contenders.items():
            began, spent = time.perf_counter(), time.process_time()
            run(number)
            if number:
                wall[name].append(tasks / (time.perf_counter() - began))
                cpu[name].append(tasks / (time.process_time() - spent))
    print(file=sys.stderr)
    return {
        name: {
            "tasks_per_second": statistics.median(wall[name]),
            "tasks_per_cpu_second": statistics.median(cpu[name]),
            "rounds": [round(value, 2) for value in wall[name]],
        }
        for name in contenders
    }


def ratios(measured: Mapping[str, Mapping[str, Any]], ours: str, theirs: str) -> list[float]:
    """`ours` over `theirs` in each round, ascending."""
    pairs = zip(measured[ours]["rounds"], measured[theirs]["rounds"], strict=True)
    return sorted(a / b for a, b in pairs)
