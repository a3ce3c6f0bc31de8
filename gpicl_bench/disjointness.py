"""What meta-train and meta-test have in common: tasks, their transforms, and images, beside what chance gives."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from jaxtyping import UInt8, UInt32, UInt64

from gpicl_bench.datasets import dataset
from gpicl_bench.errors import InvalidArgument, check_integer
from gpicl_bench.evaluation.results import RECORD_TASKS
from gpicl_bench.nearness import Duplicates, duplicates
from gpicl_bench.progress import bar
from gpicl_bench.registration import make
from gpicl_bench.streams import Key, threefry2x32
from gpicl_bench.suite import Split, Suite
from gpicl_bench.tasks import TABLE

POOL = 2**16
_COMPARED = 64  # entries of A_int, pixels of q, classes of ρ that two tasks are compared by
_TASKS_AT_ONCE = 2**14
_MATCH = float(np.square(np.unique(TABLE, return_counts=True)[1] / 256).sum())  # that two entries of A_int are equal


@dataclass(frozen=True)
class Count:
    """A number that was counted.

    Attributes:
        observed: how many.
        expected: how many there are on average over independent draws of all tasks.
        of: how many there could be.
    """

    observed: int
    expected: float
    of: int


@dataclass(frozen=True)
class Overlap:
    """What the two task sets and the two parts of a suite share.

    Attributes:
        suite: its id.
        pool: the task set that the pool is taken from, `meta_train` or `meta_train@<seed>`.
        num_tasks: M, the tasks of the pool.
        meta_test: the task set that it is compared with.
        pool_label_maps: the different label maps ρ in the pool, of C!.
        label_maps: meta-test tasks whose ρ is in the pool.
        inputs: meta-test tasks whose input transform (A, q, or the identity) is in the pool.
        tasks: meta-test tasks of which one task of the pool has both.
        images: what the parts `train` and `test` of the base dataset share.
    """

    suite: str
    pool: str
    num_tasks: int
    meta_test: str
    pool_label_maps: Count
    label_maps: Count
    inputs: Count
    tasks: Count
    images: Duplicates


def overlap(
    suite: Suite | str, num_tasks: int = POOL, seed: int = 0, *, num_asked: int = RECORD_TASKS, progress: bool = False
) -> Overlap:
    """Count what a pool of meta-train tasks shares with the tasks and images of meta-test.

    Label maps and pixel orders are compared by the order of their first 64 words, which is all of them for C, D ≤ 64;
    projections by the first 64 entries of A_int. Expected is an average over independent draws. Of n = C! equally
    likely label maps M tasks hit n·(1 − (1 − 1/n)^M). One of N other tasks is among them with probability
    1 − (1 − q)^M, where q is the chance that two tasks agree: 1/n, or else that their 64-bit keys are equal. Longer
    permutations and projections agree by their keys alone: N·M/2^64 of them. Without a transform all agree, q = 1.

    Args:
        suite: or its id.
        num_tasks: M, 1 ≤ M < 2^32: the pool is tasks 0 … M-1 of meta-train. Up to 200 bytes are kept for each
            different label map.
        seed: of meta-training, 0 ≤ seed < 2^64.
        num_asked: meta-test tasks to look up, 0 … num_asked-1; those of record by default.
        progress: show bars on standard error.

    Raises:
        InvalidArgument: a number is out of range.
        DataUnavailable, DataCorrupt: the images cannot be read.

    >>> found = overlap("digits-proj-perm-v0", num_tasks=1000, num_asked=100)
    >>> found.tasks.observed, found.images.copies
    (0, 0)
    """
    suite = make(suite) if isinstance(suite, str) else suite
    if not isinstance(suite, Suite):
        raise InvalidArgument("this is no suite", expected="a suite or its id", got=type(suite).__name__)
    num_tasks = check_integer("num_tasks", num_tasks, 1, 2**32 - 1)
    num_asked = check_integer("num_asked", num_asked, 1, 2**32 - 1)
    pool, asked = suite.meta_train.at_seed(seed), suite.meta_test
    train, test = pool.part, asked.part
    return Overlap(
        suite.id,
        pool.task_set,
        num_tasks,
        asked.task_set,
        *count_tasks(pool, num_tasks, asked, num_asked, progress),
        duplicates(train, test, pixel_variance(suite.spec.dataset), progress),
    )


def pixel_variance(name: str) -> float:
    """The population variance of all train pixels of a base dataset."""
    return dataset(name).std ** 2


def count_tasks(
    pool: Split, num_tasks: int, asked: Split, num_asked: int, progress: bool = False
) -> tuple[Count, Count, Count, Count]:
    """Different label maps of the pool; tasks of `asked` whose label map, whose input, and of which both are in it."""
    wanted = [task for tasks in _tasks(asked, num_asked) for task in tasks]
    wanted_inputs, wanted_tasks = {input for input, _ in wanted}, set(wanted)
    labels: set[bytes] = set()
    inputs: set[bytes] = set()
    both: set[tuple[bytes, bytes]] = set()
    with bar("tasks", num_tasks, progress) as advance:
        for tasks in _tasks(pool, num_tasks):
            labels.update(label for _, label in tasks)
            inputs.update(wanted_inputs.intersection(input for input, _ in tasks))
            both.update(wanted_tasks.intersection(tasks))
            advance(len(tasks))
    alike, choices = label_chance(asked), 1 if asked.spec.label == "none" else math.factorial(asked.info.C)
    label, input = with_equal_keys(alike), with_equal_keys(input_chance(asked))

    def shared(observed: int, chance: float) -> Count:
        return Count(observed, num_asked * drawn(chance, num_tasks), num_asked)

    return (
        Count(len(labels), drawn(alike, num_tasks) / alike, choices),
        shared(sum(label in labels for _, label in wanted), label),
        shared(sum(input in inputs for input, _ in wanted), input),
        shared(sum(task in both for task in wanted), label * input),
    )


def drawn(chance: float, draws: int) -> float:
    """1 − (1 − chance)^draws: how likely an outcome of this chance, 0 < chance ≤ 1, is among so many draws."""
    return 1.0 if chance == 1 else -math.expm1(draws * math.log1p(-chance))


def with_equal_keys(chance: float) -> float:
    """The chance that two tasks of different sets agree: their 64-bit keys do, or else what is drawn from them."""
    return chance + (1 - chance) / 2**64


def label_chance(split: Split) -> float:
    """The chance that two tasks of different keys have the same label map, as far as it is compared."""
    return 1.0 if split.spec.label == "none" else 1 / math.factorial(min(split.info.C, _COMPARED))


def input_chance(split: Split) -> float:
    """The chance that two tasks of different keys have the same input transform, as far as it is compared."""
    if split.spec.input == "proj":
        return _MATCH ** min(split.info.D**2, _COMPARED)  # 1e-117 for 64 entries
    return 1.0 if split.spec.input == "none" else 1 / math.factorial(min(split.info.D, _COMPARED))


def _tasks(split: Split, count: int) -> Iterator[list[tuple[bytes, bytes]]]:
    """Input transform and label map of tasks 0 … count-1, as bytes that tell them apart."""
    for start in range(0, count, _TASKS_AT_ONCE):
        numbers = np.arange(start, min(start + _TASKS_AT_ONCE, count), dtype=np.uint64)
        yield list(zip(_packed(input_rows(split, numbers)), _packed(label_rows(split, numbers)), strict=True))


def input_rows(split: Split, numbers: UInt64[np.ndarray, " task"]) -> UInt8[np.ndarray, "task n"]:
    """The first entries of each task's A_int, or the order of its first pixels in q: 64, or all."""
    key, dimension = split.key("input"), split.info.D
    if split.spec.input == "proj":
        compared = min(dimension * dimension, _COMPARED)
        drawn_bytes = many_words(key, numbers, (compared + 3) // 4).astype("<u4").view(np.uint8)
        return TABLE[drawn_bytes[:, :compared]].view(np.uint8)
    return _orders(key, numbers, 1 if split.spec.input == "none" else dimension)


def label_rows(split: Split, numbers: UInt64[np.ndarray, " task"]) -> UInt8[np.ndarray, "task n"]:
    """The order of the first classes in each task's ρ: 64, or all, which is ρ itself."""
    return _orders(split.key("label"), numbers, 1 if split.spec.label == "none" else split.info.C)


def _orders(key: Key, numbers: UInt64[np.ndarray, " task"], size: int) -> UInt8[np.ndarray, "task n"]:
    return np.argsort(many_words(key, numbers, min(size, _COMPARED)), axis=1, kind="stable").astype(np.uint8)


def many_words(key: Key, numbers: UInt64[np.ndarray, " task"], n: int) -> UInt32[np.ndarray, "task n"]:
    """`words(child_key(key, i), n)` for every number i."""
    i = numbers[:, None]
    child = threefry2x32((key[:1], key[1:]), ((i >> np.uint64(32)).astype(np.uint32), i.astype(np.uint32)))
    low = np.arange((n + 1) // 2, dtype=np.uint32)
    pairs = threefry2x32(child, (np.zeros_like(low), low))
    return np.stack(pairs, axis=-1).reshape(len(numbers), -1)[:, :n]


def _packed(rows: UInt8[np.ndarray, "task n"]) -> list[bytes]:
    return np.ascontiguousarray(rows).view(f"V{rows.shape[1]}")[:, 0].tolist()
