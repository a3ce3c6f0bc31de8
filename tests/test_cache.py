"""The cache under several processes, killed writers and file systems without locks; the command `data`."""

import subprocess
import sys

import numpy as np
import pytest

from gpicl_bench import errors
from gpicl_bench.commands import main
from gpicl_bench.datasets import DATASETS, PARTS, cache, files, load_part
from gpicl_bench.datasets.loading import _fill, _load

DIGITS = DATASETS["digits"]

COUNTED = """
import sys, time
from gpicl_bench.datasets import bundled, load_part
honest = bundled.digits
def counted(part):
    with open(sys.argv[1], "a") as file:
        file.write("read\\n")
    time.sleep(0.5)
    return honest(part)
bundled.READERS["digits"] = counted
part = load_part("digits", "test")
print(part.sha256, type(part.images).__name__)
"""


def together(program, count, *arguments):
    started = [
        subprocess.Popen([sys.executable, "-c", program, *map(str, arguments)], stdout=subprocess.PIPE, text=True)
        for _ in range(count)
    ]
    outputs = [process.communicate()[0] for process in started]
    assert [process.returncode for process in started] == [0] * count
    return outputs


def test_processes_that_fill_one_cache_do_the_work_once(own_cache, tmp_path):
    log = tmp_path / "log"
    outputs = together(COUNTED, 3, log)
    assert set(outputs) == {f"{DIGITS.sha256['test']} memmap\n"}
    assert log.read_text() == "read\n"


WITHOUT_LOCKS = "import filelock\nclass Lock:\n    def __init__(self, path): pass\n    def acquire(self, **_): raise NotImplementedError\nfilelock.FileLock = Lock\n"


def test_without_locks_the_first_copy_stays(own_cache, tmp_path):
    log = tmp_path / "log"
    outputs = together(WITHOUT_LOCKS + COUNTED, 3, log)
    assert set(outputs) == {f"{DIGITS.sha256['test']} memmap\n"}
    assert set(log.read_text().split()) == {"read"}
    assert [path.name for path in (own_cache / "digits").iterdir()] == [cache.place(DIGITS, "test").name]


