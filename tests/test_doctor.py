"""The doctor: what is broken is named, with what to do; nothing is fetched and nothing stops it."""

import json
import os
import shutil
from importlib.metadata import PackageNotFoundError

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpicl_bench import SuiteSpec, registration
from gpicl_bench.commands import main
from gpicl_bench.datasets import DATASETS, cache, files, load_part
from gpicl_bench.datasets.loading import forget as reopen
from gpicl_bench.doctor import caching, devices, examination, examine, fingerprints, images, plugged, versions
from gpicl_bench.doctor.finding import Finding
from tests.test_fresh_process import run

NUMBERS = st.lists(st.integers(0, 30), min_size=1, max_size=4)


@pytest.fixture
def alone(own_cache, tmp_path, monkeypatch):
    """No data but the package's own, and no download."""
    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "none"))

    def refuse(*arguments):
        raise AssertionError("the doctor downloads")

    monkeypatch.setattr(files, "download", refuse)
    reopen()
    yield own_cache
    reopen()


def by_name(findings):
    return {finding.name: finding for finding in findings}


def test_everything_is_looked_at_and_sound(alone, capsys):
    load_part("digits", "test")
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert printed.endswith("nothing is broken\n")
    for text in ("python", "jax", "lowest supported", "cpu:0", "data fetch mnist", str(alone), "digits-proj-perm-v0"):
        assert text in printed
    sections = [line for line in printed.splitlines() if line[0] != " "]
    assert sections[:5] == ["versions", "devices", "data", "cache", "fingerprints"]


def test_the_document_has_the_same(alone, monkeypatch, capsys):
    broken = Finding("devices", "jax", "broken", "it is broken", "mend it")
    monkeypatch.setattr(examination.devices, "look", lambda: [broken])
    monkeypatch.setattr(examination.fingerprints, "look", lambda thorough: [])
    assert main(["doctor", "--json"]) == 1
    document = json.loads(capsys.readouterr().out)
    assert document["broken"] == 1
    assert vars(broken) in document["findings"]
    assert main(["doctor"]) == 1
    assert "BROKEN   jax" in (printed := capsys.readouterr().out)
    assert printed.endswith("1 broken: devices: jax\n")


def test_a_section_that_cannot_be_looked_at_is_broken(monkeypatch):
    monkeypatch.setenv("GPICL_BENCH_CACHE", "~nobody_of_this_name/x")
    found = examination._section("cache", caching.look)
    assert [(row.name, row.state) for row in found] == [("the rest", "broken")]
    assert "~nobody_of_this_name" in found[0].detail


def test_what_nobody_foresaw_takes_one_section_down_only(monkeypatch):
    def look():
        yield Finding("devices", "cpu:0", "ok", "a processor")
        raise ValueError("no luck")

    others = {name: lambda *thorough: [] for name in ("versions", "images", "caching", "fingerprints", "plugged")}
    for name, nothing in others.items():
        monkeypatch.setattr(getattr(examination, name), "look", nothing)
    monkeypatch.setattr(examination.devices, "look", look)
    assert [(row.name, row.state) for row in examine()] == [("cpu:0", "ok"), ("the rest", "broken")]
    assert examine()[1].detail == "ValueError: no luck"


def test_jax_that_cannot_start_is_a_finding(monkeypatch):
    monkeypatch.setenv("JAX_PLATFORMS", "abacus")
    (found,) = devices.look()
    assert found.state == "broken"
    assert "abacus" in found.detail
    assert "JAX_PLATFORMS=cpu" in found.hint


def test_versions_beside_the_lowest(monkeypatch):
    def version(name):
        if name in ("torch", "rich"):
            raise PackageNotFoundError(name)
        return {"numpy": "1.26.4", "jax": "0.7"}.get(name, "9999")

    monkeypatch.setattr(versions, "version", version)
    found = by_name(versions.look())
    assert (found["numpy"].state, found["numpy"].hint) == ("broken", "pip install 'numpy>=2.0'")
    assert (found["rich"].state, found["rich"].hint) == ("broken", "pip install rich")
    extra = found["extra torch"]  # a line for an extra, however many packages of it are missing
    assert (extra.state, extra.detail) == ("missing", "not installed: torch")
    assert extra.hint == "pip install 'gpicl-bench[torch]'"
    assert {found[name].state for name in ("jax", "scipy", "python", "gpicl_bench")} == {"ok"}
    assert found["jax"].detail == "0.7 (lowest supported: 0.7)"


