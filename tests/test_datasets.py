"""Base datasets: pinned values recomputed, sources and caches that are damaged, missing or in the way."""

import gzip
import hashlib
import shutil
import subprocess
import sys
import tempfile
import time
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpicl_bench import errors, make
from gpicl_bench.datasets import DATASETS, cache, load_part, prepared
from gpicl_bench.datasets.loading import _load
from gpicl_bench.datasets.part import Part, canonical, moments
from tests.samples import BUNDLED, suites_at_hand

AT_HAND = sorted({id.split("-")[0] for id in suites_at_hand()})


def visible(folder):
    return sorted(path.name for path in folder.iterdir() if path.name != ".lock")


@pytest.fixture
def bangla(prepared_data, tmp_path, monkeypatch, own_cache):
    """A prepared dataset of this test's own, to damage."""
    folder = tmp_path / "tfds"
    shutil.copytree(prepared_data / "cmaterdb", folder / "cmaterdb")
    for path in folder.rglob("*"):
        path.chmod(0o755)
    monkeypatch.setenv("TFDS_DATA_DIR", str(folder))
    return folder / "cmaterdb" / "bangla" / "1.0.0"


@pytest.mark.parametrize("name", AT_HAND)
def test_pinned_values_are_those_of_the_data(name):
    known = DATASETS[name]
    for part in known.sha256:
        loaded = load_part(name, part)
        assert loaded.images.shape == (known.size[part], *known.shape)
        assert set(loaded.labels.tolist()) == set(range(known.num_classes))
    if "train" in known.sha256:
        # exact integer sums: n²·var = n·Σp² − (Σp)²
        pixels, n, total, squares = load_part(name, "train").pixels, 0, 0, 0
        for start in range(0, len(pixels), 4000):
            some = pixels[start : start + 4000].astype(np.int64)
            n, total, squares = n + some.size, total + int(some.sum()), squares + int(np.vdot(some, some))
        assert known.center == round(total / n)
        assert known.std == pytest.approx(((n * squares - total**2) / n**2) ** 0.5, rel=1e-15)


@given(st.lists(st.integers(0, 255), min_size=1, max_size=40))
def test_moments_are_rounded_once(pixels):
    mean = Fraction(sum(pixels), len(pixels))
    variance = sum((p - mean) ** 2 for p in pixels) / len(pixels)
    center, std = moments(np.array(pixels, np.uint8))
    assert abs(center - mean) <= Fraction(1, 2)
    assert abs(center - mean) < Fraction(1, 2) or center % 2 == 0
    low, high = (Fraction(np.nextafter(std, to)) for to in (-1, np.inf))
    assert std == variance == 0 or ((low + Fraction(std)) / 2) ** 2 <= variance <= ((high + Fraction(std)) / 2) ** 2


def test_the_hash_of_a_part_by_hand():
    images = np.arange(24, dtype=np.uint8).reshape(3, 2, 2, 2)
    labels = np.array([1, 0, 300])
    rows = sorted(hashlib.sha256(images[i].tobytes() + int(labels[i]).to_bytes(2, "little")).digest() for i in range(3))
    assert canonical(images, labels).sha256 == hashlib.sha256(b"".join(rows)).hexdigest()


@settings(max_examples=20)
@given(st.permutations(range(12)))
def test_the_order_of_a_source_changes_nothing(order):
    images = np.arange(96, dtype=np.uint8).reshape(12, 4, 2, 1) // 9  # some images are equal
    labels = np.arange(12) // 4
    expected, got = canonical(images, labels), canonical(images[order], labels[order])
    assert np.array_equal(expected.images, got.images)
    assert np.array_equal(expected.labels, got.labels)


@pytest.mark.parametrize(("images", "labels"), [([256], [0]), ([-1], [0]), ([3], [70000]), ([3], [-1])])
def test_values_out_of_range_are_refused(images, labels):
    with pytest.raises(errors.DataCorrupt, match="out of range"):
        canonical(np.array(images).reshape(1, 1, 1, 1), np.array(labels))


def test_mnist_from_its_original_files_is_the_same(prepared_data):
    """Two independent sources, one hash: the PNGs of the prepared dataset and the published IDX files."""
    raw = prepared_data.parent / "raw" / "mnist"
    if not raw.is_dir():
        pytest.skip("the original MNIST files are not at hand")
    images = np.frombuffer(gzip.decompress((raw / "t10k-images-idx3-ubyte.gz").read_bytes()), np.uint8, offset=16)
    labels = np.frombuffer(gzip.decompress((raw / "t10k-labels-idx1-ubyte.gz").read_bytes()), np.uint8, offset=8)
    assert canonical(images.reshape(-1, 28, 28, 1), labels).sha256 == DATASETS["mnist"].sha256["test"]


