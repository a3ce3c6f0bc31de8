"""Diagnosing a learner: asks about every cell, tries every symmetry, and keeps the ledger."""

import hashlib
import re
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from gpicl_bench.datasets.loading import at_hand
from gpicl_bench.diagnosing.asking import ask_cell, drawn
from gpicl_bench.diagnosing.cell import Cell, Tasks
from gpicl_bench.diagnosing.diagnosis import Diagnosis, Question, Symmetry
from gpicl_bench.diagnosing.ledger import Ledger, parameters, state_bytes, timed
from gpicl_bench.diagnosing.phase import RULE
from gpicl_bench.diagnosing.seen import adapter_for, other_suites, seen_tasks
from gpicl_bench.diagnosing.symmetries import NUM_TASKS, calls, symmetries
from gpicl_bench.errors import (
    CacheError,
    DataCorrupt,
    DataUnavailable,
    InvalidArgument,
    LearnerError,
    check_integer,
)
from gpicl_bench.evaluation.environment import device, provenance
from gpicl_bench.evaluation.planning import learner_record
from gpicl_bench.learners import Adapter, LoadedLearner, adapt, named
from gpicl_bench.learners.threads import one_thread
from gpicl_bench.progress import bar
from gpicl_bench.registration import make, registry
from gpicl_bench.streams import root_key
from gpicl_bench.suite import PROTOCOL, Split, Suite

NUM_EPISODES = 512


def diagnose(
    learner: Any,
    suite: str | Suite,
    num_episodes: int = NUM_EPISODES,
    seed: int = 0,
    *,
    learner_seed: int = 0,
    progress: bool = False,
) -> Diagnosis:
    """Tell which kind of learner it is: one that memorises, identifies tasks, or learns.

    Asks about unseen tasks (drawn for this diagnosis by `seed`), about the tasks that its card says it has seen, and
    about other base datasets of the same shape that are on this machine; nothing is downloaded for them.

    Args:
        learner: as for `evaluate`.
        suite: a suite or its id.
        num_episodes: of each cell, at least 2. The rule was validated with 512; with fewer than 64 nothing is decided.
        seed: of the unseen tasks and of every other choice, 0 ≤ seed < 2^64.
        learner_seed: of the keys that a stochastic learner gets.
        progress: show a bar on standard error.

    Raises:
        LearnerError: the learner raised, returned no prediction, or its card contradicts it.
        DataUnavailable, DataCorrupt, CacheError: the suite's data cannot be used.

    >>> from gpicl_bench import load_learner
    >>> file = load_learner("baselines/nearest_neighbour.py", make("digits-proj-perm-v0").info)
    >>> found = diagnose(file, "digits-proj-perm-v0", num_episodes=64)
    >>> found.verdict, found.symmetry("relabelling").share.value
    ('general learning', 1.0)
    """
    chosen = make(suite) if isinstance(suite, str) else suite
    if not isinstance(chosen, Suite):
        raise InvalidArgument("this is no suite", expected="a suite or its id", got=type(suite).__name__)
    num_episodes = check_integer("num_episodes", num_episodes, 2, 2**31 - 1)
    seed = check_integer("seed", seed, 0, 2**64 - 1)
    learner_seed = check_integer("learner_seed", learner_seed, 0, 2**64 - 1)
    loaded = named(learner)
    adapter = adapt(loaded.learner, chosen.info, loaded.name)
    asked = _Diagnosed(adapter, loaded, chosen, num_episodes, seed, learner_seed)
    with one_thread():
        return asked.run(progress)


@dataclass(frozen=True)
class _Asked:
    """A cell to ask: a learner about episodes of a split."""

    kind: Tasks
    split: Split
    episodes: list[tuple[int, int]]
    adapter: Adapter | None


