"""Published files: every format read from small files of its kind; other bytes refused; downloads that go wrong."""

import gzip
import hashlib
import http.server
import itertools
import json
import shutil
import tarfile
import threading
import time
import zipfile
from dataclasses import replace

import numpy as np
import pytest
import requests

from gpicl_bench import errors, evaluate, make
from gpicl_bench.commands import main
from gpicl_bench.datasets import DATASETS, PARTS, cache, files, formats, load_part, prepared, table
from gpicl_bench.datasets.loading import _load, _measured
from gpicl_bench.datasets.part import canonical
from gpicl_bench.datasets.published import PUBLISHED, File
from tests import archives


def arrays(name, part, per_class=3):
    """Images of random bytes, every class three times."""
    known = DATASETS[name]
    rng = np.random.default_rng([len(name), part == "train"])
    labels = np.repeat(np.arange(known.num_classes), per_class)
    return rng.integers(0, 256, (len(labels), *known.shape), dtype=np.uint8), labels


@pytest.fixture
def small(tmp_path, monkeypatch, own_cache):
    """A function that publishes a small version of a dataset in a folder, and pins its files' hashes."""

    def publish(name):
        known = DATASETS[name]
        parts = {part: arrays(name, part) for part in PARTS}
        folder = tmp_path / "data" / name
        folder.mkdir(parents=True)
        archives.write(name, folder, parts)
        row = replace(known, size={part: len(y) for part, (_, y) in parts.items()}, sha256={}, moments=None)
        monkeypatch.setitem(table._rows, name, row)
        for view in (known for known in DATASETS.values() if known.base == name):
            monkeypatch.setitem(table._rows, view.name, replace(view, size=row.size))
        shown = PUBLISHED[name]
        pinned = {part: tuple(repinned(file, folder) for file in shown.files(part)) for part in PARTS}
        monkeypatch.setitem(PUBLISHED, name, replace(shown, **pinned))
        monkeypatch.setenv("GPICL_BENCH_DATA", str(folder.parent))
        monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))
        return folder, parts

    _load.cache_clear()
    _measured.cache_clear()
    return publish


def repinned(file, folder):
    content = (folder / file.name).read_bytes()
    return File(file.name, file.url, len(content), hashlib.sha256(content).hexdigest())


@pytest.mark.parametrize("name", archives.WRITERS)
def test_every_format_is_read(small, name):
    _, parts = small(name)
    for part, (images, labels) in parts.items():
        loaded, expected = load_part(name, part), canonical(images, labels)
        assert np.array_equal(loaded.images, expected.images)
        assert np.array_equal(loaded.labels, expected.labels)
    pixels = parts["train"][0].astype(float)
    known = DATASETS[name]
    assert (known.center, known.std) == (round(pixels.mean()), pytest.approx(pixels.std(), rel=1e-12))


@pytest.mark.parametrize("name", archives.WRITERS)
def test_every_published_dataset_has_a_pinned_archive(name):
    for part in PARTS:
        for file in PUBLISHED[name].files(part):
            assert len(bytes.fromhex(file.sha256)) == 32
            assert file.size > 0
            assert file.url.endswith(f"/{file.name}")
            assert file.url.startswith("http")


def test_every_dataset_with_a_source_has_published_files():
    assert {known.name for known in DATASETS.values() if known.tfds and not known.base} == set(PUBLISHED)


def test_a_provisional_suite_runs_and_says_so(small):
    small("cifar10")
    suite = make("cifar10_28-proj-perm-v0", num_examples=20)
    result = evaluate(lambda x, y, q: [0], suite, num_tasks=2)
    assert result.setting.of_record == "no"
    assert suite.info.D == 784
    center, std = DATASETS["cifar10_28"].center, DATASETS["cifar10_28"].std
    x, episode = suite.meta_test.episode(0).x, suite.meta_test.episode(0)
    task, pixels = suite.meta_test.task(0), suite.meta_test.part.pixels[episode.indices].astype(np.int64)
    whole = (pixels - center) @ task.projection.T.astype(np.int64)
    assert x == pytest.approx(whole / (19.94915411740558 * 28 * std), rel=1e-6)


