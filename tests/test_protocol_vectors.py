"""The protocol's own test vectors, where they are at hand (GPICL_BENCH_VECTORS)."""

import hashlib
import json
import os
from pathlib import Path

import numpy as np
import pytest

from gpicl_bench import make
from gpicl_bench.datasets import DATASETS, load_part
from gpicl_bench.streams import root_key, threefry2x32
from gpicl_bench.suite import Split
from gpicl_bench.tasks import SIGMA, TABLE

PATH = os.environ.get("GPICL_BENCH_VECTORS", "")
VECTORS = json.loads(Path(PATH).read_text()) if PATH else {}
pytestmark = pytest.mark.skipif(not VECTORS, reason="GPICL_BENCH_VECTORS names no vectors.json")


def each(name):
    return pytest.mark.parametrize("vector", VECTORS.get(name, []), ids=lambda v: v.get("suite", ""))


def split_of(vector):
    return Split(make(vector["suite"]).spec, vector["task_set"], vector["images"])


def sha256(array, layout):
    return hashlib.sha256(array.astype(layout).tobytes()).hexdigest()


@each("threefry2x32")
def test_threefry(vector):
    key, counter, result = (
        [np.array([int(w, 16)], np.uint32) for w in vector[n]] for n in ("key", "counter", "result")
    )
    assert list(threefry2x32(tuple(key), tuple(counter))) == result


def test_constants():
    assert TABLE.tolist() == VECTORS["table"]
    assert VECTORS["table_sigma"] == SIGMA
    assert [f"{w:08x}" for w in root_key(VECTORS["root_key"]["name"])] == VECTORS["root_key"]["key"]


def test_datasets():
    for name, pinned in VECTORS["datasets"].items():
        known = DATASETS[name]
        assert (known.center, known.std, known.sha256) == (pinned["center"], pinned["std"], pinned["sha256"])
    assert load_part("random", "test").labels.tolist() == VECTORS["datasets"]["random"]["labels"]


@each("episodes")
def test_episodes(vector):
    split = split_of(vector)
    task, episode = split.task(vector["task"]), split.episode(vector["task"], vector["episode"])
    wanted = vector["sha256"]
    assert task.label_map.tolist() == vector["label_map"]
    assert sha256(episode.indices, "<i4") == wanted["indices_int32_le"]
    assert sha256(episode.y, "<i4") == wanted["y_int32_le"]
    assert sha256(episode.x, "<f4") == wanted["x_float32_le"]
    if "projection_int8" in wanted:
        assert sha256(task.projection, "i1") == wanted["projection_int8"]


@each("batches")
def test_batches(vector):
    asked = {name: vector[name] for name in ("step", "batch_size", "num_tasks", "seed")}
    batch = make(vector["suite"]).meta_train.batch(**asked)
    assert (batch.task.tolist(), batch.episode.tolist()) == (vector["task"], vector["episode"])


@each("fingerprints")
def test_fingerprints(vector):
    assert split_of(vector).fingerprint == vector["fingerprint"]