def test_a_part_is_cached_as_memory_maps_and_read_back(own_cache):
    first = load_part("digits", "test")
    where = cache.place(DATASETS["digits"], "test")
    assert sorted(p.name for p in where.iterdir()) == ["images.npy", "labels.npy"]
    assert visible(where.parent) == [where.name]
    _load.cache_clear()
    again = load_part("digits", "test")
    assert isinstance(again.images, np.memmap)
    assert np.array_equal(first.images, again.images)


@pytest.mark.parametrize(
    "damage", ["truncate", "empty", "flip", "label", "missing", "swap", "header", "type", "labels' type", "shape"]
)
def test_a_damaged_cache_is_named_and_rebuilt(own_cache, damage, caplog):
    first = load_part("digits", "test")
    expected = first.images.copy(), first.labels.copy()
    _load.cache_clear()
    where = cache.place(DATASETS["digits"], "test")
    images, labels = where / "images.npy", where / "labels.npy"
    content = bytearray(images.read_bytes())
    if damage == "truncate":
        images.write_bytes(content[:-100])
    elif damage == "empty":
        images.write_bytes(b"")
    elif damage == "flip":
        content[-5] ^= 1
        images.write_bytes(content)
    elif damage == "label":
        changed = bytearray(labels.read_bytes())
        changed[-2] ^= 1
        labels.write_bytes(changed)
    elif damage == "missing":
        labels.unlink()
    elif damage == "swap":
        array = np.load(images)
        np.save(images, array[::-1])
    elif damage == "type":  # the same bytes, read as another type
        np.save(images, np.load(images).view(np.int8))
    elif damage == "labels' type":
        np.save(labels, np.load(labels).astype(np.float64))
    elif damage == "shape":
        np.save(images, np.load(images).reshape(360, 64))
    elif damage == "header":
        images.write_bytes(content.replace(b"NUMPY", b"NUMPI"))
    with pytest.raises(errors.DataCorrupt, match=r"(?s)cached dataset is damaged.*delete that folder"):
        cache.read(DATASETS["digits"], "test")
    again = load_part("digits", "test")
    assert f"{where} is damaged" in caplog.text
    assert np.array_equal(again.images, expected[0])
    assert np.array_equal(again.labels, expected[1])
    assert visible(where.parent) == [where.name]
    caplog.clear()
    _load.cache_clear()
    load_part("digits", "test")
    assert caplog.text == ""


def test_a_damaged_cache_without_its_source_is_named(no_back_off, bangla, own_cache):
    where = cache.place(DATASETS["cmaterdb_bangla"], "test")
    load_part("cmaterdb_bangla", "test")
    (where / "labels.npy").unlink()
    shutil.rmtree(bangla)
    _load.cache_clear()
    with pytest.raises(errors.DataCorrupt, match=r"(?s)damaged, and its source is not here.*labels.npy") as caught:
        load_part("cmaterdb_bangla", "test")
    assert str(where) in str(caught.value)
    assert (where / "images.npy").exists()


def test_work_goes_on_where_the_cache_cannot_be_a_folder(tmp_path, monkeypatch, caplog):
    _load.cache_clear()
    blocked = tmp_path / "file"
    blocked.write_text("not a folder")
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(blocked / "cache"))
    assert len(load_part("digits", "test")) == 360
    assert "digits stays in memory" in caplog.text
    assert "GPICL_BENCH_CACHE" in caplog.text
    assert blocked.read_text() == "not a folder"
    with pytest.raises(errors.CacheError, match="cache folder cannot be written"):
        cache.write(DATASETS["digits"], "test", load_part("digits", "test"))


READ_ONLY = """
import os, sys
import filelock, mmap
import gpicl_bench.datasets as datasets
os.environ["GPICL_BENCH_CACHE"] = sys.argv[1]
if os.geteuid() == 0:
    os.setegid(65534), os.seteuid(65534)  # root may write everywhere
print(len(datasets.load_part("random", "test")), type(datasets.load_part("random", "test").images).__name__)
"""


