"""What meta-train and meta-test share: counts against slow loops, expectations against enumeration, planted overlaps."""

import math
import re
from dataclasses import replace
from decimal import Decimal, localcontext
from fractions import Fraction
from itertools import permutations, product

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays
from scipy.stats import binom, norm

from gpicl_bench import SuiteSpec, disjointness, errors, make, overlap, registry
from gpicl_bench.commands import main
from gpicl_bench.commands.sharing import print_overlap
from gpicl_bench.datasets import Part, dataset
from gpicl_bench.disjointness import (
    count_tasks,
    drawn,
    input_chance,
    input_rows,
    label_chance,
    label_rows,
    many_words,
    with_equal_keys,
)
from gpicl_bench.nearness import duplicates, nearest, squared_distances
from gpicl_bench.streams import child_key, random_bytes, root_key, words
from gpicl_bench.suite import Suite
from gpicl_bench.tasks import label_map
from tests.samples import BUNDLED, numbers64
from tests.test_command_line import refused, run

INPUTS = ["digits-proj-perm-v0", "random-proj-perm-v0", "digits-pixperm-perm-v0", "random-pixperm-perm-v0"]


@given(st.integers(0, 2**64 - 1), st.lists(numbers64, min_size=1, max_size=5), st.integers(1, 70))
def test_many_words_are_the_words_of_each_child(name, numbers, n):
    key = root_key(str(name))
    expected = [words(child_key(key, i), n).tolist() for i in numbers]
    assert many_words(key, np.array(numbers, np.uint64), n).tolist() == expected


@pytest.mark.parametrize("id", BUNDLED)
@given(numbers=st.lists(numbers64, min_size=1, max_size=3))
def test_what_is_compared_is_of_the_task(id, numbers):
    """The whole label map; the first 64 entries of A_int; the order in which q has the pixels 0 … 63."""
    split = make(id).meta_test
    several = np.array(numbers, np.uint64)
    tasks = [split.task(i) for i in numbers]
    if split.spec.label == "perm":
        assert label_rows(split, several).tolist() == [task.label_map.tolist() for task in tasks]
    found = input_rows(split, several)
    if split.spec.input == "proj":
        assert found.view(np.int8).tolist() == [task.projection.ravel()[:64].tolist() for task in tasks]
    if split.spec.input == "pixperm":
        assert found.tolist() == [[q for q in task.pixel_order.tolist() if q < 64] for task in tasks]


def test_the_label_map_is_no_longer_than_the_classes():
    split = make("digits-proj-perm-v0").meta_test
    assert label_rows(split, np.arange(3, dtype=np.uint64)).shape == (3, 10)


def probability(choices, draws):
    return 1 - (1 - Fraction(1, choices)) ** draws


@pytest.mark.parametrize(("choices", "draws"), [(1, 3), (2, 1), (2, 10), (6, 4), (24, 30), (5040, 700), (10**9, 37)])
def test_the_probability_of_being_drawn_is_exact(choices, draws):
    assert drawn(1 / choices, draws) == pytest.approx(float(probability(choices, draws)), rel=1e-14)


def test_the_probability_of_being_drawn_by_enumeration():
    pools = list(product(permutations(range(3)), repeat=4))  # every pool of four label maps of three classes
    different = sum(len(set(pool)) for pool in pools) / len(pools)
    holding = sum((0, 1, 2) in pool for pool in pools) / len(pools)
    assert drawn(1 / 6, 4) == pytest.approx(holding, rel=1e-14)
    assert drawn(1 / 6, 4) * 6 == pytest.approx(different, rel=1e-14)


@pytest.mark.parametrize(("num_tasks", "share"), [(2**16, "1.8%"), (2**20, "25.1%")])
def test_the_share_of_ten_factorial(num_tasks, share):
    with localcontext(prec=60):
        exact = 1 - (1 - 1 / Decimal(math.factorial(10))) ** num_tasks
    assert drawn(1 / math.factorial(10), num_tasks) == pytest.approx(float(exact), rel=1e-13)
    assert f"{exact:.1%}" == share


