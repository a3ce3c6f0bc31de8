"""Tasks and episodes: the law they follow, and the reference against slower, plainer ones."""

from fractions import Fraction
from statistics import NormalDist

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binom, chi2

from gpicl_bench import errors, make
from gpicl_bench.streams import root_key, words
from gpicl_bench.tasks import (
    EXACT_IN_FLOAT32,
    SIGMA,
    TABLE,
    draw_indices,
    label_map,
    pixel_order,
    project,
    projection,
    projection_scale,
    standardise,
)

keys = st.integers(0, 2**64 - 1).map(lambda i: root_key(str(i)))


def test_table_is_the_rounded_normal_quantiles():
    expected = [round(20 * NormalDist().inv_cdf((b + 0.5) / 256)) for b in range(256)]
    assert TABLE.tolist() == expected
    assert abs(Fraction(SIGMA) ** 2 - Fraction(sum(t * t for t in expected), 256)) < Fraction(1, 10**12)


def test_projections_have_mean_0_and_variance_one_over_inputs():
    split, dimension = make("digits-proj-perm-v0").meta_test, 64
    pooled = np.stack([split.task(i).projection for i in range(200)]).astype(float) / (SIGMA * np.sqrt(dimension))
    assert pooled.var() == pytest.approx(1 / dimension, rel=0.01)
    assert abs(pooled.mean()) < 5 * np.sqrt(1 / dimension / pooled.size)


def test_labels_and_classes_are_uniform():
    split, count, num_classes = make("digits-proj-perm-v0").meta_test, 2000, 10
    maps = np.stack([split.task(i).label_map for i in range(count)])
    observed = np.stack([(maps == label).sum(axis=0) for label in range(num_classes)])
    low, high = binom.interval(1 - 1e-6 / 100, count, 1 / num_classes)
    assert ((low <= observed) & (observed <= high)).all()


def test_labels_of_episodes_are_uniform():
    """At every position and overall: one label a task and position, the tasks independent."""
    split, count = make("digits-proj-perm-v0").meta_test, 2000
    y = np.stack([split.episode(i).y for i in range(count)])
    for column in (0, 1, 50, 99):
        observed = np.bincount(y[:, column], minlength=10)
        low, high = binom.interval(1 - 1e-6 / 40, count, 1 / 10)
        assert ((low <= observed) & (observed <= high)).all()


def test_fisher_yates_draws_every_order_equally_often():
    draws = [tuple(draw_indices(root_key(f"order {i}"), 4, 3, replacement=False)) for i in range(4800)]
    orders, counts = np.unique(draws, axis=0, return_counts=True)
    assert len(orders) == 24
    assert ((counts - 200.0) ** 2 / 200).sum() < chi2.isf(1e-6, 23)


@given(keys, st.integers(1, 60), st.data())
def test_fisher_yates_is_the_textbook_shuffle(key, pool, data):
    length = data.draw(st.integers(1, pool))
    deck, drawn = list(range(pool)), words(key, length).tolist()
    for t, word in enumerate(drawn):
        j = t + word * (pool - t) // 2**32
        deck[t], deck[j] = deck[j], deck[t]
    assert draw_indices(key, pool, length, replacement=False).tolist() == deck[:length]


