"""What the harness adds to a learner: beside a bare jitted forward pass, and for a callable that costs nothing."""

import statistics

import jax
import numpy as np

import baselines
from gpicl_bench import evaluate, make, sequence_learner
from tests.benchmarks.rounds import Contender, interleaved

TASKS = 1024
SUITE = "digits-proj-perm-v0"


def measure_harness(rounds):
    """1,024 tasks of digits: seconds of a Transformer within `evaluate`, tasks and audit apart, and of its bare forward pass."""
    split, model = make(SUITE).meta_test, baselines.load("transformer", SUITE).model
    forward = jax.jit(lambda x, y: jax.vmap(model)(x, y))
    learner = sequence_learner(lambda x, y: forward(x, y))
    episodes = [split.episode(i) for i in range(TASKS)]
    x, y = np.stack([e.x for e in episodes]), np.stack([e.y for e in episodes])
    adding = []

    def bare(number):
        for first in range(0, TASKS, 64):
            np.asarray(forward(x[first : first + 64], y[first : first + 64]))

    def within(number):
        times = evaluate(learner, split, num_tasks=TASKS, audit="off").times
        adding.append(times.total - times.tasks)

    measured = interleaved(
        "harness", {"bare forward pass": Contender(bare, TASKS), "evaluate": Contender(within, TASKS)}, rounds
    )
    bare_seconds = [TASKS / rate for rate in measured["bare forward pass"]["rounds"]]
    added = sorted(ours / theirs for ours, theirs in zip(adding[1:], bare_seconds, strict=True))
    free = interleaved("a free callable", free_callables(split), rounds)
    return {
        "suite": SUITE,
        "num_tasks": TASKS,
        "bare_seconds": statistics.median(bare_seconds),
        "evaluate_without_tasks_over_bare": statistics.median(added),
        "rounds": added,
        "predictions_per_second": {name: value["tasks_per_second"] * 100 for name, value in free.items()},
    }


def free_callables(split):
    scores, label = np.zeros((1, 10)), np.zeros(1, np.int64)
    answers = {"scores": scores, "labels": label}
    return {
        name: Contender(lambda number, answer=answer: evaluate(lambda cx, cy, qx: answer, split, num_tasks=64), 64)
        for name, answer in answers.items()
    }