def test_tiny_chances_are_not_lost():
    assert drawn(2.0**-64, 2**16) == pytest.approx(2.0**-48, rel=1e-14)
    assert drawn(1 / math.factorial(47), 2**20) * math.factorial(47) == pytest.approx(2**20, rel=1e-12)
    assert with_equal_keys(0.0) == 2.0**-64
    assert with_equal_keys(1.0) == 1


VARIOUS = [id for id in registry if id.startswith(("digits", "mnist-proj", "emnist-proj", "cifar10-none"))]


@pytest.mark.parametrize("id", VARIOUS)
def test_counts_are_what_chance_gives(id):
    """Within 1e-6 of each tail: the different maps of the pool, by the exact moments of occupancy, and those shared."""
    suite, pool, asked = make(id), 2**15, 4096
    maps = math.factorial(suite.info.C)
    label_maps, shared, inputs, tasks = count_tasks(suite.meta_train, pool, suite.meta_test, asked)
    with localcontext(prec=400):  # 47! has 60 digits
        missed, both_missed = ((1 - Decimal(k) / maps) ** pool for k in (1, 2))
        mean = float(maps * (1 - missed))
        variance = float(maps * missed + maps * (maps - 1) * both_missed - (maps * missed) ** 2)
        missed = float(missed)
    assert label_maps.expected == pytest.approx(mean, rel=1e-9)
    assert abs(label_maps.observed - mean) <= norm.isf(1e-6) * math.sqrt(variance) + 1e-6
    low, high = binom.interval(1 - 2e-6, asked, 1 - missed)
    assert low <= shared.observed <= high
    assert shared.expected == pytest.approx(asked * (1 - missed), rel=1e-9, abs=1e-10)
    if suite.spec.input == "none":
        assert (inputs.observed, inputs.expected, tasks.observed) == (asked, asked, shared.observed)
    else:
        assert (inputs.observed, tasks.observed) == (0, 0)
        assert inputs.expected == pytest.approx(asked * pool / 2**64, rel=1e-9)
        assert tasks.expected == pytest.approx(asked * pool / 2**64 / maps, rel=1e-9)
    assert (label_maps.of, shared.of, inputs.of, tasks.of) == (maps, asked, asked, asked)


def test_label_maps_are_counted_as_a_slow_loop_does():
    suite = make("digits-none-perm-v0")
    train, test = (
        [tuple(label_map(child_key(split.key("label"), i), 10).tolist()) for i in range(1500)]
        for split in (suite.meta_train.at_seed(12), suite.meta_test)
    )
    found = overlap(suite, 1500, 12, num_asked=1500)
    assert found.pool_label_maps.observed == len(set(train)) == 1499
    assert found.label_maps.observed == sum(drawn in train for drawn in test) == 2
    assert found.tasks == found.label_maps


@pytest.mark.parametrize("id", INPUTS)
def test_a_task_set_shares_all_with_itself_and_no_more(id):
    split = make(id).meta_validation
    label_maps, *shared = count_tasks(split, 40, split, 60)
    assert label_maps.observed == 40
    assert [count.observed for count in shared] == [40, 40, 40]
    assert [count.observed for count in count_tasks(split, 60, split, 40)[1:]] == [40, 40, 40]


def test_chunks_do_not_change_the_count(monkeypatch):
    suite = make("digits-pixperm-perm-v0")
    sets = [(suite.meta_train, 300, suite.meta_test, 50), (suite.meta_test, 40, suite.meta_test, 60)]
    whole = [count_tasks(*pair) for pair in sets]
    monkeypatch.setattr(disjointness, "_TASKS_AT_ONCE", 7)
    assert [count_tasks(*pair) for pair in sets] == whole


def test_a_shared_task_is_one_that_shares_both(monkeypatch):
    """Task i of the pool has the input of task i and the label map of task i + 1: shared, but never by one task."""
    suite = make("digits-proj-perm-v0")
    monkeypatch.setattr(disjointness, "input_rows", lambda split, numbers: numbers.astype(np.uint8)[:, None])
    monkeypatch.setattr(
        disjointness,
        "label_rows",
        lambda split, numbers: (numbers + (split.name == "meta_train")).astype(np.uint8)[:, None],
    )
    counts = count_tasks(suite.meta_train, 50, suite.meta_test, 50)
    assert [count.observed for count in counts] == [50, 49, 50, 0]