@given(keys, st.integers(1, 60), st.integers(1, 80))
def test_with_replacement_each_word_is_one_image(key, pool, length):
    expected = [word * pool // 2**32 for word in words(key, length).tolist()]
    assert draw_indices(key, pool, length, replacement=True).tolist() == expected


@given(keys, st.integers(2, 50))
def test_permutations_are_ranks_of_words(key, size):
    order = sorted(range(size), key=lambda k: words(key, size)[k])
    assert label_map(key, size).tolist() == order
    assert pixel_order(key, size).tolist() == order


@given(keys, st.integers(1, 12), st.integers(0, 255), st.floats(0.5, 200))
def test_projected_inputs_are_whole_numbers_times_a_constant(key, dimension, center, std):
    matrix = projection(key, dimension)
    pixels = (words(key, 3 * dimension) % np.uint32(256)).astype(np.uint8).reshape(3, dimension)
    expected = [
        [sum(int(a) * (int(p) - center) for a, p in zip(row, image, strict=True)) for row in matrix] for image in pixels
    ]
    assert project(matrix, pixels, center).tolist() == expected
    scale = 1 / ((SIGMA * dimension**0.5) * std)
    assert projection_scale(dimension, std) == np.float32(scale)
    assert standardise(pixels, center, std).tolist() == [
        [float(np.float32(int(p) - center) * np.float32(1 / std)) for p in image] for image in pixels
    ]


def test_wide_projections_are_exact():
    dimension = EXACT_IN_FLOAT32 + 8
    matrix = np.full((dimension, dimension), 58, np.int8)
    pixels = np.full((1, dimension), 254, np.uint8)
    assert (project(matrix, pixels, 1) == 58 * 253 * dimension).all()  # 45,198,880 > 2^24


def test_episodes_of_another_length_have_another_fingerprint():
    for id in ("digits-proj-perm-v0", "random-none-perm-v0"):
        assert make(id, num_examples=9).meta_test.fingerprint not in make(id).spec.fingerprints.values()


def test_a_shorter_episode_is_a_prefix():
    long, short = make("digits-proj-perm-v0"), make("digits-proj-perm-v0", num_examples=7)
    a, b = long.meta_test.episode(3, 2), short.meta_test.episode(3, 2)
    assert a.x[:7].tobytes() == b.x.tobytes()
    assert a.y[:7].tobytes() == b.y.tobytes()


@pytest.mark.parametrize("id", ["digits-proj-perm-v0", "random-none-perm-v0"])
def test_labels_and_label_maps_are_those_of_the_episode_and_the_task(id):
    split = make(id).meta_validation
    assert np.array_equal(split.labels(3, 2), split.episode(3, 2).y)
    assert not np.array_equal(split.labels(3, 2), split.labels(3, 1))
    assert np.array_equal(split.label_map(3), split.task(3).label_map)


def test_seen_tasks_are_training_tasks_on_other_images():
    suite = make("digits-proj-perm-v0")
    assert np.array_equal(suite.seen(5).task(3).projection, suite.meta_train.at_seed(5).task(3).projection)
    assert np.array_equal(suite.seen(5).task(3).label_map, suite.meta_train.at_seed(5).task(3).label_map)


def test_batches_are_episodes_by_number():
    train = make("digits-proj-perm-v0").meta_train
    batch = train.batch(5, 3, num_tasks=4, seed=9)
    for b in range(3):
        episode = train.at_seed(9).episode(int(batch.task[b]), int(batch.episode[b]))
        assert batch.x[b].tobytes() == episode.x.tobytes()
        assert batch.y[b].tolist() == episode.y.tolist()
        assert batch.label_map[b].tolist() == train.at_seed(9).task(int(batch.task[b])).label_map.tolist()


@pytest.mark.parametrize(
    ("call", "says"),
    [
        (lambda s: s.meta_test.task(-1), "from 0 to 18446744073709551615"),
        (lambda s: s.meta_test.episode(0, 2**64), "from 0 to 18446744073709551615"),
        (lambda s: s.meta_train.batch(-1, 4), "step is out of range"),
        (lambda s: s.meta_train.batch(0, 0), "batch_size is out of range"),
        (lambda s: s.meta_train.batch(0, 4, num_tasks=0), "num_tasks is out of range"),
        (lambda s: s.meta_train.batch(0, 4, num_tasks=2**32), "num_tasks is out of range"),
        (lambda s: s.meta_train.batch(0, 4, seed=2**64), "seed is out of range"),
        (lambda s: s.meta_test.batch(0, 4, seed=1), "has no seed"),
        (lambda s: s.meta_train.sampler(0), "batch_size is out of range"),
        (lambda s: s.meta_train.sampler(2)(-1), "step is out of range"),
        (lambda s: s.at_round("xyz"), "64 lower-case hex digits"),
        (lambda s: make(s.id, num_examples=361), "num_examples ≤ 360"),
        (lambda s: make(s.id, num_examples=1), "an integer from 2"),
        (lambda s: make(s.id, input="none"), "cannot be overridden"),
    ],
)
def test_bad_numbers_are_refused(call, says):
    with pytest.raises(errors.InvalidArgument, match=says):
        call(make("digits-proj-perm-v0"))