@pytest.mark.parametrize("filled", [True, False])
def test_a_read_only_cache_is_read_and_does_not_stop_the_work(monkeypatch, filled):
    folder = Path(tempfile.mkdtemp(prefix="gpicl_bench-tests-"))
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(folder))
    _load.cache_clear()
    if filled:
        load_part("random", "test")
    for path in (*folder.rglob("*"), folder):
        path.chmod(0o555 if path.is_dir() else 0o444)
    before = sorted(folder.rglob("*"))
    done = subprocess.run([sys.executable, "-c", READ_ONLY, str(folder)], capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["10", "memmap" if filled else "ndarray"]
    assert ("Permission denied" in done.stderr) != filled
    assert sorted(folder.rglob("*")) == before


def test_a_full_disk_does_not_stop_the_work_and_leaves_nothing(own_cache):
    """RLIMIT_FSIZE stands for the disk: the write fails in the middle."""
    program = (
        "import resource, signal\n"
        "from gpicl_bench.datasets import load_part\n"
        "signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, 10_000))\n"
        "print(len(load_part('digits', 'test')))\n"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "360\n"
    assert "digits stays in memory" in done.stderr
    assert visible(own_cache / "digits") == []


@pytest.mark.parametrize("variable", ["GPICL_BENCH_CACHE", "TFDS_DATA_DIR"])
def test_a_home_that_does_not_exist(monkeypatch, own_cache, variable):
    monkeypatch.setenv(variable, "~nobody_of_this_name/x")
    with pytest.raises(errors.CacheError, match="nobody_of_this_name"):
        load_part("mnist", "test")


def test_whoever_is_second_keeps_the_first_copy(own_cache):
    part = load_part("digits", "test")
    where = cache.place(DATASETS["digits"], "test")
    before = (where / "images.npy").stat().st_ino
    cache.write(DATASETS["digits"], "test", part)
    assert (where / "images.npy").stat().st_ino == before
    assert visible(where.parent) == [where.name]


@pytest.mark.parametrize("set_variable", [True, False])
def test_missing_data_is_named_at_once(tmp_path, monkeypatch, own_cache, set_variable):
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("TFDS_DATA_DIR", raising=False)
    if set_variable:
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    begin = time.perf_counter()
    with pytest.raises(
        errors.DataUnavailable,
        match=r"(?s)mnist.*t10k-images-idx3.*GPICL_BENCH_DATA.*not prepared.*cannot be downloaded.*digits-proj-perm-v0",
    ):
        make("mnist-proj-perm-v0").meta_test.episode(0)
    assert time.perf_counter() - begin < 30
    assert not list(own_cache.rglob("*.npy"))


def test_a_suite_says_what_it_is_without_its_data(tmp_path, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path))
    suite = make("mnist-proj-perm-v0")
    assert (suite.info.D, suite.info.C, suite.info.T, suite.of_record) == (784, 10, 100, True)
    assert suite.meta_test.task(5).projection.shape == (784, 784)


@pytest.mark.parametrize("damage", ["truncated", "flipped", "no file", "no features", "no version"])
def test_a_damaged_prepared_dataset_is_named(no_back_off, bangla, own_cache, damage):
    records = bangla / "cmaterdb-test.array_record-00000-of-00001"
    content = bytearray(records.read_bytes())
    if damage == "truncated":
        records.write_bytes(content[: len(content) // 2])
    elif damage == "flipped":
        content[len(content) // 2] ^= 255
        records.write_bytes(content)
    elif damage == "no file":
        records.unlink()
    elif damage == "no features":
        (bangla / "features.json").unlink()
    elif damage == "no version":
        bangla.rename(bangla.with_name("newest"))
    kind = errors.DataUnavailable if damage == "no version" else errors.DataCorrupt
    with pytest.raises(kind, match="cmaterdb"):
        load_part("cmaterdb_bangla", "test")
    assert not list(own_cache.rglob("*.npy"))


def test_an_altered_image_is_found_by_hash(bangla, monkeypatch):
    """A file that reads well and holds another image: only the hash can tell."""
    honest = prepared.read

    def altered(known, part):
        read = honest(known, part)
        images = read.images.copy()
        images[7, 3, 3, 0] ^= 1
        return canonical(images, read.labels)

    monkeypatch.setattr(prepared, "read", altered)
    with pytest.raises(errors.DataCorrupt, match=r"(?s)not those of the protocol.*SHA-256 1dcb8779"):
        load_part("cmaterdb_bangla", "test")


def test_a_format_that_needs_tensorflow_is_refused(no_back_off, bangla):
    described = bangla / "dataset_info.json"
    described.write_text(described.read_text().replace("array_record", "tfrecord"))
    with pytest.raises(errors.DataUnavailable, match=r"(?s)only TensorFlow reads: tfrecord; .*cannot be downloaded"):
        load_part("cmaterdb_bangla", "test")


def test_order_is_part_of_the_hash():
    part = load_part("digits", "test")
    with pytest.raises(errors.DataCorrupt, match="canonical order"):
        assert Part(part.images[::-1], part.labels[::-1]).sha256


def test_bundled_suites_need_no_folder():
    assert {id.split("-")[0] for id in BUNDLED} == {"digits", "random"}
