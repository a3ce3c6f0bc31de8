"""The last phase of a hidden round: every frozen entry on the tasks of the seed, and the ranking.

The harness holds the labels and judges; each run of a learner answers in a process of its own (`rerun`), which can end,
hang or send nonsense, and is then an entry that failed. Entries that were withdrawn or altered, and learners that fail,
are listed by name, and stop nobody else.

Everything that lies in files is read before the first learner runs: what it may write there changes no score.
"""

import math
import shutil
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpicl_bench import __version__
from gpicl_bench.errors import EntryError, LearnerError, ResultError, RoundError, check_integer
from gpicl_bench.evaluation import Result, load_result, provenance
from gpicl_bench.evaluation.asking import Answered, episodes, joined, judged
from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.evaluation.environment import device
from gpicl_bench.evaluation.planning import asked_of
from gpicl_bench.evaluation.results import LearnerRecord, Times
from gpicl_bench.evaluation.storage import digest
from gpicl_bench.leaderboard.bundle import copy_listed
from gpicl_bench.leaderboard.claims import SOUND, check_learner, check_outcomes, check_setting
from gpicl_bench.leaderboard.entry import Entry
from gpicl_bench.leaderboard.frozen import entry_path, frozen_entry, frozen_files
from gpicl_bench.leaderboard.hidden_round import (
    LONGEST_REASON,
    Entered,
    HiddenRound,
    Score,
    Scores,
    Verdict,
    stamp,
    with_parts,
)
from gpicl_bench.leaderboard.reading import bundle
from gpicl_bench.leaderboard.rerun import Limits, asking
from gpicl_bench.leaderboard.round_files import read_round, write_round
from gpicl_bench.leaderboard.round_history import ranked, revealed_part
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.learners.threads import one_thread
from gpicl_bench.progress import bar
from gpicl_bench.registration import make
from gpicl_bench.suite import Split

NUM_TASKS = 256  # labels come one by one, so a sequence learner is called once a position: T times an evaluation
LIMITS = Limits(seconds=86_400.0)  # of each run


def score(
    folder: Path,
    name: str,
    num_tasks: int = NUM_TASKS,
    *,
    limits: Limits = LIMITS,
    now: datetime | None = None,
    progress: bool = False,
) -> HiddenRound:
    """Score a revealed round. THIS RUNS THE CODE of every entry: read it first.

    Result files lie in `<folder>/rounds/<round>/<suite>/<entry>/run<i>.json`; those that are there already are kept, so
    that an interrupted scoring goes on; a run that was not finished begins again. Scores are final: a round is scored
    once.

    Args:
        folder: of leaderboards.
        name: of the round.
        num_tasks: tasks 0 … num_tasks-1 of each suite's `meta_test@<seed>`.
        limits: of each run's process, beyond which the run has failed.
        now: the time; None: that of the clock when all is done.
        progress: show bars on standard error.

    Raises:
        RoundError: the round is not revealed, is scored already, or a result file cannot be written or is of another
            evaluation.
        DataUnavailable, DataCorrupt, CacheError: a suite's data cannot be used.
    """
    hidden = read_round(folder, name)
    revealed_part(hidden)
    if hidden.scores is not None:
        raise RoundError("the round is scored already", got=hidden.scores.time, where=f"round {name}")
    scoring = _Scoring(folder, hidden, check_integer("num_tasks", num_tasks, 1, 2**32), limits, progress)
    for suite in sorted({entered.suite for entered in hidden.entered}):
        _ = make(suite).meta_test.part  # before any work: nobody finds out after hours that images are missing
    frozen = [scoring.frozen(entered) for entered in hidden.entered]  # all of them before any learner runs
    found = [each if isinstance(each, Score) else scoring.score(each) for each in frozen]
    scores = Scores(
        time=stamp(now or datetime.now(UTC)), num_tasks=num_tasks, version=__version__, entries=ranked(found)
    )
    hidden = with_parts(hidden, scores=scores.model_dump(mode="json"))
    write_round(folder, hidden)
    return hidden


@dataclass(frozen=True, eq=False)
class _Frozen:
    """An entry as it entered, the record of each run's learner, and each run's file with what is in it already."""

    entered: Entered
    entry: Entry
    split: Split
    learners: Sequence[LearnerRecord]
    kept: Mapping[Path, Result | None]


