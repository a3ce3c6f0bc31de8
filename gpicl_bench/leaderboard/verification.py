"""Verifying an entry: its files, its numbers, and its learner, asked again in a process of its own.

A forger whose predictions are made up on a share p of the tasks, and who cannot know which n tasks will be asked again,
escapes with probability at most (1 - p)^n: tasks are drawn without replacement after the entry was made. A program that
knows the public tasks, say because it regenerates them, is better on them than on fresh ones, which nobody has seen.
"""

import datetime
import hashlib
import platform
import re
import secrets
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Bool, Float64, Int16, Int64

from gpicl_bench.diagnosing import load_diagnosis
from gpicl_bench.errors import EntryError, GpiclBenchError, InvalidArgument, check_integer
from gpicl_bench.evaluation import load_result
from gpicl_bench.evaluation.asking import episodes
from gpicl_bench.evaluation.comparison import Runs
from gpicl_bench.evaluation.metrics import areas, ties
from gpicl_bench.evaluation.results import Result
from gpicl_bench.evaluation.storage import close
from gpicl_bench.leaderboard.bundle import check_files, check_no_others, copy_listed
from gpicl_bench.leaderboard.claims import check_learner, check_outcomes, check_setting, claims
from gpicl_bench.leaderboard.entry import Entry, Verified, plain
from gpicl_bench.leaderboard.reading import bundle, read_entry, stamped, write_entry
from gpicl_bench.leaderboard.rerun import Asked, CouldNotAsk, Limits, asking
from gpicl_bench.leaderboard.tracks import track
from gpicl_bench.learners.prediction import predicted
from gpicl_bench.learners.sequence import BLOCK
from gpicl_bench.registration import make
from gpicl_bench.reporting import text
from gpicl_bench.suite import Split

NUM_TASKS = 64  # asked again: a forger of 5% of the tasks escapes one time in 27
TOLERANCE = 1e-4  # of a tie: the difference of the two scores, relative to the larger
FEWEST = 8  # fresh tasks from which anything is concluded: the spread of fewer is anything
MOST_EXCUSED = 0.01  # of the predictions that were compared
KNOWING = 1e-5  # p below which a learner that is better on public tasks than on fresh ones knows the public ones
_TIMES = ("episode_seconds",)  # told, and never the same twice


def verify(
    path: str | Path,
    num_tasks: int | None = NUM_TASKS,
    seed: str | None = None,
    limits: Limits | None = None,
    say: Callable[[str], None] = lambda line: None,
) -> Verified:
    """Verify an entry and write the verdict into it.

    Running a learner runs its code: in a process of its own, with limits, and without a network where the system
    allows it; but read what you run.

    Args:
        path: `<suite>/<name>.yaml`.
        num_tasks: how many tasks are asked again for each run, at every position; None: all.
        seed: of their choice, 64 hex digits; None: drawn now.
        limits: of each run's process.
        say: is told what happens.

    Returns:
        The entry's part `verified`, as it was written.

    Raises:
        EntryError: the entry or one of its files is missing, malformed or altered: then nothing is written.
        DataUnavailable: the suite's images are not on this machine.
    """
    path = Path(path)
    entry = read_entry(path)
    if num_tasks is not None:
        num_tasks = check_integer("num_tasks", num_tasks, 1, entry.claimed.num_tasks)
    drawn, seed = seed is None, secrets.token_hex(32) if seed is None else seed
    if not re.fullmatch("[0-9a-f]{64}", seed):
        raise InvalidArgument("this is no seed", expected="64 lower-case hex digits", got=repr(seed))
    check_files(entry.files, bundle(path))
    check_no_others(entry.files, bundle(path))
    say(f"{len(entry.files)} files are as the entry says")
    split = make(entry.suite).meta_test
    _ = split.part
    found = _Found(entry, bundle(path), split, say)
    verdict, reason = found.verdict(num_tasks, seed, limits or Limits())
    about = {**found.fields(), "seed": seed, "drawn": drawn, "verdict": verdict, "reason": reason}
    verified = Verified(**stamped(entry, about))
    now = read_entry(path)  # organisers may have marked it meanwhile
    if now.digest != entry.digest:
        raise EntryError("the entry was replaced while it was verified", expected=entry.digest, got=now.digest)
    write_entry(now.model_copy(update={"verified": verified}), path)
    return verified