def test_a_process_that_waits_says_so(own_cache, monkeypatch, caplog):
    monkeypatch.setattr(cache, "_PATIENCE", 0.05)
    program = (
        "import sys\nfrom gpicl_bench.datasets import DATASETS, cache\n"
        "with cache.lock(DATASETS['digits']):\n    print('locked', flush=True)\n    sys.stdin.readline()\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert holder.stdout.readline() == "locked\n"
    warn = cache.warn

    def told(message):
        warn(message)
        holder.communicate("go\n")

    monkeypatch.setattr(cache, "warn", told)
    with cache.lock(DIGITS):
        assert holder.returncode == 0
    assert "waiting for it" in caplog.text


KILLED = """
import os, random, signal, time
from gpicl_bench.datasets import DATASETS, cache
from gpicl_bench.datasets.loading import _fill
known, random = DATASETS["digits"], random.Random(7)
place = cache.place(known, "test")
expected = _fill(known, "test").sha256
for _ in range(20):
    child = os.fork()
    if child == 0:
        while True:
            cache.remove(place)
            _fill(known, "test")
    time.sleep(random.uniform(0.005, 0.06))
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    left = sorted(path.name for path in place.parent.iterdir())
    found = cache.read(known, "test")  # whole, or not there: never damaged
    assert found is None or found.sha256 == expected
    if found is not None:
        cache.remove(place)
    assert _fill(known, "test").sha256 == expected
    assert sorted(path.name for path in place.parent.iterdir()) == [".lock", place.name]
    print("cut" if left != [".lock", place.name] else "between")
"""


def test_a_writer_killed_at_any_moment_leaves_nothing_half_written(own_cache):
    done = subprocess.run([sys.executable, "-c", KILLED], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    moments = done.stdout.split()
    assert len(moments) == 20
    assert "cut" in moments  # some were killed while they wrote


def run(capsys, *arguments):
    status = main(["data", *arguments])
    captured = capsys.readouterr()
    return status, captured.out, captured.err


def test_the_data_is_listed(own_cache, capsys):
    _load.cache_clear()
    load_part("digits", "test")
    status, out, _ = run(capsys, "list")
    assert status == 0
    assert str(own_cache) in out
    rows = {tuple(line.split()[:2]): line for line in out.splitlines()[3:]}
    assert set(rows) == {(name, part) for name in DATASETS for part in PARTS}
    assert "in the cache, 0.0 MB" in rows["digits", "test"]
    assert "from the package" in rows["digits", "train"]
    assert "provisional" in rows["cifar10", "train"]
    assert "to download, 170.1 MB" in rows["cifar10", "test"]


def test_data_is_fetched_verified_and_cleared(own_cache, capsys):
    _load.cache_clear()
    assert run(capsys, "fetch", "digits", "random")[0] == 0
    status, out, _ = run(capsys, "verify")
    assert (status, out.count("cache: SHA-256"), out.splitlines()[-1]) == (0, 4, "all is as it should be")
    labels = cache.place(DIGITS, "train") / "labels.npy"
    labels.write_bytes(labels.read_bytes()[:-1] + b"\x01")
    status, out, _ = run(capsys, "verify")
    assert (status, out.splitlines()[-1]) == (1, "1 damaged")
    assert str(labels.parent) in out
    files.downloads("digits").mkdir()
    (files.downloads("digits") / "big.gz").write_bytes(bytes(1000))
    assert run(capsys, "clear", "digits")[0] == 0
    assert [path.name for path in (own_cache / "digits").iterdir()] == [".lock"]
    assert run(capsys, "fetch", "digits")[0] == 0  # in the same process
    assert run(capsys, "clear", "--all")[0] == 0
    assert {path.name for path in own_cache.rglob("*") if path.is_file()} == {".lock"}
    assert sorted(path.name for path in own_cache.iterdir()) == ["digits", "random"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["fetch", "mnits"], "did you mean mnist"),
        (["verify", "mnits"], "did you mean mnist"),
        (["clear"], "what is to be cleared"),
        (["clear", "digits", "--all"], "what is to be cleared"),
        (["fetch", "mnist", "--prepare"], "only TensorFlow prepares"),
        (["fetch", "digits", "--prepare"], "TensorFlow Datasets does not have this"),
        (["fetch", "cifar10", "--part", "test"], "cannot be downloaded"),
    ],
)
def test_what_data_refuses(own_cache, no_back_off, capsys, arguments, says, monkeypatch):
    monkeypatch.setenv("TFDS_DATA_DIR", "")
    status, _, err = run(capsys, *arguments)
    assert status == 2
    assert says in err


def test_fetch_says_where_the_cache_cannot_be_written(tmp_path, monkeypatch, capsys, caplog):
    _load.cache_clear()
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    status, _, err = run(capsys, "fetch", "random")
    assert status == 2
    assert "nothing was kept" in err
    assert "cache folder cannot be written" in caplog.text
    with pytest.raises(errors.CacheError):
        cache.remove(cache.place(DIGITS, "test"))


def test_a_part_of_other_labels_is_refused(own_cache):
    part = _fill(DIGITS, "test")
    labels = part.labels.copy()
    labels[0] = 10
    with pytest.raises(errors.DataCorrupt, match="label is out of range"):
        cache.check(DIGITS, "test", type(part)(np.asarray(part.images), labels))


def test_every_byte_of_a_header_counts(own_cache):
    _fill(DIGITS, "test")
    labels = cache.place(DIGITS, "test") / "labels.npy"
    content = labels.read_bytes()
    for place in range(128):
        for value in (0, 39, 48, 255):  # a quote and a digit confuse NumPy's reader most
            if content[place] != value:
                labels.write_bytes(content[:place] + bytes([value]) + content[place + 1 :])
                assert damaged() or cache.read(DIGITS, "test").sha256 == DIGITS.sha256["test"]


