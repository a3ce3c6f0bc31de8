"""Data out: a split as a dataset of torch and Grain, and as a file for other languages."""

import ast
import hashlib
import itertools
import os
import pickle
import struct
import subprocess
import sys
import tracemalloc
import zipfile
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gpicl_bench import errors, exporting, make
from gpicl_bench.suite import PROTOCOL
from tests.conftest import ROOT
from tests.samples import splits
from tests.test_documentation import blocks
from tests.test_fresh_process import run

SUITE = make("digits-proj-perm-v0")
SPLIT = SUITE.meta_test
END = 2**63 - 1
PLAIN = make("digits-none-perm-v0", num_examples=5).meta_train  # quick to draw


def is_task(item, split, i):
    """Whether this is episode 0 of task i, to the bit."""
    episode = split.episode(i)
    pairs = ((item.x, episode.x), (item.y, episode.y), (item.label_map, split.label_map(i)))
    return all(a.dtype == b.dtype and a.tobytes() == b.tobytes() for a, b in pairs) and item.task == i


# ---- a sequence


@pytest.mark.parametrize("split", splits(SUITE), ids=lambda split: split.name)
def test_an_element_is_a_task(split):
    for index in (0, 7, np.int64(7), np.uint8(200), np.array(3), END - 1):
        assert is_task(split[index], split, int(index))
    assert not is_task(split[1], split, 2)
    assert type(split[np.int64(7)].task) is int
    assert split[0]._fields == ("x", "y", "task", "label_map")
    assert len(split) == END
    assert split


def test_a_split_goes_on_and_a_slice_ends():
    assert [item.task for item in itertools.islice(PLAIN, 4)] == [0, 1, 2, 3]
    assert [item.task for item in PLAIN[5:9]] == [5, 6, 7, 8]
    assert [item.task for item in reversed(PLAIN[5:9])] == [8, 7, 6, 5]


@given(st.data())
@settings(max_examples=50)
def test_slices_are_those_of_a_list(data):
    """Of 40 tasks, and of what was sliced from them, every index and slice gives what it gives of a list."""
    ends = st.one_of(st.none(), st.integers(-50, 50))
    steps = st.one_of(st.none(), st.integers(-5, 5).filter(bool))
    ours, theirs = PLAIN[:40], [*range(40)]
    for _ in range(2):
        index = slice(data.draw(ends), data.draw(ends), data.draw(steps))
        ours, theirs = ours[index], theirs[index]
        assert (len(ours), [*ours.numbers]) == (len(theirs), theirs)
    k = data.draw(st.integers(-45, 45))
    if -len(theirs) <= k < len(theirs):
        assert is_task(ours[k], PLAIN, theirs[k])
    else:
        with pytest.raises(errors.IndexOutOfRange):
            ours[k]


def test_slices_of_a_split():
    assert PLAIN[10**12 :: 3][1].task == 10**12 + 3
    assert len(PLAIN[5:]) == END - 5
    again = pickle.loads(pickle.dumps(PLAIN[3:5]))
    assert is_task(again[1], PLAIN, 4)


@pytest.mark.parametrize(
    "index", [-1, END, 2**64, 2**200, -(2**200), np.int64(-3), slice(-3, None), slice(None, -1), slice(None, None, -1)]
)
def test_indices_beyond_a_split_are_index_errors(index):
    with pytest.raises(IndexError, match=f"(?s)no such element.*0 to {END - 1}"):
        SPLIT[index]
    with pytest.raises(errors.IndexOutOfRange):
        SPLIT[index]


@pytest.mark.parametrize("index", [9, -10, END, -(2**63), 2**64, 2**200, -(2**200)])
def test_indices_beyond_a_slice_are_index_errors(index):
    with pytest.raises(errors.IndexOutOfRange, match="0 to 8"):
        PLAIN[:9][index]


@pytest.mark.parametrize(
    "index", ["0", 1.0, None, True, (0, 1), [0], np.array([0]), slice("a"), slice(0, 1.5), slice(0, 9, 0)]
)
def test_what_is_no_index_is_refused(index):
    for dataset in (SPLIT, SPLIT[:9]):
        with pytest.raises(errors.InvalidArgument):
            dataset[index]


