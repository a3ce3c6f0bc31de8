"""Checks of how tasks are drawn: the same again, others elsewhere, nothing shared, and to the pinned bit."""

from itertools import combinations

import numpy as np

from gpicl_bench.conformance.outcome import require
from gpicl_bench.conformance.places import PLACES, POOLS, STEP, Looked, content, enough
from gpicl_bench.suite import Split

_SEED, _ROUND = 7, "ab" * 32


def determinism(looked: Looked) -> None:
    """A second make gives the same, whatever was asked before."""
    for split, other in zip(looked.splits, looked.again, strict=True):
        backwards = {place: other.episode(*place) for place in reversed(PLACES)}
        for place, episode in backwards.items():
            where = f"{looked.id}, {split.name}, task and episode {place}"
            same = content(looked.episode(split, *place)) == content(episode)
            require(same, "a second make gives another episode", expected="the same", got="another", where=where)


def apart(looked: Looked) -> None:
    """Splits, seeds, rounds, tasks and episodes differ; seen tasks are those of meta-train, on held-out images."""
    suite, train, count = looked.suite, looked.suite.meta_train, max(enough(split) for split in looked.splits)
    there = {split.name: split for split in looked.splits}
    there[f"meta_train at seed {_SEED}"], there[f"seen at seed {_SEED}"] = train.at_seed(_SEED), suite.seen(_SEED)
    there["meta_test of a round"] = suite.at_round(_ROUND).meta_test
    asked = {name: (split, [(i, 0) for i in range(count)]) for name, split in there.items()}
    asked["other tasks of meta_train"] = train, [(count + i, 0) for i in range(count)]
    asked["other tasks of meta_test"] = suite.meta_test, [(count + i, 0) for i in range(count)]
    asked["other episodes of meta_train"] = train, [(i, 1) for i in range(count)]
    drawn = {n: b"".join(content(looked.episode(s, i, e)) for i, e in places) for n, (s, places) in asked.items()}
    for (one, a), (other, b) in combinations(drawn.items(), 2):
        what = f"{one} and {other} are the same"
        require(a != b, what, expected="other episodes", got="equal ones", where=suite.id)
    for seed in (0, _SEED):
        tasks = [looked.task(split, 0) for split in (train.at_seed(seed), suite.seen(seed))]
        same = all(_same(*[getattr(t, f) for t in tasks]) for f in ("label_map", "projection", "pixel_order"))
        where = f"{suite.id}, seed {seed}"
        require(same, "a seen task is none of meta-train", expected="the same task", got="another", where=where)


def streams(looked: Looked) -> None:
    """Tasks of different sets come from different streams: none of meta-test is one of meta-train but by chance."""
    suite = looked.suite
    sets = {split.task_set: split for split in (suite.meta_train, suite.meta_validation, suite.meta_test)}
    for split in (suite.meta_train.at_seed(_SEED), suite.at_round(_ROUND).meta_test):
        sets[split.task_set] = split
    require(len(sets) == 5, "task sets share a name", expected="5 names", got=sorted(sets), where=suite.id)
    keys = {(name, stream): _key(split, stream) for name, split in sets.items() for stream in ("input", "label")}
    for (one, a), (other, b) in combinations(keys.items(), 2):
        require(a != b, "two streams are one", expected="other keys", got=f"{one} and {other}: {a}", where=suite.id)


def batches(looked: Looked) -> None:
    """A batch is its episodes by number, of the seed and the pool that were asked for."""
    for num_tasks, seed in POOLS:
        batch, split = looked.batch(num_tasks, seed), looked.suite.meta_train.at_seed(seed)
        for slot in range(2):
            i, e, g = int(batch.task[slot]), int(batch.episode[slot]), 2 * STEP + slot
            expected = (g, 0) if num_tasks is None else (i, g)
            where = f"{looked.id}, batch {STEP} of 2, pool {num_tasks}, seed {seed}, slot {slot}"
            in_pool = num_tasks is None or i < num_tasks
            require((i, e) == expected and in_pool, "a slot is another", expected=expected, got=(i, e), where=where)
            episode, label_map = looked.episode(split, i, e), split.label_map(i)
            same = (
                batch.x[slot].tobytes() == episode.x.tobytes()
                and np.array_equal(batch.y[slot], episode.y)
                and np.array_equal(batch.label_map[slot], label_map)
            )
            require(same, "a slot is not its episode", expected="the episode", got="another", where=where)


def fingerprints(looked: Looked) -> str | None:
    """No two splits have one fingerprint, and each pinned one is what its split gives."""
    suite = looked.suite
    found = {split.name: split.fingerprint for split in looked.again}
    distinct = len(set(found.values()))
    require(distinct == len(found), "splits share a fingerprint", expected=len(found), got=distinct, where=suite.id)
    public = "@" not in suite.meta_test.task_set
    pinned = {name: hash for name, hash in suite.spec.fingerprints.items() if public or name != "meta_test"}
    for name, hash in pinned.items():
        where = f"{suite.id}, {name}"
        require(found[name] == hash, "a split is not what is pinned", expected=hash, got=found[name], where=where)
    return None if pinned else "nothing is pinned"


def _key(split: Split, stream: str) -> list[int]:
    return [int(word) for word in split.key(stream)]


def _same(one: np.ndarray | None, other: np.ndarray | None) -> bool:
    return one is other is None or (one is not None and other is not None and np.array_equal(one, other))