@pytest.mark.parametrize("name", ["mnist", "fashion_mnist"])
@pytest.mark.parametrize("part", PARTS)
def test_the_original_files_have_the_hash_of_the_prepared_dataset(prepared_data, monkeypatch, name, part):
    """Two independent sources, one hash: PNGs of TensorFlow Datasets, and the published IDX files."""
    monkeypatch.setenv("GPICL_BENCH_DATA", str(raw(prepared_data)))
    paths = files.present(name, part)
    assert files.read(name, part, paths).sha256 == DATASETS[name].sha256[part]
    assert prepared.read(DATASETS[name], part).sha256 == DATASETS[name].sha256[part]


def raw(prepared_data):
    folder = prepared_data.parent / "raw"
    if not folder.is_dir():
        pytest.skip("the original files are not at hand")
    return folder


def test_the_test_images_alone_serve_meta_test(prepared_data, monkeypatch, own_cache):
    monkeypatch.setenv("GPICL_BENCH_DATA", str(raw(prepared_data)))
    _load.cache_clear()
    suite = make("kmnist-proj-perm-v0")
    assert suite.of_record
    assert suite.meta_test.episode(0).x.shape == (100, 784)
    assert suite.meta_test.fingerprint == suite.spec.fingerprints["meta_test"]
    assert suite.seen().fingerprint == suite.spec.fingerprints["seen"]
    with pytest.raises(errors.DataUnavailable, match="train-images-idx3"):
        suite.meta_train.episode(0)


@pytest.mark.parametrize("layout", ["renamed", "flat", "shuffled", "strangers"])
def test_files_are_known_by_their_content(small, layout):
    folder, parts = small("kmnist")
    paths = sorted(folder.iterdir())
    if layout == "renamed":
        for i, path in enumerate(paths):
            path.rename(path.with_name(f"{i}.bin"))
    elif layout == "flat":
        for path in paths:
            path.rename(folder.parent / path.name)
    elif layout == "shuffled":  # each under the name of the next
        for path in paths:
            path.rename(path.with_suffix(".moved"))
        for path, name in zip(paths, [*paths[1:], paths[0]], strict=True):
            path.with_suffix(".moved").rename(name)
    else:
        shutil.copytree(folder, folder.parent / "elsewhere")
        for path in paths:
            (folder / f"{path.name}.copy").write_bytes(path.read_bytes())
    for part, (images, labels) in parts.items():
        assert load_part("kmnist", part).sha256 == canonical(images, labels).sha256