def test_elements_are_the_users_to_change():
    changed = SPLIT[3]
    for array in (changed.x, changed.y, changed.label_map):
        array[:] = 0
    assert is_task(SPLIT[3], SPLIT, 3)


# ---- torch and Grain


@pytest.mark.parametrize("dataset", [SUITE.meta_train, SUITE.meta_train[:10]], ids=["split", "slice"])
def test_torch_loads_it(dataset):
    torch = pytest.importorskip("torch", reason="no torch here: pip install 'gpicl_bench[torch]'")

    batches = [*itertools.islice(torch.utils.data.DataLoader(dataset, batch_size=4), 3)]
    assert [len(batch.task) for batch in batches] == ([4, 4, 2] if len(dataset) == 10 else [4, 4, 4])
    for b, batch in enumerate(batches):
        assert (batch.x.dtype, batch.y.dtype, batch.task.dtype) == (torch.float32, torch.int32, torch.int64)
        for row, task in enumerate(batch.task.tolist()):
            item = exporting.Item(batch.x[row].numpy(), batch.y[row].numpy(), task, batch.label_map[row].numpy())
            assert task == 4 * b + row
            assert is_task(item, SUITE.meta_train, task)


def test_torch_shuffles_a_slice():
    torch = pytest.importorskip("torch", reason="no torch here: pip install 'gpicl_bench[torch]'")
    from torch.utils.data import DataLoader

    loader = DataLoader(PLAIN[20:50], 7, shuffle=True, generator=torch.Generator().manual_seed(1))
    met = torch.cat([batch.task for batch in loader]).tolist()
    assert sorted(met) == [*range(20, 50)]
    assert met != sorted(met)


@pytest.mark.parametrize("shuffled", [False, True])
def test_grain_loads_it(shuffled):
    grain = pytest.importorskip("grain", reason="no Grain here: pip install grain")
    dataset = grain.MapDataset.source(SUITE.meta_train[:12] if shuffled else SUITE.meta_train)
    if shuffled:
        dataset = dataset.shuffle(seed=3)
    met = []
    for batch in itertools.islice(dataset.batch(4).to_iter_dataset(), 3):
        for row in range(4):
            item = exporting.Item(*(leaf[row] for leaf in batch))
            met.append(int(item.task))
            assert is_task(item, SUITE.meta_train, met[-1])
    assert (met == [*range(12)]) is not shuffled
    assert sorted(met) == [*range(12)]


IN_PROCESSES = """
import itertools, gpicl_bench
{imports}

if __name__ == "__main__":  # worker processes import the main module again
    split = gpicl_bench.make("digits-proj-perm-v0").meta_train
    {setup}
    for b, batch in enumerate(itertools.islice(batches, 3)):
        assert batch.task.tolist() == [*range(4 * b, 4 * b + 4)]
        expected = [split.episode(i) for i in batch.task.tolist()]
        assert all((x == e.x).all() and (y == e.y).all() for x, y, e in zip(np.asarray(batch.x), np.asarray(batch.y), expected))
    print("three batches")
"""
LOADERS = {
    "torch": ("import numpy as np, torch", "batches = torch.utils.data.DataLoader(split, batch_size=4, num_workers=2)"),
    "grain": (
        "import absl.flags, grain, numpy as np",
        "absl.flags.FLAGS.mark_as_parsed()  # Grain reads flags, and a program that has none says so\n"
        "    options = grain.MultiprocessingOptions(num_workers=2)\n"
        "    batches = grain.MapDataset.source(split).batch(4).to_iter_dataset().mp_prefetch(options)",
    ),
}


@pytest.mark.parametrize("loader", LOADERS)
def test_worker_processes_load_it(loader, tmp_path):
    """In a program of its own, as users write one."""
    pytest.importorskip(loader, reason=f"no {loader} here")
    imports, setup = LOADERS[loader]
    (tmp_path / "loads.py").write_text(IN_PROCESSES.format(imports=imports, setup=setup))
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "loads.py"], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.stdout == "three batches\n", done.stderr


