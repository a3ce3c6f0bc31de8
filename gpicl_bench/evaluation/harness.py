"""The harness: asks a learner about every task, and keeps the labels to itself."""

import time
from collections.abc import Iterable
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, Literal

import numpy as np
from jaxtyping import Bool, Float32, Int16, Int64
from threadpoolctl import threadpool_limits

from gpicl_bench.auditing import Audit, Check
from gpicl_bench.auditing import audit as run_audit
from gpicl_bench.auditing.report import Level
from gpicl_bench.auditing.running import unanswered
from gpicl_bench.errors import InvalidArgument, LearnerError, check_integer
from gpicl_bench.evaluation.environment import provenance
from gpicl_bench.evaluation.metrics import log_losses
from gpicl_bench.evaluation.results import QUICK_TASKS, LearnerRecord, Result, Setting, Times
from gpicl_bench.learners import Adapter, Block, LoadedLearner, adapt, named
from gpicl_bench.learners.prediction import predicted
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.progress import bar
from gpicl_bench.registration import make
from gpicl_bench.streams import child_key, root_key
from gpicl_bench.suite import PROTOCOL, Split, Suite


def evaluate(
    learner: Any,
    suite: str | Suite | Split,
    num_tasks: int = QUICK_TASKS,
    positions: Iterable[int] | None = None,
    learner_seed: int = 0,
    *,
    audit: Level | Literal["off"] | None = None,
    progress: bool = False,
) -> Result:
    """Ask a learner about tasks it has not seen.

    Args:
        learner: a callable, step or sequence learner, a scikit-learn classifier, or a `LoadedLearner`.
        suite: a suite or its id (its `meta_test` split is used), or any split.
        num_tasks: tasks 0 … num_tasks-1 are asked; 4,096 is the evaluation of record, 1,024 its quick form.
        positions: how many labelled examples precede each query, from 0 to T-1; None: all of them.
        learner_seed: the seed of the keys that a stochastic learner gets, 0 ≤ seed < 2^64.
        audit: `full`, `quick` or `off`; None: quick for a learner from which labels cannot be withheld, else off.
        progress: show a bar on standard error.

    Raises:
        LearnerError: the learner raised, or returned something that is no prediction.
        DataUnavailable, DataCorrupt, CacheError: the suite's data cannot be used.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> result = evaluate(KNeighborsClassifier(1), "digits-proj-perm-v0", num_tasks=8, positions=[1, 99])
    >>> result.accuracy.shape, result.score is None
    ((2,), True)
    """
    started, begin = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
    split = _split(suite)
    asked = _positions(positions, split.info.T)
    num_tasks = check_integer("num_tasks", num_tasks, 1, 2**32)
    learner_seed = check_integer("learner_seed", learner_seed, 0, 2**64 - 1)
    loaded = named(learner)
    adapter = adapt(loaded.learner, split.info, loaded.name)
    setting = Setting(
        suite=split.spec.id,
        task_set=split.task_set,
        images=split.images,
        fingerprint=split.fingerprint,
        num_examples=split.info.T,
        num_classes=split.info.C,
        num_tasks=num_tasks,
        positions=tuple(asked.tolist()),
        learner_seed=learner_seed,
        protocol=PROTOCOL,
    )
    record = LearnerRecord(
        name=loaded.name,
        form=adapter.form,
        withholds_labels=adapter.withholds_labels,
        source_sha256=loaded.source_sha256,
        args=dict(loaded.args),
        card=dict(getattr(loaded.learner, "card", {})),
    )
    with bar(f"{loaded.name} on {split.spec.id}", num_tasks, progress) as advance, threadpool_limits(1):
        asking = _Asking(adapter, split, asked, learner_seed)
        for start in range(0, num_tasks, adapter.block):
            tasks = range(start, min(start + adapter.block, num_tasks))
            asking.ask(tasks)
            advance(len(tasks))
    audited = time.perf_counter()
    with threadpool_limits(1):
        evidence = _evidence(loaded, split, asking, audit, learner_seed, progress)
    audit_seconds = time.perf_counter() - audited
    times = Times(started, asking.task_seconds, asking.learner_seconds, audit_seconds, time.perf_counter() - begin)
    return Result(setting, record, provenance(), times, evidence, *asking.joined())


