"""The journal of an evaluation: blocks of tasks on disk as soon as they are answered, so that a killed run goes on.

The first line (`lines`) says of which evaluation it is. Then there is one for each block of tasks, in the order in
which they were finished, and one for the seed of the audit.
"""

import os
import secrets
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

from gpicl_bench.errors import LearnerError, ResultError
from gpicl_bench.evaluation.asking import Answered
from gpicl_bench.evaluation.lines import Record, append, cut, damaged, locked, read, readable
from gpicl_bench.evaluation.packing import pack, unpack
from gpicl_bench.evaluation.planning import Plan, differing, origin
from gpicl_bench.evaluation.results import Provenance

FORMAT = "gpicl-bench-journal/1"


@dataclass(eq=False)
class Journal:
    """What has been answered so far, on disk if there is a file.

    Attributes:
        started: when the first of its runs began.
        about: the evaluation.
        blocks: in the order in which they were finished.
        seconds: of the runs before this one, as far as they are known.
        write: appends a line to the file; None if there is no file.
    """

    started: str
    about: Record
    blocks: list[Answered] = field(default_factory=list)
    seconds: float = 0.0
    write: Callable[[Record], None] | None = None
    _seed: str | None = None
    _asked: set[int] = field(default_factory=set)
    _since: float = field(default_factory=time.perf_counter)

    @property
    def num_tasks(self) -> int:
        return sum(len(block.tasks) for block in self.blocks)

    def append(self, block: Answered) -> None:
        """Keep a block.

        Raises:
            LearnerError: it has labels where others have scores.
            ResultError: it cannot be written; what was kept before stays.
        """
        if self.blocks and (self.blocks[0].log_loss is None) != (block.log_loss is None):
            raise LearnerError(
                "the learner returns scores on some tasks and labels on others",
                expected="one of the two, always",
                where=f"task {block.tasks[0]}",
            )
        self.blocks.append(block)  # first: an interrupt must not make a written journal look empty
        if self.write is not None:
            now = time.perf_counter()
            seconds = {"tasks": block.task_seconds, "learner": block.learner_seconds, "total": now - self._since}
            span = [block.tasks.start, block.tasks.stop]
            self.write({"tasks": span, "seconds": seconds, "device": block.device, "arrays": pack(block)})
            self._since = now

    def audit_seed(self) -> str:
        """The seed of the audit, drawn when it is first asked for: after the last answer that is scored."""
        if self._seed is None:
            seed = secrets.token_hex(32)
            if self.write is not None:
                self.write({"audit_seed": seed})
            self._seed = seed
        return self._seed

    def take(self, record: Record) -> None:
        """Take up a line that was written before."""
        if "audit_seed" in record:
            self._seed = str(record["audit_seed"])
            return
        setting, seconds = self.about["setting"], record["seconds"]
        tasks = range(*record["tasks"])
        if not 0 <= tasks.start < tasks.stop <= setting["num_tasks"] or not self._asked.isdisjoint(tasks):
            raise ValueError(f"tasks {tasks.start} to {tasks.stop - 1} are out of range, or kept twice")
        arrays: Any = unpack(record["arrays"], (len(tasks), len(setting["positions"])))
        spent: Any = (seconds["tasks"], seconds["learner"], record["device"])
        self.blocks.append(Answered(tasks, *arrays, *spent))
        self._asked.update(tasks)
        self.seconds += seconds["total"]


@contextmanager
def kept(path: Path | None, plan: Plan, provenance: Provenance) -> Iterator[Journal]:
    """The journal of an evaluation at `path`: a new one, or what is there of the same evaluation; None: no file.

    One process at a time has it. It stays when the evaluation ends, however it ends, unless nothing is in it.

    Raises:
        ResultError: it is damaged, of another evaluation, in use, or cannot be written.
    """
    now = datetime.now(UTC).isoformat(timespec="seconds")
    about = {**plan.about, "provenance": origin(provenance)}
    if path is None:
        yield Journal(now, about)
        return
    with locked(path) as file:
        journal = _found(file, path)
        cut(file)
        new = journal is None or not journal.blocks
        journal = Journal(now, about) if journal is None or new else journal
        _check_same(journal.about, about, path)
        journal.write = partial(append, file, path)
        try:
            if new:
                os.ftruncate(file, 0)
                journal.write({"format": FORMAT, "started": now, **about})
            yield journal
        finally:
            if not journal.blocks:
                with suppress(OSError):
                    path.unlink()


def num_kept(path: Path) -> int:
    """How many tasks are kept in a journal; 0 if there is none.

    Raises:
        ResultError: it is no journal, or it is damaged.
    """
    if not os.path.lexists(path):
        return 0
    with readable(path) as file:
        journal = _found(file, path)
    return 0 if journal is None else journal.num_tasks


def _found(file: int, path: Path) -> Journal | None:
    """What the file holds; None if its first line is not finished."""
    journal: Journal | None = None
    for number, record in read(file, path, FORMAT):
        try:
            if journal is None:
                about = {name: value for name, value in record.items() if name not in ("format", "started")}
                journal = Journal(str(record["started"]), about)
            else:
                journal.take(record)
        except (ValueError, KeyError, TypeError, ResultError) as error:
            raise damaged(path, number, error) from error
    return journal


def _check_same(found: Record, about: Record, path: Path) -> None:
    differs = differing(found, about)
    if differs:
        raise ResultError(
            "the journal is of another evaluation",
            where=str(path),
            hint="the same learner, options and versions as at first; or delete the journal to begin anew",
            **differs,
        )
