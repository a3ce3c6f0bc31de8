"""The harness: asks a learner about every task, and keeps the labels to itself."""

import time
from collections.abc import Iterable
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

from gpicl_bench.auditing import Audit
from gpicl_bench.auditing import audit as run_audit
from gpicl_bench.auditing.running import unanswered
from gpicl_bench.errors import InvalidArgument, LearnerError
from gpicl_bench.evaluation.asking import ask, asked_again, joined, unanswered_blocks
from gpicl_bench.evaluation.environment import provenance
from gpicl_bench.evaluation.journal import Journal, kept
from gpicl_bench.evaluation.planning import AuditLevel, Plan, plan
from gpicl_bench.evaluation.results import QUICK_TASKS, Result, Times
from gpicl_bench.evaluation.workers import ask_workers, check_workers
from gpicl_bench.learners.threads import one_thread
from gpicl_bench.progress import bar
from gpicl_bench.suite import Split, Suite


def evaluate(
    learner: Any,
    suite: str | Suite | Split,
    num_tasks: int = QUICK_TASKS,
    positions: Iterable[int] | None = None,
    learner_seed: int = 0,
    *,
    audit: AuditLevel | None = None,
    workers: int = 1,
    checkpoint: str | Path | None = None,
    progress: bool = False,
) -> Result:
    """Ask a learner about tasks it has not seen.

    Args:
        learner: a callable, step or sequence learner, a scikit-learn classifier, a torch module, or a
            `LoadedLearner`.
        suite: a suite or its id (its `meta_test` split is used), or any split.
        num_tasks: tasks 0 … num_tasks-1 are asked; 4,096 is the evaluation of record, 1,024 its quick form.
        positions: how many labelled examples precede each query, from 0 to T-1; None: all of them.
        learner_seed: the seed of the keys that a stochastic learner gets, 0 ≤ seed < 2^64.
        audit: `full`, `quick` or `off`; None: quick for a learner from which labels cannot be withheld, else off.
        workers: processes that answer, 1 … 1024, for learners that are asked one episode at a time; the result is the
            same. Each loads the learner's file; an object is pickled. `joblib.parallel_config` chooses the back end.
        checkpoint: a file that keeps every finished block of tasks, the journal. From a journal of this very evaluation
            it goes on, to the same result. Of a learner that is no file, name, form, settings and card are compared.
        progress: show a bar on standard error.

    Raises:
        LearnerError: the learner raised, or returned something that is no prediction; or a worker died.
        LearnerFileError: a worker cannot load the learner's file, or finds it changed.
        ResultError: the checkpoint is damaged, of another evaluation, in use, or cannot be written.
        DataUnavailable, DataCorrupt, CacheError: the suite's data cannot be used.

    >>> from sklearn.neighbors import KNeighborsClassifier
    >>> result = evaluate(KNeighborsClassifier(1), "digits-proj-perm-v0", num_tasks=8, positions=[1, 99])
    >>> result.accuracy.shape, result.score is None
    ((2,), True)
    """
    begin = time.perf_counter()
    planned = plan(learner, suite, num_tasks, positions, learner_seed, audit)
    workers = check_workers(workers, planned)
    here = provenance()
    with kept(_path(checkpoint), planned, here) as journal:
        _ask_all(planned, journal, workers, progress)
        audited = time.perf_counter()
        evidence = _evidence(planned, journal, progress)
        end = time.perf_counter()
    blocks = journal.blocks
    times = Times(
        started=journal.started,
        tasks=sum(block.task_seconds for block in blocks),
        learner=sum(block.learner_seconds for block in blocks),
        audit=end - audited,
        total=journal.seconds + end - begin,
    )
    where = replace(here, device=", ".join(sorted({block.device for block in blocks})))
    return Result(planned.setting, planned.learner, where, times, evidence, *joined(blocks))


def _ask_all(planned: Plan, journal: Journal, workers: int, progress: bool) -> None:
    """Ask what the journal does not hold yet, in one thread."""
    left = unanswered_blocks(planned, journal.blocks, workers)
    answers = closing(ask(planned, left) if workers == 1 else ask_workers(planned, left, workers))
    title, count = f"{planned.loaded.name} on {planned.setting.suite}", planned.setting.num_tasks
    with bar(title, count, progress, journal.num_tasks) as advance, one_thread(), answers as blocks:
        for block in blocks:
            journal.append(block)
            advance(len(block.tasks))


def _evidence(planned: Plan, journal: Journal, progress: bool) -> Audit | None:
    """The audit that was asked for, and whether the answers that were scored are given again after it."""
    level, setting = planned.audit, planned.setting
    if level == "off":
        return None
    seed = journal.audit_seed()
    suite = Suite(planned.split.spec)
    try:
        with one_thread():
            found = run_audit(
                planned.loaded, suite, level, learner_seed=setting.learner_seed, seed=seed, progress=progress
            )
            return replace(found, checks=(*found.checks, asked_again(planned, journal.blocks)))
    except LearnerError as error:  # it has answered all that is scored: that is not lost
        return Audit(level, 0, seed, (unanswered(error),))


def _path(checkpoint: str | Path | None) -> Path | None:
    """The whole path: a learner may change the working folder."""
    if checkpoint is None:
        return None
    if not isinstance(checkpoint, str | Path):
        raise InvalidArgument("this is no path", expected="checkpoint=FILE", got=repr(checkpoint))
    return Path(checkpoint).absolute()
