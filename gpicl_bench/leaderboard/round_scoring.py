"""The last phase of a hidden round: every frozen entry on the tasks of the seed, and the ranking.

Entries that were withdrawn or altered, and learners that fail, are listed by name, and stop nobody else.
"""

import math
import tempfile
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from gpicl_bench import __version__
from gpicl_bench.errors import LearnerError, ResultError, RoundError, check_integer
from gpicl_bench.evaluation import Result, load_result
from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.evaluation.results import RECORD_TASKS
from gpicl_bench.evaluation.storage import digest
from gpicl_bench.leaderboard.bundle import copy_listed
from gpicl_bench.leaderboard.entry import Entry, Run
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
from gpicl_bench.leaderboard.playing import Job, journal, played
from gpicl_bench.leaderboard.reading import bundle
from gpicl_bench.leaderboard.round_files import read_round, write_round
from gpicl_bench.leaderboard.round_history import ranked, revealed_part
from gpicl_bench.registration import make

TIME_LIMIT = 86_400  # seconds a run


def score(
    folder: Path,
    name: str,
    num_tasks: int = RECORD_TASKS,
    *,
    time_limit: int = TIME_LIMIT,
    now: datetime | None = None,
    progress: bool = False,
) -> HiddenRound:
    """Score a revealed round. THIS RUNS THE CODE of every entry: read it first.

    Result files lie in `<folder>/rounds/<round>/<suite>/<entry>/run<i>.json`; those that are there already are kept, so
    that an interrupted scoring goes on. Scores are final: a round is scored once.

    Args:
        folder: of leaderboards.
        name: of the round.
        num_tasks: tasks 0 … num_tasks-1 of each suite's `meta_test@<seed>`.
        time_limit: seconds for each run, after which it has failed.
        now: the time; None: that of the clock when all is done.
        progress: show bars, and what learners print, on standard error.

    Raises:
        RoundError: the round is not revealed, is scored already, or a result file in the way is of another evaluation.
        DataUnavailable, DataCorrupt, CacheError: a suite's data cannot be used.
    """
    hidden = read_round(folder, name)
    revealed_part(hidden)
    if hidden.scores is not None:
        raise RoundError("the round is scored already", got=hidden.scores.time, where=f"round {name}")
    num_tasks = check_integer("num_tasks", num_tasks, 1, 2**32)
    time_limit = check_integer("time_limit", time_limit, 1, 10**7)
    for suite in sorted({entered.suite for entered in hidden.entered}):
        _ = make(suite).meta_test.part  # before any work: nobody finds out after hours that images are missing
    asking = _Asking(folder, hidden, num_tasks, time_limit, progress)
    found = [asking.score(entered) for entered in hidden.entered]
    scores = Scores(
        time=stamp(now or datetime.now(UTC)), num_tasks=num_tasks, version=__version__, entries=ranked(found)
    )
    hidden = with_parts(hidden, scores=scores.model_dump(mode="json"))
    write_round(folder, hidden)
    return hidden


class _Asking:
    """The entries of one round, asked one by one."""

    def __init__(self, folder: Path, hidden: HiddenRound, num_tasks: int, time_limit: int, progress: bool) -> None:
        self.folder, self.hidden, self.num_tasks = folder.absolute(), hidden, num_tasks
        self.time_limit, self.progress = time_limit, progress
        self.seed = revealed_part(hidden).seed

    def score(self, entered: Entered) -> Score:
        """The score of an entry, or why it has none."""
        path = entry_path(self.folder, entered)
        try:
            entry = frozen_entry(self.folder, entered)
            frozen_files(entry, path)
        except RoundError as error:
            return _without(entered, "altered" if path.exists() else "withdrawn", error)
        try:
            results = tuple(self._result(entry, path, i, run) for i, run in enumerate(entry.runs))
            return _with(entered, Runs(entry.name, results))
        except (LearnerError, ResultError) as error:  # ResultError: no two runs are those of one learner
            return _without(entered, "failed", error)

    def _result(self, entry: Entry, path: Path, i: int, run: Run) -> Result:
        """The result of a run: that of an earlier scoring, or a new one."""
        output = self.folder / "rounds" / self.hidden.name / entry.suite / entry.name / f"run{i}.json"
        if self.folder.resolve() / output.relative_to(self.folder) != output.resolve():
            raise RoundError("results would be written elsewhere", expected="no links", got=str(output.resolve()))
        args = {**entry.learner.args, **run.args}
        if output.exists():
            return self._checked(output, entry, args)
        output.parent.mkdir(parents=True, exist_ok=True)
        try:
            self._ask(entry, path, args, output)
        except LearnerError:
            journal(output).unlink(missing_ok=True)
            raise
        try:
            return self._checked(output, entry, args)
        except RoundError as error:  # its process has written something else
            output.unlink(missing_ok=True)
            raise LearnerError("the learner spoilt its result", got=f"{error.what}: {error.got}") from error

    def _ask(self, entry: Entry, path: Path, args: dict[str, Any], output: Path) -> None:
        with tempfile.TemporaryDirectory(prefix="gpicl_bench-round-") as scratch:
            home, desk = Path(scratch) / "entry", Path(scratch) / "desk"
            desk.mkdir()
            copy_listed(entry.files, bundle(path), home)
            about = (entry.suite, self.seed, self.num_tasks, str(output), self.progress)
            played(Job(str(home), entry.learner.file, args, *about), desk, self.time_limit)

    def _checked(self, output: Path, entry: Entry, args: dict[str, Any]) -> Result:
        """A result file, if it is that of this entry on these tasks."""
        try:
            result = load_result(output)
        except ResultError as error:
            raise RoundError(error.what, expected=error.expected, got=error.got, where=error.where) from error
        split = make(entry.suite).at_round(self.seed).meta_test
        setting, learner = result.setting, result.learner
        found = {
            "suite": (entry.suite, setting.suite),
            "task_set": (split.task_set, setting.task_set),
            "fingerprint": (split.fingerprint, setting.fingerprint),
            "num_tasks": (self.num_tasks, setting.num_tasks),
            "positions": (tuple(range(split.info.T)), setting.positions),
            "learner_seed": (0, setting.learner_seed),
            "learner file": (entry.files[entry.learner.file], learner.source_sha256),
            "args": (args, dict(learner.args)),
        }
        for what, (wanted, got) in found.items():
            if wanted != got:
                raise RoundError(
                    f"this result is of another evaluation: {what}",
                    expected=str(wanted),
                    got=str(got),
                    where=str(output),
                    hint="the same --num-tasks as at first; or delete it to ask again",
                )
        return result


def _with(entered: Entered, runs: Runs) -> Score:
    """The score over the runs; its interval is over runs from three on, else over tasks."""
    bad = [r.audit.status for r in runs.results if r.audit is not None and r.audit.status != "passed"]
    low, high = runs.task_interval if runs.run_interval is None else runs.run_interval
    verdict: Verdict = "audit failed" if bad else "scored"
    return Score(
        **_who(entered),
        verdict=verdict,
        reason="",
        rank=None,
        score=runs.mean,
        score_interval=None if math.isnan(low) else (low, high),
        over="tasks" if runs.run_interval is None else "runs",
        evidence=runs.evidence,
        results=[digest(result) for result in runs.results],
    )


def _without(entered: Entered, verdict: Verdict, error: LearnerError | ResultError | RoundError) -> Score:
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