def chosen(num_tasks: int, count: int | None, seed: str) -> Int64[np.ndarray, " n"]:
    """The tasks to ask again, in the order in which they are asked: `count` of them, or all, shuffled by the seed."""
    rng = np.random.default_rng(int(seed, 16))
    return rng.permutation(num_tasks)[: num_tasks if count is None else count]


@dataclass(eq=False)
class _Found:
    """What a verification knows so far."""

    entry: Entry
    folder: Path
    split: Split
    say: Callable[[str], None]
    results: Sequence[Result] = ()
    scored: bool = False
    rerun: int = 0
    compared: int = 0
    differing: int = 0
    excused: int = 0
    isolated: bool = False
    fresh: float | None = None

    def verdict(self, num_tasks: int | None, seed: str, limits: Limits) -> tuple[str, str]:
        """The verdict and its reason. Only a contradiction refutes: what a learner lacks here is not its fault."""
        try:
            self.check_claims()
            self.check_outcomes()
            self.ask_again(num_tasks, seed, limits)
        except CouldNotAsk as error:
            return "not reproduced", _told(error)
        except GpiclBenchError as error:
            return "refuted", _told(error)
        return "verified", ""

    def check_claims(self) -> None:
        """Results and diagnoses are whole, are of this learner, and say what the entry claims."""
        self.results = [load_result(self.folder / run.result) for run in self.entry.runs]
        diagnoses = [load_diagnosis(self.folder / run.diagnosis) for run in self.entry.runs]
        for run, result in zip(self.entry.runs, self.results, strict=True):
            check_setting(result, self.split)
            check_learner(result, self.entry, run)
        derived = claims(self.entry.name, self.results, diagnoses)
        claimed = plain(self.entry.claimed)
        for name in (name for name in derived if name not in _TIMES):
            wanted = [*derived[name]] if isinstance(derived[name], tuple) else derived[name]
            if not close(claimed[name], wanted):
                raise EntryError(f"{name} does not follow from the results", expected=str(wanted), got=claimed[name])
        belongs = track(self.entry.suite, [run.card for run in self.entry.runs])
        if belongs != self.entry.track:
            raise EntryError("the track does not follow from the cards", expected=belongs, got=self.entry.track)
        self.say("its numbers follow from its predictions")

    def check_outcomes(self) -> None:
        """Every prediction is scored again, against labels that are made anew."""
        for result in self.results:
            check_outcomes(result, self.split)
        self.scored = True
        self.say(f"{self.results[0].setting.num_tasks:,} tasks scored again: the outcomes are right")

    def ask_again(self, num_tasks: int | None, seed: str, limits: Limits) -> None:
        """Predictions for some tasks are made again, and some for fresh ones, by a process that knows no label."""
        isolated, fresh = [], []
        for number, (run, result) in enumerate(zip(self.entry.runs, self.results, strict=True), 1):
            tasks = chosen(result.setting.num_tasks, num_tasks, seed)
            args = {**self.entry.learner.args, **run.args}
            with tempfile.TemporaryDirectory(prefix="gpicl_bench-verify-") as copy:
                copy_listed(self._needed, self.folder, Path(copy))
                with asking(self.entry.learner.file, Path(copy), args, self.split.info, limits) as asked:
                    for rows in _blocks(tasks):
                        self._compare(asked, result, rows)
                    fresh.append(self._ask_fresh(asked, result, min(len(tasks), NUM_TASKS), seed))
                    isolated.append(asked.isolated)
            self.say(f"run {number}: {len(tasks):,} tasks asked again, {self.differing} predictions differ")
            self.say(f"run {number}: score on fresh tasks {fresh[-1]:.3f}")
        self.isolated, self.fresh = all(isolated), float(np.mean(fresh))
        if self.excused > MOST_EXCUSED * self.compared:
            raise EntryError("too many predictions are ties", expected=f"≤ {MOST_EXCUSED:.0%}", got=self.excused)

    def _ask_fresh(self, asked: Asked, result: Result, count: int, seed: str) -> float:
        """The score on tasks that were drawn for this verification; refused if it is far below that on public ones."""
        round_seed = hashlib.sha256(f"gpicl-bench/verification/{seed}".encode()).hexdigest()
        block = episodes(
            make(self.entry.suite).at_round(round_seed).meta_test, range(count), result.setting.learner_seed
        )
        right = predicted(asked.answers(block, result.setting.positions)) == block.y
        there = areas(right[:, 1:], self.split.info.C)
        here = areas(result.outcome[:, 1:], self.split.info.C)
        if knows_public(here, there):
            raise EntryError(
                "the learner is better on public tasks than on fresh ones",
                expected=f"about {there.mean():.3f}, its score on {count} fresh tasks",
                got=f"{here.mean():.3f} on the public ones, {there.mean():.3f} on {count} fresh ones",
            )
        return float(there.mean())

    @property
    def _needed(self) -> dict[str, str]:
        """The files that the learner needs: not its results."""
        evidence = {place for run in self.entry.runs for place in (run.result, run.diagnosis)}
        return {place: sha256 for place, sha256 in self.entry.files.items() if place not in evidence}

    def _compare(self, asked: Asked, result: Result, tasks: Int64[np.ndarray, " n"]) -> None:
        """Ask some tasks again, and compare every prediction."""
        block = episodes(self.split, tasks.tolist(), result.setting.learner_seed)
        values, claimed = asked.answers(block, result.setting.positions), result.prediction[tasks]
        differ = predicted(values) != claimed
        excused = differ & excusable(values, claimed)
        self.rerun += len(tasks)
        self.compared += differ.size
        self.differing += int((differ & ~excused).sum())
        self.excused += int(excused.sum())
        wrong = np.argwhere(differ & ~excused)
        if len(wrong):
            row, k = wrong[0].tolist()
            what = "the learner predicts something else than the entry says"
            said = f"{predicted(values)[row, k]}, claimed {claimed[row, k]}"
            raise EntryError(what, got=f"task {tasks[row]}, k = {k}: {said}; {len(wrong)} predictions differ")

    def fields(self) -> dict[str, Any]:
        from gpicl_bench import __version__

        runs = Runs(self.entry.name, tuple(self.results)) if self.scored else None
        return {
            "score": None if runs is None else runs.mean,
            "accuracy": None if runs is None else float(runs.accuracy[-1]),
            "rerun": self.rerun,
            "compared": self.compared,
            "differing": self.differing,
            "excused": self.excused,
            "tolerance": TOLERANCE,
            "isolated": self.isolated,
            "fresh": self.fresh,
            "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
            "version": __version__,
            "machine": platform.platform(),
        }