class _Scoring:
    """The entries of one round, asked one by one."""

    def __init__(self, folder: Path, hidden: HiddenRound, num_tasks: int, limits: Limits, progress: bool) -> None:
        self.folder, self.hidden, self.num_tasks = folder.absolute(), hidden, num_tasks
        self.limits, self.progress = limits, progress

    def frozen(self, entered: Entered) -> _Frozen | Score:
        """The entry, whose code has not run yet; or that it is withdrawn, altered, or of another learner's results."""
        path = entry_path(self.folder, entered)
        try:
            entry = frozen_entry(self.folder, entered)
            frozen_files(entry, path)
        except RoundError as error:
            return _without(entered, "altered" if path.exists() else "withdrawn", error)
        try:
            learners = _learners(entry, bundle(path))
        except (LearnerError, ResultError) as error:
            return _without(entered, "failed", error)
        split = make(entry.suite).at_round(revealed_part(self.hidden).seed).meta_test
        outputs = [self._output(entry, i) for i in range(len(learners))]
        kept = {output: self._kept(output, split, each) for output, each in zip(outputs, learners, strict=True)}
        return _Frozen(entered, entry, split, learners, kept)

    def score(self, frozen: _Frozen) -> Score:
        """The score of an entry, or why it has none."""
        try:
            results = tuple(self._result(frozen, i, output) for i, output in enumerate(frozen.kept))
            return _with(frozen, Runs(frozen.entry.name, results))
        except (EntryError, ResultError) as error:  # ResultError: no two runs are those of one learner
            return _without(frozen.entered, "failed", error)

    def _output(self, entry: Entry, i: int) -> Path:
        output = self.folder / "rounds" / self.hidden.name / entry.suite / entry.name / f"run{i}.json"
        if self.folder.resolve() / output.relative_to(self.folder) != output.resolve():
            raise RoundError("results would be written elsewhere", expected="no links", got=str(output.resolve()))
        return output

    def _kept(self, output: Path, split: Split, learner: LearnerRecord) -> Result | None:
        """The result of an earlier scoring, if there is one; it is of this learner on these tasks, and scored again."""
        if not output.exists():
            return None
        try:
            result = load_result(output)
            check_setting(result, split)
            for what, ours, theirs in (
                ("num_tasks", self.num_tasks, result.setting.num_tasks),
                ("learner", learner, result.learner),
            ):
                if ours != theirs:
                    raise EntryError(what, expected=str(ours), got=theirs)
            check_outcomes(result, split)
        except (EntryError, ResultError) as error:
            raise RoundError(
                f"this result is of another evaluation: {error.what}",
                expected=error.expected,
                got=error.got,
                where=str(output),
                hint="the same --num-tasks as at first; or delete it to ask again",
            ) from error
        return result

    def _result(self, frozen: _Frozen, i: int, output: Path) -> Result:
        """The result of a run: that of an earlier scoring, or a new one."""
        result = frozen.kept[output]
        if result is None:
            result = self._asked(frozen, i)
            _save(result, output)
        return result

    def _asked(self, frozen: _Frozen, i: int) -> Result:
        """Ask a run's learner about all tasks, in a process that gets a label only after it has answered for it."""
        started, begin = datetime.now(UTC).isoformat(timespec="seconds"), time.perf_counter()
        entry, learner, blocks = frozen.entry, frozen.learners[i], list[Answered]()
        title = f"{entry.name}, run {i}, on {entry.suite}"
        with tempfile.TemporaryDirectory(prefix="gpicl_bench-round-", ignore_cleanup_errors=True) as home:
            copy_listed(entry.files, bundle(entry_path(self.folder, frozen.entered)), Path(home))
            process = asking(entry.learner.file, Path(home), learner.args, frozen.split.info, self.limits)
            with process as asked, one_thread(), bar(title, self.num_tasks, self.progress) as advance:
                for start in range(0, self.num_tasks, BLOCK):
                    tasks, then = range(start, min(start + BLOCK, self.num_tasks)), time.perf_counter()
                    block, ready = episodes(frozen.split, tasks, 0), time.perf_counter()
                    answers = asked.answers(block, range(frozen.split.info.T))
                    seconds = ready - then, time.perf_counter() - ready
                    blocks.append(judged(tasks, block.y, answers, *seconds, device()))
                    advance(len(tasks))
        times = Times(
            started=started,
            tasks=sum(block.task_seconds for block in blocks),
            learner=sum(block.learner_seconds for block in blocks),
            audit=0.0,
            total=time.perf_counter() - begin,
        )
        setting = asked_of(frozen.split, self.num_tasks)
        return Result(setting, learner, provenance(), times, None, *joined(blocks)[:2], log_loss=None)


def _save(result: Result, output: Path) -> None:
    """Write a result; what a learner has put in its place goes."""
    try:
        output.parent.mkdir(parents=True, exist_ok=True)
        if output.is_dir() and not output.is_symlink():
            shutil.rmtree(output)
        else:
            output.unlink(missing_ok=True)
        result.save(output)
    except (OSError, ResultError) as error:
        got = error.got if isinstance(error, ResultError) else error.strerror
        raise RoundError("a result cannot be written", got=got, where=str(output)) from error


def _learners(entry: Entry, folder: Path) -> list[LearnerRecord]:
    """Of each run, from the entry's own result: what a learner is cannot be told without running it."""
    results = [load_result(folder / run.result) for run in entry.runs]
    for run, result in zip(entry.runs, results, strict=True):
        check_learner(result, entry, run)
    return [result.learner for result in results]


def _with(frozen: _Frozen, runs: Runs) -> Score:
    """The score over the runs; its interval is over runs from three on, else over tasks."""
    low, high = runs.task_interval if runs.run_interval is None else runs.run_interval
    audit = frozen.entry.claimed.audit
    return Score(
        **_who(frozen.entered),
        verdict="scored" if audit in SOUND else "audit failed",
        reason="",
        rank=None,
        score=runs.mean,
        score_interval=None if math.isnan(low) else (low, high),
        over="tasks" if runs.run_interval is None else "runs",
        evidence=f"audit: {audit}",
        results=[digest(result) for result in runs.results],
    )


def _without(entered: Entered, verdict: Verdict, error: EntryError | LearnerError | ResultError | RoundError) -> Score:
    """An entry that has no score, and why."""
    got = "" if error.got is None else f": {error.got}"
    reason = "".join(c if c.isprintable() else " " for c in f"{error.what}{got}")[:LONGEST_REASON]
    return Score(
        **_who(entered),
        verdict=verdict,
        reason=reason,
        rank=None,
        score=None,
        score_interval=None,
        over=None,
        evidence="",
        results=[],
    )


def _who(entered: Entered) -> dict[str, Any]:
    return entered.model_dump(exclude={"time"})