def test_the_doctor_starts_where_dependencies_do_not_import():
    """In a process of its own."""
    program = """
import sys
for package in ("jax", "rich", "joblib", "pydantic", "gymnasium", "pooch", "sklearn", "scipy", "yaml", "filelock"):
    sys.modules[package] = None
from gpicl_bench.commands import main
from gpicl_bench.doctor import examination
for section in ("devices", "fingerprints", "plugged"):  # these take long
    getattr(examination, section).look = lambda *thorough: []
main(["doctor"])
"""
    assert run(program).startswith("versions\n")


@given(NUMBERS, NUMBERS, st.sampled_from(["", "rc1", ".dev3", "+cpu"]))
def test_releases_are_compared_by_their_numbers(found, lowest, more):
    expected = tuple(found + [0] * (4 - len(found))) >= tuple(lowest + [0] * (4 - len(lowest)))
    assert versions.meets(".".join(map(str, found)) + more, ".".join(map(str, lowest))) == expected


def test_a_package_that_is_not_installed(monkeypatch):
    def missing(name):
        raise PackageNotFoundError(name)

    monkeypatch.setattr(versions, "metadata", missing)
    assert by_name(versions.look())["gpicl_bench"].state == "broken"


def test_damage_in_the_cache_is_named_and_left_alone(alone):
    for name in ("digits", "random"):
        load_part(name, "test")
    place = cache.place(DATASETS["digits"], "test")
    shutil.copytree(place, alone / "mnist" / cache.place(DATASETS["mnist"], "test").name)
    (place / "labels.npy").write_bytes(b"nonsense")
    before = sorted(str(path) for path in alone.rglob("*"))
    found = by_name(caching.look())
    assert {found[name].state for name in ("digits, test", "mnist, test", "content")} == {"broken"}
    assert "1 of 3 parts" in found["content"].detail
    assert "delete that folder" in found["mnist, test"].hint
    checked = by_name(fingerprints.look(thorough=False))
    assert not {"digits-proj-perm-v0", "mnist-proj-perm-v0"} & set(checked)
    assert checked["random-proj-perm-v0"].state == "ok"
    assert sorted(str(path) for path in alone.rglob("*") if "random" not in str(path)) == [
        path for path in before if "random" not in path
    ]


def test_a_cache_that_cannot_be_written(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("GPICL_BENCH_CACHE", str(tmp_path / "file" / "cache"))
    found = by_name(caching.look())
    assert found["folder"].state == "broken"
    assert "GPICL_BENCH_CACHE" in found["folder"].hint


def test_damaged_data_is_told_from_missing_data(alone, tmp_path, monkeypatch):
    monkeypatch.setenv("GPICL_BENCH_DATA", str(tmp_path))
    (tmp_path / "kmnist").mkdir()
    (tmp_path / "kmnist" / "t10k-images-idx3-ubyte.gz").write_bytes(b"nonsense")
    found = by_name(images.look())
    assert (found["kmnist"].state, found["emnist"].state, found["digits"].state) == ("broken", "missing", "ok")
    assert found["emnist"].hint == "python -m gpicl_bench data fetch emnist"
    assert "mnist_8" not in found


def test_a_fingerprint_that_does_not_hold_is_named(alone, forget):
    pins = {**registration._suites["digits-none-perm-v0"].fingerprints, "meta_train": "0" * 64}
    registration._suites["digits-none-perm-v0"] = SuiteSpec("digits-none-perm-v0", fingerprints=pins)
    assert by_name(fingerprints.look(thorough=False))["digits-none-perm-v0"].state == "ok"
    found = by_name(fingerprints.look(thorough=True))
    assert (found["digits-none-perm-v0"].state, found["digits-proj-perm-v0"].state) == ("broken", "ok")
    assert found["digits-none-perm-v0"].detail.endswith("means: meta_train")
    assert found["random_8-proj-perm-v0"].detail == "meta_train, meta_validation, meta_test, seen"
    assert "their images are not in the cache" in found["others"].detail


def test_no_connection_is_opened(alone, monkeypatch):
    import socket

    def refuse(*arguments):
        raise AssertionError("a connection")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    monkeypatch.setattr(examination.fingerprints, "look", lambda thorough: [])
    os.makedirs(alone, exist_ok=True)
    assert {row.section for row in examine()} >= {"versions", "devices", "data", "cache"}
    assert list(plugged.look()) == [] or all(row.section == "plug-ins" for row in plugged.look())