def resized(monkeypatch, **changes):
    """The digits as they would be with other dimensions."""
    known = replace(dataset("digits"), **changes)
    monkeypatch.setattr("gpicl_bench.suite.dataset", lambda name: known)


def test_many_classes(monkeypatch):
    resized(monkeypatch, num_classes=964)
    suite = make("digits-proj-perm-v0")
    rows = label_rows(suite.meta_train, np.arange(5, dtype=np.uint64)).tolist()
    assert rows == [[k for k in suite.meta_train.task(i).label_map.tolist() if k < 64] for i in range(5)]
    counts = count_tasks(suite.meta_train, 1000, suite.meta_test, 1000)
    assert [count.observed for count in counts] == [1000, 0, 0, 0]
    assert counts[0].expected == pytest.approx(1000)
    assert counts[1].expected == pytest.approx(1e6 / 2**64)
    assert counts[0].of == math.factorial(964)


def test_small_inputs_are_compared_whole_and_agree_by_chance(monkeypatch):
    resized(monkeypatch, shape=(1, 3, 1))
    proj, pixperm = make("digits-proj-perm-v0"), make("digits-pixperm-perm-v0")
    for i, row in enumerate(input_rows(proj.meta_test, np.arange(3, dtype=np.uint64)).view(np.int8)):
        assert row.tolist() == proj.meta_test.task(i).projection.ravel().tolist()
    counts = count_tasks(pixperm.meta_train, 1, pixperm.meta_test, 4096)
    low, high = binom.interval(1 - 2e-6, 4096, 1 / 6)
    assert low <= counts[2].observed <= high
    assert counts[2].expected == pytest.approx(4096 / 6, rel=1e-12)


def test_no_label_transform_is_shared_by_all():
    suite = Suite(SuiteSpec("digits-none-none-v0"))
    found = overlap(suite, 10, num_asked=20)
    assert found.pool_label_maps == disjointness.Count(1, 1.0, 1)
    assert found.label_maps == found.inputs == found.tasks == disjointness.Count(20, 20.0, 20)
    assert label_chance(suite.meta_test) == input_chance(suite.meta_test) == 1


def test_seeds_and_rounds():
    suite = make("digits-none-perm-v0")
    found = {seed: overlap(suite, 2**14, seed) for seed in (0, 5)}
    assert found[5].pool == "meta_train@0000000000000005"
    assert found[0].pool_label_maps != found[5].pool_label_maps
    assert found[0] == overlap(suite.id, 2**14)
    assert overlap(suite.at_round("ab" * 32), 9).meta_test == "meta_test@" + "ab" * 32


@pytest.mark.parametrize(
    "arguments",
    [{"num_tasks": 0}, {"num_tasks": 2**32}, {"num_tasks": True}, {"num_asked": 0}, {"num_asked": 2**32}, {"seed": -1}, {"seed": 2**64}],
)  # fmt: skip
def test_numbers_out_of_range_are_refused(arguments):
    with pytest.raises(errors.InvalidArgument, match="is out of range"):
        overlap("digits-proj-perm-v0", **arguments)


def noise(name, count, width=8):
    pixels = random_bytes(root_key(name), count * width * width)
    return Part(pixels.reshape(count, width, width, 1).copy(), (np.arange(count) % 10).astype(np.uint16))