@pytest.mark.parametrize("name", archives.WRITERS)
@pytest.mark.parametrize("damage", ["one bit", "truncated", "longer", "empty"])
def test_a_file_with_other_bytes_is_named(small, name, damage):
    folder, _ = small(name)
    path = folder / PUBLISHED[name].test[0].name
    content = bytearray(path.read_bytes())
    if damage == "one bit":
        content[len(content) // 2] ^= 4
    path.write_bytes({"truncated": content[:-7], "longer": content + b"x", "empty": b""}.get(damage, content))
    with pytest.raises(errors.DataCorrupt, match=r"(?s)is not the published one.*SHA-256.*copy it again") as caught:
        load_part(name, "test")
    assert str(path) in str(caught.value)


def test_a_damaged_file_beside_the_folders_is_named(small):
    folder, _ = small("kmnist")
    for path in sorted(folder.iterdir()):
        path.rename(folder.parent / path.name)
    damaged = folder.parent / "t10k-images-idx3-ubyte.gz"
    damaged.write_bytes(damaged.read_bytes()[:-1])
    with pytest.raises(errors.DataCorrupt, match="is not the published one"):
        load_part("kmnist", "test")


@pytest.mark.parametrize("name", archives.WRITERS)
@pytest.mark.parametrize("seed", range(6))
def test_a_damaged_format_is_named(small, name, seed):
    """Bytes changed where no hash looks: a reader answers or names the file, and raises nothing else."""
    folder, _ = small(name)
    rng = np.random.default_rng(seed)
    paths = [folder / file.name for file in PUBLISHED[name].test]
    content = bytearray(paths[0].read_bytes())
    for place in rng.integers(0, len(content), 20):
        content[place] = rng.integers(256)
    paths[0].write_bytes(content if seed % 2 else content[: rng.integers(len(content))])
    try:
        files.read(name, "test", paths)
    except errors.DataCorrupt as error:
        said = str(error)
    else:
        return
    assert paths[0].name in said


@pytest.mark.parametrize("evil", ["../evil", "/etc/evil", "a/../../evil", "C:\\evil", "..\\evil"])
def test_an_archive_with_a_path_outside_its_folder_is_refused(tmp_path, evil):
    tar, zipped = tmp_path / "cifar-10-binary.tar.gz", tmp_path / "gzip.zip"
    with tarfile.open(tar, "w:gz") as archive:
        archives.add(archive, evil, b"x")
    with zipfile.ZipFile(zipped, "w") as archive:
        archive.writestr(evil, b"x")
    for reader, path in ((formats.cifar10, tar), (formats.emnist, zipped), (formats.cmaterdb, zipped)):
        with pytest.raises(errors.DataCorrupt, match="outside its folder"):
            reader([path], "test")
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cifar-10-binary.tar.gz", "gzip.zip"]


def test_pickled_arrays_are_never_read(tmp_path):
    path = tmp_path / "testing-images.npz"
    np.savez(path, images=np.array([{"a": 1}], dtype=object), labels=np.zeros(1, int))
    with pytest.raises(errors.DataCorrupt, match="allow_pickle"):
        files.read("cmaterdb_telugu", "test", [path])


@pytest.mark.parametrize("values", [[0.5], [np.nan], [np.inf], [1e300], [256.0], [-1.0]])
def test_floats_are_converted_only_if_they_are_whole_and_in_range(tmp_path, values):
    def read(values):
        images = np.tile(np.array(values)[:, None, None, None], (1, 32, 32, 3))
        np.savez(tmp_path / "x.npz", images=images, labels=np.zeros(1))
        return files.read("cmaterdb_telugu", "test", [tmp_path / "x.npz"])

    assert read([255.0]).images.max() == 255
    with pytest.raises(errors.DataCorrupt, match=r"whole number|out of range"):
        read(values)


class Server(http.server.ThreadingHTTPServer):
    """A local server that answers each request by the next of its behaviours; the last one stays."""

    daemon_threads = True

    def __init__(self, content, behaviours):
        self.content, self.behaviours, self.requests = (
            content,
            itertools.chain(behaviours, itertools.repeat(behaviours[-1])),
            0,
        )
        super().__init__(("127.0.0.1", 0), Answer)


class Answer(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_GET(self):
        content, behaviour = self.server.content[self.path.rpartition("/")[2]], "works"
        if not self.path.startswith("/moved"):
            self.server.requests += 1
            behaviour = next(self.server.behaviours)
        getattr(self, behaviour)(content)
        self.close_connection = True

    def send(self, body, length=None, kind="application/gzip", status=200):
        self.send_response(status)
        self.send_header("Content-Type", kind)
        if length is not None:
            self.send_header("Content-Length", str(length))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)
        self.wfile.flush()

    def works(self, content):
        self.send(content, len(content))

    def without_length(self, content):
        self.send(content)

    def stalls(self, content):
        self.send(content[: len(content) // 2], len(content))
        time.sleep(1.5)

    def truncates(self, content):
        self.send(content[: len(content) // 2], len(content))

    def truncates_without_length(self, content):
        self.send(content[: len(content) // 2])

    def says_less(self, content):
        self.send(content, len(content) // 2)

    def says_more(self, content):
        self.send(content, 2 * len(content))

    def sends_more(self, content):
        self.send(content * 9)

    def redirects(self, content):
        self.send_response(302)
        self.send_header("Location", f"/moved{self.path}")
        self.send_header("Connection", "close")
        self.send_header("Content-Length", "0")
        self.end_headers()

    def sends_a_page(self, _):
        body = b"<html>please log in</html>"
        self.send(body, len(body), "text/html")

    def encodes(self, content):
        body = gzip.compress(content)
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")
        self.send_header("Content-Length", str(len(body)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def says_it_encodes(self, content):
        self.send_response(200)
        self.send_header("Content-Encoding", "gzip")  # which a .gz file is, but no encoding of it
        self.send_header("Content-Length", str(len(content)))
        self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(content)

    def fails(self, _):
        self.send(b"", 0, status=503)

    def has_nothing(self, _):
        self.send(b"", 0, status=404)

    def hangs_up(self, _):
        self.connection.close()


@pytest.fixture
def served(small, tmp_path, monkeypatch, no_back_off):
    """A small kmnist that is nowhere but on a server which behaves as told."""
    servers = []

    def serve(*behaviours):
        folder, parts = small("kmnist")
        content = {path.name: path.read_bytes() for path in folder.iterdir()}
        shutil.rmtree(folder)
        server = Server(content, behaviours)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        base = f"http://127.0.0.1:{server.server_port}"
        shown = PUBLISHED["kmnist"]
        moved = {p: tuple(f._replace(url=f"{base}/{f.name}") for f in shown.files(p)) for p in PARTS}
        monkeypatch.setitem(PUBLISHED, "kmnist", replace(shown, **moved))
        return server, parts

    monkeypatch.setattr(files, "TIMEOUT", (1.0, 0.4))
    yield serve
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize(
    "behaviours",
    [
        ("works",),
        ("without_length",),
        ("redirects",),
        ("says_it_encodes",),
        ("fails", "fails", "works"),
        ("stalls", "works"),
        ("truncates", "sends_a_page", "works"),
        ("hangs_up", "says_less", "works"),
    ],
    ids="-".join,
)
def test_a_download_that_works_in_the_end(served, own_cache, behaviours):
    server, parts = served(*behaviours)
    assert load_part("kmnist", "test").sha256 == canonical(*parts["test"]).sha256
    assert server.requests == len(behaviours) + 1  # images, with every failure, and labels
    kept = files.downloads("kmnist")
    assert sorted(path.name for path in kept.iterdir()) == sorted(f.name for f in PUBLISHED["kmnist"].test)
    assert not (own_cache / "kmnist" / "train-unpinned").exists()
    shutil.rmtree(cache.place(DATASETS["kmnist"], "test"))
    _load.cache_clear()
    load_part("kmnist", "test")
    assert server.requests == len(behaviours) + 1


@pytest.mark.parametrize(
    ("behaviour", "kind", "says"),
    [
        ("stalls", errors.DataUnavailable, "timed out"),
        ("truncates", errors.DataUnavailable, "IncompleteRead|Connection broken"),
        ("says_more", errors.DataUnavailable, "IncompleteRead|Connection broken"),
        ("fails", errors.DataUnavailable, "503"),
        ("has_nothing", errors.DataUnavailable, "404"),
        ("hangs_up", errors.DataUnavailable, "Connection"),
        ("truncates_without_length", errors.DataCorrupt, "hash"),
        ("says_less", errors.DataCorrupt, "hash"),
        ("sends_more", errors.DataCorrupt, "more than"),
        ("encodes", errors.DataCorrupt, "hash|more than"),
        ("sends_a_page", errors.DataCorrupt, r"(?s)hash.*proxy or of a login"),
    ],
)
def test_a_download_that_does_not_work_is_named_and_leaves_nothing(served, own_cache, behaviour, kind, says):
    server, _ = served(behaviour)
    with pytest.raises(kind, match=says) as caught:
        load_part("kmnist", "test")
    assert "t10k-images-idx3-ubyte.gz" in str(caught.value)
    assert server.requests == 1 + files.RETRIES
    assert [path for path in own_cache.rglob("*") if path.is_file() and path.name != ".lock"] == []


def test_a_killed_download_is_begun_again(served, own_cache):
    _, parts = served("works")
    files.downloads("kmnist").mkdir(parents=True)
    left = files.downloads("kmnist") / "tmpabcdef"
    left.write_bytes(b"half a file")
    assert load_part("kmnist", "test").sha256 == canonical(*parts["test"]).sha256
    assert not left.exists()


def test_a_damaged_download_is_replaced(served, own_cache):
    server, parts = served("works")
    load_part("kmnist", "test")
    shutil.rmtree(cache.place(DATASETS["kmnist"], "test"))
    (files.downloads("kmnist") / "t10k-labels-idx1-ubyte.gz").write_bytes(b"?")
    _load.cache_clear()
    assert load_part("kmnist", "test").sha256 == canonical(*parts["test"]).sha256
    assert server.requests == 3


def test_downloads_go_to_a_temporary_folder_where_the_cache_cannot_be_written(served, tmp_path, monkeypatch, caplog):
    _, parts = served("works")
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    assert load_part("kmnist", "test").sha256 == canonical(*parts["test"]).sha256
    assert "downloads are not kept" in caplog.text


def test_a_download_that_finds_no_room_goes_to_a_temporary_folder(served, monkeypatch, caplog):
    _, parts = served("works")
    fetch = files._fetch

    def full(file, name, target):
        if target == files.downloads(name):
            raise errors.CacheError("a file cannot be written", got="No space left on device", where=str(target))
        return fetch(file, name, target)

    monkeypatch.setattr(files, "_fetch", full)
    assert load_part("kmnist", "test").sha256 == canonical(*parts["test"]).sha256
    assert "No space left on device" in caplog.text


def test_downloads_can_be_read_by_others_and_are_verified(served, capsys):
    served("works")
    load_part("kmnist", "test")
    path = files.downloads("kmnist") / "t10k-labels-idx1-ubyte.gz"
    assert path.stat().st_mode & 0o777 == 0o644
    assert main(["data", "verify", "kmnist"]) == 0
    content = path.read_bytes()
    path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
    assert main(["data", "verify", "kmnist"]) == 1
    assert str(path) in capsys.readouterr().out


def test_a_folder_that_is_none_is_named(tmp_path, monkeypatch, own_cache):
    _load.cache_clear()
    (tmp_path / "file").write_text("")
    for place in (tmp_path / "nowhere", tmp_path / "file"):
        monkeypatch.setenv("GPICL_BENCH_DATA", str(place))
        with pytest.raises(errors.DataUnavailable, match="GPICL_BENCH_DATA is no folder"):
            load_part("kmnist", "test")


def test_a_file_that_cannot_be_read_is_named(small, monkeypatch, capsys):
    folder, _ = small("kmnist")

    def refused(path):
        raise PermissionError(13, "Permission denied", str(path))

    monkeypatch.setattr(files, "_sha256", refused)
    with pytest.raises(errors.DataUnavailable, match=r"(?s)cannot be read.*Permission denied.*make it readable"):
        load_part("kmnist", "test")
    assert main(["data", "list"]) == 0
    assert f"UNREADABLE: {folder}" in capsys.readouterr().out
    assert main(["data", "verify", "kmnist"]) == 1


def test_tensorflow_prepares_only_where_it_is(monkeypatch):
    with pytest.raises(errors.DataUnavailable, match=r"(?s)only TensorFlow prepares.*data fetch mnist"):
        prepared.prepare(DATASETS["mnist"])
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorflow")
    begin = time.perf_counter()
    with pytest.raises(errors.DataUnavailable, match=r"(?s)mnist cannot be prepared.*ProxyError"):
        prepared.prepare(DATASETS["mnist"])  # the network is found missing before TFDS tries for minutes
    assert time.perf_counter() - begin < 30


def test_tensorflow_datasets_is_asked_for_array_record(monkeypatch):
    asked = []

    class Builder:
        def download_and_prepare(self):
            asked.append("prepared")

    def builder(name, **options):
        asked.append((name, options))
        return Builder()

    monkeypatch.setattr("importlib.util.find_spec", lambda name: name == "tensorflow")
    monkeypatch.setattr(requests, "head", lambda url, timeout: None)
    monkeypatch.setattr("tensorflow_datasets.builder", builder)
    monkeypatch.setenv("TFDS_DATA_DIR", "/somewhere")
    prepared.prepare(DATASETS["emnist"])
    assert asked == [("emnist/balanced", {"file_format": "array_record", "data_dir": prepared.folder()}), "prepared"]


@pytest.fixture(scope="module")
def reshaped(prepared_data, tmp_path_factory):
    """The Bangla numerals as another tool might have written them: in three shards, in another order."""
    from array_record.python import array_record_data_source, array_record_module

    source = prepared_data / "cmaterdb" / "bangla" / "1.0.0"
    target = tmp_path_factory.mktemp("reshaped") / "cmaterdb" / "bangla" / "1.0.0"
    shutil.copytree(source, target)
    for path in target.glob("*test.array_record*"):
        path.chmod(0o644)
        records = array_record_data_source.ArrayRecordDataSource([str(path)])
        rows = records.__getitems__(list(range(len(records))))
        path.unlink()
    order = np.random.default_rng(5).permutation(len(rows))
    shards = np.array_split(order, 3)
    for number, shard in enumerate(shards):
        name = f"cmaterdb-test.array_record-{number:05}-of-00003"
        writer = array_record_module.ArrayRecordWriter(str(target / name), "group_size:1")
        for i in shard:
            writer.write(rows[i])
        writer.close()
    about = target / "dataset_info.json"
    about.chmod(0o644)
    content = json.loads(about.read_text())
    for split in content["splits"]:
        if split["name"] == "test":
            split["shardLengths"] = [str(len(shard)) for shard in shards]
    about.write_text(json.dumps(content))
    return target.parents[2]


def test_shards_in_another_order_give_the_same_hash(reshaped, monkeypatch, own_cache):
    monkeypatch.setenv("TFDS_DATA_DIR", str(reshaped))
    known = DATASETS["cmaterdb_bangla"]
    assert prepared.read(known, "test").sha256 == known.sha256["test"]