@pytest.mark.parametrize("loader", LOADERS)
def test_the_page_shows_what_runs(loader):
    """Its snippets with torch and with Grain, each after the page's first."""
    pytest.importorskip(loader, reason=f"no {loader} here")
    page = ROOT / "docs" / "data-out.md"
    (snippet,) = (text for text in blocks(page, "py") if f"import {loader}" in text or f"from {loader}" in text)
    printed = run("\n".join([blocks(page, "python")[0], snippet, "print(tuple(batch.x.shape))"]))
    assert printed == "(100, 64) 4096 4095\n(32, 100, 64)\n"


# ---- a file


def members(path):
    """The arrays of an npz file, read from its bytes as any language could: local headers of zip, and headers of npy."""
    data, found, at = path.read_bytes(), {}, 0
    while data[at : at + 4] == b"PK\x03\x04":
        _, _, method, time, date, crc, size, whole, name_length, extra = struct.unpack(
            "<HHHHHIIIHH", data[at + 4 : at + 30]
        )
        name = data[at + 30 : at + 30 + name_length].decode()
        content = data[at + 30 + name_length + extra :][:size]
        assert (method, time, date, size, crc) == (0, 0, 33, whole, zlib.crc32(content))
        assert content[:8] == b"\x93NUMPY\x01\x00"
        header_length = struct.unpack("<H", content[8:10])[0]
        header = ast.literal_eval(content[10 : 10 + header_length].decode())
        assert header["fortran_order"] is False
        assert (10 + header_length) % 64 == 0
        body = np.frombuffer(content[10 + header_length :], header["descr"])
        found[name.removesuffix(".npy")] = body.reshape(header["shape"])
        at += 30 + name_length + extra + size
    return found


@pytest.mark.parametrize(
    "split",
    [*splits(SUITE), make("random-pixperm-perm-v0").meta_test, PLAIN],
    ids=lambda split: f"{split.spec.id}, {split.name}",
)
@pytest.mark.parametrize("first", [0, 2**64 - 3])
def test_a_file_has_the_episodes_and_says_what_they_are(split, first, tmp_path):
    path = tmp_path / "episodes.npz"
    split.to_npz(path, 3, first)
    found = members(path)
    with np.load(path, allow_pickle=False) as file:
        assert [*file] == [*found]
        assert all(np.array_equal(file[name], found[name]) for name in found)
    layout = {name: (array.dtype.str, array.shape) for name, array in found.items() if array.dtype != np.uint8}
    info = split.info
    assert layout == {
        "x": ("<f4", (3, info.T, info.D)),
        "y": ("<i4", (3, info.T)),
        "label_map": ("<i4", (3, info.C)),
        "task": ("<u8", (3,)),
        "protocol": ("<i4", ()),
    }
    for row in range(3):
        item = exporting.Item(found["x"][row], found["y"][row], int(found["task"][row]), found["label_map"][row])
        assert is_task(item, split, first + row)
    said = {name: array.tobytes().decode() for name, array in found.items() if array.dtype == np.uint8}
    assert said == {
        "suite": split.spec.id,
        "task_set": split.task_set,
        "images": split.images,
        "fingerprint": split.fingerprint,
    }
    assert found["protocol"] == PROTOCOL
    assert zipfile.ZipFile(path).testzip() is None
    assert [entry.name for entry in tmp_path.iterdir()] == ["episodes.npz"]


def test_the_bytes_are_the_same_everywhere(tmp_path):
    """On every machine, at every time, in every process: the hash is pinned. Other tasks have another."""
    SPLIT.to_npz(tmp_path / "a.npz", 3)
    pinned = "82f46edef734fe354263f5d0a7af2e2a8b66a13464d9209b7e958a3916369440"
    assert hashlib.sha256((tmp_path / "a.npz").read_bytes()).hexdigest() == pinned
    path = str(tmp_path / "b.npz")
    run(
        f"import gpicl_bench; gpicl_bench.make('digits-proj-perm-v0').meta_test.to_npz({path!r}, 3)",
        TZ="Asia/Tokyo",
        LC_ALL="C",
    )
    assert (tmp_path / "a.npz").read_bytes() == (tmp_path / "b.npz").read_bytes()
    SPLIT.to_npz(tmp_path / "c.npz", 3, first=1)
    assert (tmp_path / "a.npz").read_bytes() != (tmp_path / "c.npz").read_bytes()