@dataclass(frozen=True)
class _Diagnosed:
    """One learner on one suite."""

    adapter: Adapter
    loaded: LoadedLearner
    suite: Suite
    num_episodes: int
    seed: int
    learner_seed: int

    def run(self, progress: bool) -> Diagnosis:
        here, record = provenance(), learner_record(self.loaded, self.adapter)
        unmeasured: dict[str, str] = {}
        fresh = self.suite.at_round(hashlib.sha256(self._stream("unseen").encode()).hexdigest()).meta_test
        seen, known, why = seen_tasks(dict(record.card), self.suite, self.loaded.name)
        cells = [*self._unseen(fresh, unmeasured)]
        if known is None:
            unmeasured["seen tasks"] = why
        else:
            adapter = adapter_for(known.split, self.adapter, self.loaded)
            episodes = known.episodes(self.num_episodes, self._rng("seen"))
            cells += [_Asked("seen", split, episodes, adapter) for split in (known.on("train"), known.on("test"))]
        cells += self._others(fresh, unmeasured)
        total = len(cells) * self.num_episodes + calls(self.suite.info.T) * NUM_TASKS
        with bar(f"diagnosis of {self.loaded.name}", total, progress) as advance:
            ledger = self._ledger(fresh, record.card)  # first of all: its first call compiles
            found = tuple(self._cell(number, cell, advance) for number, cell in enumerate(cells))
            changed = self._symmetries(fresh, advance)
        question = Question(
            suite=self.suite.id,
            num_examples=self.suite.info.T,
            num_classes=self.suite.info.C,
            num_episodes=self.num_episodes,
            seed=self.seed,
            learner_seed=self.learner_seed,
            protocol=PROTOCOL,
            rule=RULE,
        )
        where = replace(here, device=device())
        return Diagnosis(question, record, where, seen, unmeasured, found, changed, ledger)

    def _unseen(self, fresh: Split, unmeasured: dict[str, str]) -> Iterator[_Asked]:
        episodes = [(i, 0) for i in range(self.num_episodes)]
        yield _Asked("unseen", fresh, episodes, self.adapter)
        yield _Asked("yardstick", fresh, episodes, None)
        training = replace(fresh, images="train")
        try:
            _ = training.part
        except DataUnavailable as error:  # the held-out images are enough for a verdict
            unmeasured["unseen tasks, training images"] = error.what
        else:
            yield _Asked("unseen", training, episodes, self.adapter)

    def _others(self, fresh: Split, unmeasured: dict[str, str]) -> Iterator[_Asked]:
        episodes = [(i, 0) for i in range(self.num_episodes)]
        for id in other_suites(self.suite):
            if not at_hand(registry[id].dataset):
                unmeasured[id] = "its images are not on this machine"
                continue
            try:
                other = make(id, num_examples=self.suite.info.T)
                _ = other.meta_test.part
            except (InvalidArgument, DataUnavailable, DataCorrupt, CacheError) as error:
                unmeasured[id] = error.what  # the learner's own suite is not to blame
            else:
                yield _Asked("other", replace(fresh, spec=other.spec), episodes, self.adapter)

    def _cell(self, number: int, asked: _Asked, advance: Callable[[int], None]) -> Cell:
        key = root_key(f"gpicl-bench/learner/{self.learner_seed}/diagnosis/{number}")
        return ask_cell(asked.adapter, asked.kind, asked.split, asked.episodes, key, advance)

    def _symmetries(self, fresh: Split, advance: Callable[[int], None]) -> tuple[Symmetry, ...]:
        first = 2**32  # tasks that no cell has asked
        episodes = [(first + i, 0) for i in range(NUM_TASKS)]
        block = drawn(fresh, episodes, root_key(f"gpicl-bench/learner/{self.learner_seed}/symmetries"))
        return symmetries(self.adapter, block, self._rng("symmetries"), advance)

    def _ledger(self, fresh: Split, card: Mapping[str, Any]) -> Ledger:
        episodes = [(2**33 + i, 0) for i in range(self.adapter.block)]
        block = drawn(fresh, episodes, root_key(f"gpicl-bench/learner/{self.learner_seed}/ledger"))
        with _of_the_ledger():
            first, later = timed(self.adapter, block)
            carried, how = state_bytes(self.loaded.learner, self.adapter, block)
        return Ledger(
            state_bytes=carried,
            state=how,
            parameters=parameters(self.loaded.learner, card, self.loaded.name),
            first_seconds=first,
            episode_seconds=later,
            episodes_a_call=self.adapter.block,
            device=device(),
        )

    def _stream(self, what: str) -> str:
        return f"gpicl-bench/diagnosis/{self.seed}/{what}"

    def _rng(self, what: str) -> np.random.Generator:
        return np.random.default_rng(root_key(self._stream(what)))


@contextmanager
def _of_the_ledger() -> Iterator[None]:
    """Errors about its episodes: the numbers of their tasks, from 2^33 on, say nothing to anyone."""
    try:
        yield
    except LearnerError as error:
        where = re.sub(r"\btasks? \d{10}( to \d{10})?", "the ledger's episode", error.where or "")
        raise LearnerError(
            error.what, expected=error.expected, got=error.got, where=where or None, hint=error.hint
        ) from (error.__cause__ or error)