def test_planted_duplicates_are_found():
    """Variance 100 and 64 pixels: a near-duplicate is at a squared distance of at most 64."""
    train, test = noise("train", 50), noise("test", 9)
    train.images[:, 0, :3] = 100  # not to overflow
    train.images[20] = train.images[3]
    train.labels[20] = 8
    test.images[0], test.labels[0] = train.images[7], train.labels[7]
    test.images[1], test.labels[1] = train.images[9], train.labels[9] + 1
    test.images[2] = train.images[11]
    test.images[2, 0, 0] += 8  # 64: at the threshold
    test.images[3] = train.images[13]
    test.images[3, 0, 0] += 8
    test.images[3, 0, 1] -= 1  # 65: above it
    test.images[4], test.labels[4] = train.images[3], train.labels[3]  # two train images, one with another label
    test.images[6] = test.images[5]
    found = duplicates(train, test, 100.0)
    assert (found.copies, found.copies_of_another_label, found.near) == (3, 2, 4)
    assert (found.train_repeats, found.test_repeats, found.same_parts) == (1, 1, False)
    assert [(pair.test, pair.train, pair.distance) for pair in found.closest] == [
        (0, 7, 0), (1, 9, 0), (4, 3, 0), (2, 11, 0.01), (3, 13, 65 / 6400),
    ]  # fmt: skip
    assert [(pair.test_label, pair.train_label) for pair in found.closest[:2]] == [(7, 7), (10, 9)]
    assert found.quantiles[:3] == (0, 0, 0)


def test_quantiles_are_observed_distances():
    train, test = noise("train", 30), noise("test", 150)
    distances = sorted(brute(test.pixels, train.pixels).min(axis=1).tolist())
    assert duplicates(train, test, 5.0).quantiles == tuple(distances[r] / 320 for r in (0, 1, 14, 74))


def test_the_ten_random_images_are_in_both_parts():
    found = overlap("random-proj-perm-v0", 10, num_asked=10).images
    assert (found.same_parts, found.copies, found.near, found.copies_of_another_label) == (True, 10, 10, 0)
    assert (found.train_repeats, found.test_repeats) == (0, 0)


def test_distances_of_digits_by_hand():
    suite = make("digits-proj-perm-v0")
    train, test = suite.meta_train.part.pixels.astype(int), suite.meta_test.part.pixels.astype(int)
    every = np.stack([np.square(train - image).sum(axis=1) for image in test])
    best = np.unravel_index(every.argmin(), every.shape)
    found = overlap(suite, 1, num_asked=1).images
    assert (found.closest[0].test, found.closest[0].train) == best
    assert found.closest[0].distance == pytest.approx(every.min() / np.square(train - train.mean()).sum() * len(train))
    assert found.near == (every.min(axis=1) <= 0.01 * 64 * train.var()).sum()


def brute(a, b):
    return np.array([[int(np.square(x.astype(np.int64) - y.astype(np.int64)).sum()) for y in b] for x in a])


bytes_of = st.sampled_from([0, 1, 127, 128, 254, 255]) | st.integers(0, 255)


@given(st.sampled_from([1, 64, 784, 1024, 1025, 3072]).flatmap(lambda d: st.tuples(*[arrays(np.uint8, (3, d), elements=bytes_of)] * 2)))  # fmt: skip
def test_squared_distances_are_those_of_whole_numbers(pair):
    assert squared_distances(*pair).tolist() == brute(*pair).tolist()


@pytest.mark.parametrize("dimension", [1024, 3072, 3 * 64 * 64])
def test_squared_distances_are_exact_at_the_extremes(dimension):
    """An odd product above 2^24, which float32 cannot hold: 127² in every pixel but one."""
    images = np.array([[0], [1], [127], [128], [254], [255]], np.uint8).repeat(dimension, axis=1)
    other = images.copy()
    other[:, 5] = 254
    assert squared_distances(images, other).tolist() == brute(images, other).tolist()


def test_the_nearest_is_found_in_every_block(monkeypatch):
    monkeypatch.setattr("gpicl_bench.nearness._TEST_ROWS", 3)
    monkeypatch.setattr("gpicl_bench.nearness._TRAIN_ROWS", 4)
    test, train = noise("a", 11, 4).pixels % 4, noise("b", 23, 4).pixels % 4
    train[[9, 15, 22]] = train[2]  # ties: the first is named
    test[5] = train[2]
    expected = brute(test, train)
    squared, found = nearest(test, train)
    assert squared.tolist() == expected.min(axis=1).tolist()
    assert found.tolist() == expected.argmin(axis=1).tolist()
    assert found[5] == 2


def row(printed, name):
    """The columns of a printed row: observed, expected, of, share."""
    return re.search(rf"^ *{name}  +(.*)$", printed, re.MULTILINE)[1].split()


