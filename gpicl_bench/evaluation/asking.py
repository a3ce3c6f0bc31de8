"""Asking a learner: blocks of tasks are drawn, answered, and judged by labels that the learner never sees first."""

import time
from collections.abc import Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Bool, Float32, Float64, Int16, Int32, Int64

from gpicl_bench.auditing.report import Check
from gpicl_bench.evaluation.environment import device
from gpicl_bench.evaluation.metrics import log_losses
from gpicl_bench.evaluation.planning import Plan
from gpicl_bench.learners import Block
from gpicl_bench.learners.prediction import predicted
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.streams import child_key, root_key
from gpicl_bench.suite import Split

_TASKS = 16  # a block at most, where a learner is asked one episode at a time: little work is lost with one
_SHARES = 4  # blocks for each worker at least


@dataclass(frozen=True, eq=False)
class Answered:
    """A block of tasks, finished: what was predicted, whether it was right, how long it took in seconds, and where."""

    tasks: range
    prediction: Int16[np.ndarray, "B P"]
    outcome: Bool[np.ndarray, "B P"]
    log_loss: Float32[np.ndarray, "B P"] | None
    task_seconds: float
    learner_seconds: float
    device: str


def ask(plan: Plan, blocks: Iterable[range]) -> Generator[Answered]:
    """Ask about each block of tasks in this process, in order.

    Raises:
        LearnerError: the learner raised, or returned something that is no prediction.
    """
    for tasks in blocks:
        begin = time.perf_counter()
        block = drawn(plan, tasks)
        ready = time.perf_counter()
        answers = plan.adapter.predict(block, plan.positions)
        yield judged(tasks, block.y[:, plan.positions], answers, ready - begin, time.perf_counter() - ready, device())


def drawn(plan: Plan, tasks: range) -> Block:
    """Episode 0 of each task, with a key for each."""
    return episodes(plan.split, tasks, plan.setting.learner_seed)


def episodes(split: Split, tasks: Sequence[int], learner_seed: int) -> Block:
    """Episode 0 of each of these tasks, with the key that a stochastic learner gets for it."""
    root = root_key(f"gpicl-bench/learner/{learner_seed}")
    found = [split.episode(i) for i in tasks]
    keys = np.stack([child_key(root, i) for i in tasks])
    return Block(tasks, np.stack([e.x for e in found]), np.stack([e.y for e in found]), keys)


def judged(
    tasks: range,
    y: Int32[np.ndarray, "B P"],
    answers: Float64[np.ndarray, "B P C"] | Int64[np.ndarray, "B P"],
    task_seconds: float,
    learner_seconds: float,
    device: str,
) -> Answered:
    """Scores or labels against the labels y."""
    prediction = predicted(answers)
    log_loss = log_losses(answers, y).astype(np.float32) if answers.ndim == 3 else None
    return Answered(tasks, prediction, prediction == y, log_loss, task_seconds, learner_seconds, device)


def unanswered_blocks(plan: Plan, done: Sequence[Answered], workers: int) -> Iterator[range]:
    """The tasks that are left, in blocks.

    A compiled learner gets the same blocks of 64 always; one that is asked one episode at a time cannot tell.
    """
    size, end = plan.adapter.block, plan.setting.num_tasks
    if size == 1:
        size = min(_TASKS, max(1, end // (_SHARES * workers)))
    start = 0
    for kept in [*sorted((block.tasks for block in done), key=lambda tasks: tasks.start), range(end, end)]:
        for first in range(start, kept.start, size):
            yield range(first, min(first + size, kept.start))
        start = kept.stop


def joined(
    blocks: Iterable[Answered],
) -> tuple[Int16[np.ndarray, "N P"], Bool[np.ndarray, "N P"], Float32[np.ndarray, "N P"] | None]:
    """Prediction, outcome and log-loss of all blocks, in the order of their tasks."""
    ordered = sorted(blocks, key=lambda block: block.tasks.start)
    known = [block.log_loss for block in ordered if block.log_loss is not None]
    return (
        np.concatenate([block.prediction for block in ordered]),
        np.concatenate([block.outcome for block in ordered]),
        np.concatenate(known) if known else None,
    )


def asked_again(plan: Plan, blocks: Sequence[Answered]) -> Check:
    """Ask the first tasks once more: what was scored is what the audit has seen."""
    scored = joined(blocks)[0][:BLOCK]
    size = plan.adapter.block
    whole = (range(start, min(start + size, len(scored))) for start in range(0, len(scored), size))
    differ = scored != joined(ask(plan, whole))[0]
    offence = f"{differ.sum()} of {differ.size} predictions are others after the audit" if differ.any() else ""
    return Check("scored answers", "failed" if offence else "passed", differ.size, "bits", offence)
