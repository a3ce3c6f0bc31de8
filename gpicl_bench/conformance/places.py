"""What the checks look at: splits, tasks and episodes, each drawn once."""

import math
from functools import cached_property

from gpicl_bench.suite import Batch, Episode, Split, Suite, Task

PLACES = ((0, 0), (2**40 + 3, 2**33 + 1))  # task, episode
STEP, POOLS = 5, ((None, 0), (4, 9))  # a batch of meta-training: number of tasks, seed
_BITS = 64  # of chance, that two draws which should differ are equal


class Looked:
    """A suite, and what has been drawn of it: projections of many inputs take long."""

    def __init__(self, suite: Suite) -> None:
        self.suite, self.id = suite, suite.id
        self._tasks: dict[tuple[str, str, int], Task] = {}
        self._episodes: dict[tuple[str, str, int, int], Episode] = {}
        self._batches: dict[tuple[int | None, int], Batch] = {}

    @cached_property
    def splits(self) -> tuple[Split, ...]:
        return all_splits(self.suite)

    @cached_property
    def again(self) -> tuple[Split, ...]:
        """The splits of the suite, made anew."""
        made = type(self.suite)(self.suite.spec, self.suite.meta_test.task_set.partition("@")[2] or None)
        return all_splits(made)

    def batch(self, num_tasks: int | None, seed: int) -> Batch:
        """Batch STEP, of two slots."""
        if (num_tasks, seed) not in self._batches:
            self._batches[num_tasks, seed] = self.suite.meta_train.batch(STEP, 2, num_tasks, seed)
        return self._batches[num_tasks, seed]

    def task(self, split: Split, i: int) -> Task:
        key = (split.task_set, split.images, i)
        if key not in self._tasks:
            self._tasks[key] = split.task(i)
        return self._tasks[key]

    def episode(self, split: Split, i: int, e: int) -> Episode:
        key = (split.task_set, split.images, i, e)
        if key not in self._episodes:
            self._episodes[key] = split.episode(i, e)
        return self._episodes[key]


def all_splits(suite: Suite) -> tuple[Split, ...]:
    return (suite.meta_train, suite.meta_validation, suite.meta_test, suite.seen())


def enough(split: Split) -> int:
    """So many episodes that those of two splits are equal with probability 2^-64 by chance, or less."""
    pool, length = split.dataset.size[split.images], split.info.T
    choices = [pool] * length if split.dataset.replacement else range(pool, pool - length, -1)
    return max(1, math.ceil(_BITS / max(1.0, sum(map(math.log2, choices)))))


def content(episode: Episode) -> bytes:
    """An episode as bytes."""
    return b"".join(array.tobytes() for array in (episode.x, episode.y, episode.indices))