def test_the_command_prints_what_was_counted():
    found = overlap("digits-proj-perm-v0", 2**12, 7)
    done = run("show", "digits-proj-perm-v0", "--overlap", "--pool", 2**12, "--seed", 7)
    assert done.returncode == 0, done.stderr
    assert "tasks 0 … 4,095 of meta_train@0000000000000007, beside tasks 0 … 4,095 of meta_test\n" in done.stdout
    assert row(done.stdout, "different label permutations in the pool") == [
        f"{found.pool_label_maps.observed:,}", "4,093.7", "3,628,800", "0.1%"
    ]  # fmt: skip
    shared = found.label_maps.observed
    assert row(done.stdout, "meta_test tasks with a label permutation of the pool")[:3] == [str(shared), "4.6", "4,096"]
    assert row(done.stdout, ".* input transform of the pool") == ["0", "9.1e-13", "4,096", "0.0%"]
    assert row(done.stdout, ".* both, of one task of the pool") == ["0", "2.5e-19", "4,096", "0.0%"]
    assert row(done.stdout, "test images that are train images") == ["0", "0", "360", "0.0%"]
    assert row(done.stdout, "train images that repeat an earlier one") == ["0", "-", "1,437", "0.0%"]
    closest = found.images.closest[0]
    assert f"test {closest.test} (label {closest.test_label}) " in done.stdout
    assert f" {closest.distance:.3g}\n" in done.stdout
    assert done.stderr == ""


def test_the_command_says_that_the_random_images_are_the_same(capsys):
    assert main(["show", "random-none-perm-v0", "--overlap", "--pool", "3"]) == 0
    printed = capsys.readouterr().out
    assert row(printed, "test images that are train images") == ["10", "10", "10", "100.0%"]
    assert row(printed, ".* input transform of the pool") == ["4,096", "4,096.0", "4,096", "100.0%"]
    assert row(printed, "different label permutations in the pool") == ["3", "3.0", "3,628,800", "<0.1%"]
    assert "Both parts are the same images." in printed


def test_a_large_number_of_permutations_is_readable(capsys):
    small = overlap("digits-proj-perm-v0", 5, num_asked=5)
    for classes, shown in [(10, "3,628,800"), (47, "2.59e+59"), (964, "7.61e+2459")]:
        print_overlap(replace(small, pool_label_maps=disjointness.Count(5, 5.0, math.factorial(classes))))
        assert row(capsys.readouterr().out, "different label permutations in the pool")[2] == shown


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--overlap", "--pool", "0"], ["num_tasks is out of range", "from 1 to 4294967295"]),
        (["--overlap", "--pool", "-1"], ["num_tasks is out of range"]),
        (["--overlap", "--pool", str(2**33)], ["num_tasks is out of range", str(2**33)]),
        (["--overlap", "--pool", "many"], ["--pool", "many"]),
        (["--overlap", "--seed", "-1"], ["seed is out of range"]),
        (["--pool", "9"], ["--overlap"]),
        (["--seed", "0"], ["--overlap"]),
    ],
)
def test_bad_arguments_are_named(arguments, says):
    assert refused(run("show", "digits-proj-perm-v0", *arguments), *says)


def test_a_benchmark_has_no_overlap_and_data_must_be_there(tmp_path):
    assert refused(run("show", "offline-v0", "--overlap"), "about one suite", "digits-proj-perm-v0")
    assert refused(run("show", "mnist-proj-perm-v3", "--overlap"), "no such version")
    folders = {"TFDS_DATA_DIR": str(tmp_path), "GPICL_BENCH_CACHE": str(tmp_path / "c")}
    assert refused(run("show", "mnist-proj-perm-v0", "--overlap", **folders), "TFDS_DATA_DIR")


def test_cmaterdb_has_copies_in_both_parts(prepared_data):
    """A fact about the data that results on it have to live with; the brute comparison is by bytes."""
    suite = make("cmaterdb_bangla-none-perm-v0")
    train, test = ([image.tobytes() for image in split.part.pixels] for split in (suite.meta_train, suite.meta_test))
    found = overlap(suite, 1, num_asked=1).images
    assert found.copies == sum(image in set(train) for image in test) == 7
    assert found.train_repeats == len(train) - len(set(train)) == 8
