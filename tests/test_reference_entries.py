"""The entries that come with the repository: whole, verified, and shown by the pages that lie beside them."""

import shutil

import pytest

from baselines.entries import _submissions
from gpicl_bench.leaderboard.boards import read_boards
from gpicl_bench.leaderboard.bundle import check_files, check_no_others
from gpicl_bench.leaderboard.reading import bundle, entry_paths, read_entry
from gpicl_bench.leaderboard.tables import write_tables
from tests.conftest import ROOT

FOLDER = ROOT / "leaderboards"
ENTRIES = [*entry_paths(FOLDER)]


def test_every_baseline_has_an_entry_on_digits():
    here = {path.stem for path in ENTRIES if path.parent.name == "digits-proj-perm-v0"}
    weights = {path.stem.replace("_", "-") for path in (ROOT / "baselines" / "weights").glob("digits-*/*.safetensors")}
    assert weights | {"chance", "nearest-neighbour", "nearest-centroid", "ridge", "sgd"} <= here


def test_the_command_makes_these_entries():
    """And it gives `submit` every file that the learner imports."""
    suite = "digits-proj-perm-v0"
    made = _submissions(suite, ROOT)
    assert {path.stem for path in ENTRIES if path.parent.name == suite} == set(made)
    given = made["vsml-paired"]()
    included = {given[n + 1] for n, part in enumerate(given) if part == "--include"}
    assert included < set(read_entry(FOLDER / suite / "vsml-paired.yaml").files) - {"results/0.json"}


@pytest.mark.parametrize("path", ENTRIES, ids=lambda path: f"{path.parent.name}/{path.stem}")
def test_an_entry_is_whole_and_verified(path):
    entry = read_entry(path)
    check_files(entry.files, bundle(path))
    check_no_others(entry.files, bundle(path))
    assert (entry.verified.verdict, entry.verified.differing, entry.verified.drawn) == ("verified", 0, True)


def test_the_pages_are_those_of_the_entries(tmp_path):
    copy = tmp_path / "leaderboards"
    shutil.copytree(FOLDER, copy)
    pages = {path: path.read_bytes() for path in copy.glob("*-v0/README.md")}
    assert len(pages) == len({path.parent for path in ENTRIES})
    write_tables(read_boards(copy), copy)
    assert {path: path.read_bytes() for path in pages} == pages