class _Asking:
    """Blocks of tasks asked so far: their predictions and outcomes, and where the time went."""

    def __init__(self, adapter: Adapter, split: Split, positions: Int64[np.ndarray, " P"], seed: int) -> None:
        self.adapter, self._split, self._positions, self._seed = adapter, split, positions, seed
        self._root = root_key(f"gpicl-bench/learner/{seed}")
        self._blocks: list[
            tuple[Int16[np.ndarray, "B P"], Bool[np.ndarray, "B P"], Float32[np.ndarray, "B P"] | None]
        ] = []
        self.task_seconds = self.learner_seconds = 0.0

    def ask(self, tasks: range) -> None:
        begin = time.perf_counter()
        episodes = [self._split.episode(i) for i in tasks]
        keys = np.stack([child_key(self._root, i) for i in tasks])
        block = Block(tasks, np.stack([e.x for e in episodes]), np.stack([e.y for e in episodes]), keys)
        ready = time.perf_counter()
        answers = self.adapter.predict(block, self._positions)
        self.task_seconds += ready - begin
        self.learner_seconds += time.perf_counter() - ready
        if self._blocks and (self._blocks[0][2] is None) != (answers.ndim == 2):
            raise LearnerError(
                "the learner returns scores on some tasks and labels on others",
                expected="one of the two, always",
                where=f"task {tasks[0]}",
            )
        y = block.y[:, self._positions]
        prediction = predicted(answers)
        log_loss = log_losses(answers, y).astype(np.float32) if answers.ndim == 3 else None
        self._blocks.append((prediction, prediction == y, log_loss))

    def again(self) -> Check:
        """Ask the first tasks once more: what was scored is what the audit has seen."""
        compared = np.concatenate([part[0] for part in self._blocks[:BLOCK]])[:BLOCK]
        fresh = _Asking(self.adapter, self._split, self._positions, self._seed)
        for start in range(0, len(compared), self.adapter.block):
            fresh.ask(range(start, min(start + self.adapter.block, len(compared))))
        differ = compared != fresh.joined()[0][: len(compared)]
        offence = f"{differ.sum()} of {differ.size} predictions are others after the audit" if differ.any() else ""
        return Check("scored answers", "failed" if offence else "passed", differ.size, "bits", offence)

    def joined(
        self,
    ) -> tuple[Int16[np.ndarray, "N P"], Bool[np.ndarray, "N P"], Float32[np.ndarray, "N P"] | None]:
        prediction, outcome, log_loss = zip(*self._blocks, strict=True)
        known = [part for part in log_loss if part is not None]
        return np.concatenate(prediction), np.concatenate(outcome), np.concatenate(known) if known else None


def _evidence(
    loaded: LoadedLearner,
    split: Split,
    asking: _Asking,
    level: Level | Literal["off"] | None,
    learner_seed: int,
    progress: bool,
) -> Audit | None:
    """The audit that was asked for, and whether the answers that were scored are given again after it."""
    if level is None:
        level = "off" if asking.adapter.withholds_labels else "quick"
    if level == "off":
        return None
    try:
        found = run_audit(loaded, Suite(split.spec), level, learner_seed=learner_seed, progress=progress)
        return replace(found, checks=(*found.checks, asking.again()))
    except LearnerError as error:  # it has answered all that is scored: that is not lost
        return Audit(level, 0, "", (unanswered(error),))


def _split(suite: str | Suite | Split) -> Split:
    if isinstance(suite, Split):
        return suite
    chosen = make(suite) if isinstance(suite, str) else suite
    if not isinstance(chosen, Suite):
        raise InvalidArgument("this is no suite", expected="a suite, its id, or a split", got=type(suite).__name__)
    return chosen.meta_test


def _positions(positions: Iterable[int] | None, num_examples: int) -> Int64[np.ndarray, " P"]:
    if positions is None:
        return np.arange(num_examples)
    if not isinstance(positions, Iterable):
        raise InvalidArgument("positions are no sequence", expected="such as [0, 10, 99]", got=repr(positions))
    asked = {check_integer("a position", position, 0, num_examples - 1) for position in positions}
    if not asked:
        raise InvalidArgument("there is no position to ask", expected=f"some of 0 … {num_examples - 1}", got="none")
    return np.array(sorted(asked), np.int64)