@pytest.mark.parametrize("name", ["images.npy", "labels.npy"])
def test_an_archive_in_the_place_of_an_array_is_damage(own_cache, capsys, caplog, name):
    _fill(DIGITS, "test")
    place = cache.place(DIGITS, "test")
    with (place / name).open("wb") as file:
        np.savez(file, np.zeros(3))
    status, out, _ = run(capsys, "verify", "digits")
    assert (status, out.splitlines()[-1]) == (1, "1 damaged")
    assert "no array: NpzFile" in out
    assert str(place) in out
    rebuilt(place, caplog)


def test_a_link_that_leads_nowhere_is_damage(own_cache, tmp_path, capsys, caplog):
    place = cache.place(DIGITS, "test")
    place.parent.mkdir(parents=True)
    place.symlink_to(tmp_path / "gone")
    assert f"DAMAGED: {place}" in run(capsys, "list")[1]
    status, out, _ = run(capsys, "verify", "digits")
    assert (status, out.splitlines()[-1]) == (1, "1 damaged")
    assert str(place) in out
    rebuilt(place, caplog)
    assert not place.is_symlink()
    assert not (tmp_path / "gone").exists()


def test_what_a_damaged_link_leads_to_stays(own_cache, tmp_path, caplog):
    """It may be a copy that others use."""
    place = cache.place(DIGITS, "test")
    place.parent.mkdir(parents=True)
    (tmp_path / "theirs").mkdir()
    (tmp_path / "theirs" / "images.npy").write_text("theirs")
    place.symlink_to(tmp_path / "theirs")
    rebuilt(place, caplog)
    assert (tmp_path / "theirs" / "images.npy").read_text() == "theirs"


def rebuilt(place, caplog):
    """What is damaged there is made anew, with a message, and is then as it should be."""
    _load.cache_clear()
    assert load_part("digits", "test").sha256 == DIGITS.sha256["test"]
    assert f"{place} is damaged" in caplog.text
    assert cache.read(DIGITS, "test").sha256 == DIGITS.sha256["test"]


def damaged():
    """Whether the cached part is found damaged; any other error is the test's failure."""
    try:
        cache.read(DIGITS, "test")
    except errors.DataCorrupt:
        return True
    return False


@pytest.mark.parametrize("reason", [PermissionError(13, "Permission denied"), OSError(24, "Too many open files")])
def test_what_cannot_be_read_now_is_not_thrown_away(own_cache, monkeypatch, caplog, reason):
    _load.cache_clear()
    load_part("digits", "test")
    _load.cache_clear()
    opened, before = cache._open, sorted(own_cache.rglob("*"))

    def refused(path):
        raise reason

    monkeypatch.setattr(cache, "_open", refused)
    assert len(load_part("digits", "test")) == 360
    assert reason.strerror in caplog.text
    assert sorted(own_cache.rglob("*")) == before
    monkeypatch.setattr(cache, "_open", opened)
    _load.cache_clear()
    assert isinstance(load_part("digits", "test").images, np.memmap)


def test_what_is_not_ours_stays(own_cache, capsys):
    mine = [own_cache / "digits" / name / "file" for name in (".git-keep", "mine", ".my-stuff")]
    for path in mine:
        path.parent.mkdir(parents=True)
        path.write_text("mine")
    assert run(capsys, "fetch", "digits")[0] == 0
    assert run(capsys, "clear", "digits")[0] == 0
    assert [path.read_text() for path in mine] == ["mine"] * 3


@pytest.mark.parametrize("part", ["bogus", "", "Train"])
def test_a_dataset_has_two_parts(part):
    with pytest.raises(errors.InvalidArgument, match="no such part"):
        load_part("digits", part)