def knows_public(public: Float64[np.ndarray, " n"], fresh: Float64[np.ndarray, " m"]) -> bool:
    """Whether scores of tasks are higher on public tasks than on fresh ones, by Welch's t test at `KNOWING`."""
    from scipy.stats import ttest_ind_from_stats

    if len(fresh) < FEWEST:
        return False
    about = [(float(scores.mean()), float(scores.std(ddof=1)), len(scores)) for scores in (public, fresh)]
    if about[0][1] == about[1][1] == 0:
        return about[0][0] > about[1][0]
    found = ttest_ind_from_stats(*about[0], *about[1], equal_var=False, alternative="greater")
    return bool(found.pvalue < KNOWING)


def _blocks(tasks: Int64[np.ndarray, " n"]) -> Iterator[Int64[np.ndarray, " b"]]:
    """64 at a time: all tasks of a suite need not fit into memory."""
    return (tasks[start : start + BLOCK] for start in range(0, len(tasks), BLOCK))


def _told(error: GpiclBenchError) -> str:
    """An error in a line."""
    return text.plain(f"{error.what}{'' if error.got is None else f': {error.got}'}")[:4000]


def excusable(
    values: Float64[np.ndarray, "n P C"] | Int64[np.ndarray, "n P"], claimed: Int16[np.ndarray, "n P"]
) -> Bool[np.ndarray, "n P"]:
    """Where the claimed class scores the best but for the tolerance; never of labels, which have no margin."""
    return ties(values, claimed, TOLERANCE) if values.ndim == 3 else np.zeros(claimed.shape, bool)