def test_one_episode_at_a_time_is_in_memory(tmp_path):
    """The arrays alive at once while 40 episodes are written, 12 MB, have less than a fifth of their bytes."""
    split = make("random-none-perm-v0").meta_test
    split.to_npz(tmp_path / "warm.npz", 1)
    tracemalloc.start()
    split.to_npz(tmp_path / "many.npz", 40)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < (tmp_path / "many.npz").stat().st_size / 5


def test_a_large_file_is_a_zip_file_too(tmp_path, monkeypatch):
    """Past 2 GiB a member needs the larger headers of zip; here they begin earlier."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 2**16 + 5000)
    PLAIN.to_npz(tmp_path / "a.npz", 4)
    with np.load(tmp_path / "a.npz", allow_pickle=False) as file:
        assert np.array_equal(file["x"][3], PLAIN.episode(3).x)


def test_a_file_that_is_there_is_kept(tmp_path):
    for path in (tmp_path / "here.npz", tmp_path / "link.npz"):
        (tmp_path / "here.npz").write_text("mine")
        if path.name == "link.npz":
            path.symlink_to(tmp_path / "nowhere")
        with pytest.raises(
            errors.ExportError, match=f"(?s)cannot be written.*a file already.*{path.name}.*another path"
        ):
            PLAIN.to_npz(path, 2)
    assert (tmp_path / "here.npz").read_text() == "mine"
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["here.npz", "link.npz"]


def test_a_file_that_comes_meanwhile_is_kept(tmp_path, monkeypatch):
    path, write = tmp_path / "a.npz", exporting._write

    def slow(file, members):
        write(file, members)
        path.write_text("theirs")

    monkeypatch.setattr(exporting, "_write", slow)
    with pytest.raises(errors.ExportError, match="a file already"):
        PLAIN.to_npz(path, 2)
    assert path.read_text() == "theirs"
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.npz"]


@pytest.mark.parametrize("fault", [KeyboardInterrupt, OSError(28, "No space left on device")])
def test_nothing_is_left_of_a_file_that_fails(fault, tmp_path, monkeypatch):
    def failing(file, members):
        file.write(b"begun")
        raise fault

    monkeypatch.setattr(exporting, "_write", failing)
    with pytest.raises((KeyboardInterrupt, errors.ExportError)):
        PLAIN.to_npz(tmp_path / "a.npz", 2)
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize(
    ("path", "says"),
    [("none/a.npz", "No such file"), (".", "a file already"), ("", "a file already"), ("a\0b", "null"), ("a" * 300, "too long")],
)  # fmt: skip
def test_paths_that_cannot_be_are_named(path, says, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ExportError, match=says):
        PLAIN.to_npz(path, 2)
    assert [*tmp_path.iterdir()] == []


def test_a_name_may_be_as_long_as_names_can_be(tmp_path):
    PLAIN.to_npz(tmp_path / ("a" * 255), 1)
    assert [entry.name for entry in tmp_path.iterdir()] == ["a" * 255]


def test_more_than_the_disk_has_room_for_is_refused_at_once(tmp_path):
    with pytest.raises(
        errors.ExportError, match=r"the episodes have 5,\d{3},\d{3},\d{3},\d{3} bytes, and the disk has room for"
    ):
        PLAIN.to_npz(tmp_path / "a.npz", 2**32 - 1)
    assert [*tmp_path.iterdir()] == []


def test_wrong_arguments_are_refused():
    """Where beartype does not answer first."""
    program = """
import gpicl_bench
split = gpicl_bench.make("digits-none-perm-v0").meta_train
for path, numbers in (("a", (0,)), ("a", (2.0,)), ("a", (2**32,)), ("a", (True,)), ("a", (2, -1)), ("a", (2, 2**64 - 1)), (None, (1,)), (b"a", (1,)), (7, (1,))):
    try:
        split.to_npz(path, *numbers)
    except gpicl_bench.errors.InvalidArgument as error:
        print(error.what)
"""
    assert (
        run(program).splitlines()
        == ["num_tasks is out of range"] * 4 + ["first is out of range"] * 2 + ["this is no path"] * 3
    )
