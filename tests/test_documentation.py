"""Every snippet and every command in README and docs runs; what they print is what they say."""

import os
import re
import shlex
import subprocess
import sys
from importlib.util import find_spec

import pytest

from tests.conftest import ROOT

PAGES = [ROOT / "README.md", ROOT / "baselines" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
SHOWING = [ROOT / "docs" / "tutorial.md", *sorted((ROOT / "docs" / "howto").glob("*.md"))]  # print what they show
VARYING = ("digest ", "time ", "(p = ", " fresh tasks ", "queries apart ")  # lines whose numbers differ from run to run
SHORT = {  # what is added to commands that would take long
    "-m baselines train": "--steps 4 --every 2 --warmup 1 --validation-tasks 8",
    "-m gpicl_bench.evaluate": "--num-tasks 64",
}
SETUP = "python3 -m venv"


def blocks(page, language):
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.MULTILINE | re.DOTALL)


def commands(page):
    return [line for block in blocks(page, "bash") for line in block.splitlines() if not line.startswith(SETUP)]


def shortened(command):
    """A command at a tenth of its size; one that says how many tasks stays as it is."""
    added = [text for name, text in SHORT.items() if name in command and "--num-tasks" not in command]
    return shlex.split(" ".join([command, *added]))


def has_all(page, commands_of_another):
    """Whether a page has these commands too, in this order."""
    left = iter(commands(page))
    return all(command in left for command in commands_of_another)


BY_COMMANDS = sorted(PAGES, key=lambda page: -len(commands(page)))


def runs_for(page, other):
    """Whether the test of another page runs this page's commands, and looks at what they print if it should."""
    return has_all(other, commands(page)) and (page not in SHOWING or other in SHOWING)


COMMANDED = [
    page
    for i, page in enumerate(BY_COMMANDS)
    if commands(page) and not any(runs_for(page, earlier) for earlier in BY_COMMANDS[:i])
]


def shown(page):
    """The lines that a page shows of the output of its commands."""
    return [lasting(line) for block in blocks(page, "text") for line in block.splitlines() if line.strip(" …")]


def lasting(line):
    numbers = r"\b[0-9a-f]{16,64}\b|\d[\d.,]*"
    return re.sub(numbers, "#", line).rstrip() if any(word in line for word in VARYING) else line.rstrip()


def run(arguments, folder):
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    return subprocess.run(arguments, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def write_named(page, folder):
    """The snippets that name their file, as files."""
    for snippet in blocks(page, "python"):
        named = re.match(r"# (\w+\.py)\n", snippet)
        if named:
            (folder / named[1]).write_text(snippet)


@pytest.mark.parametrize("page", [p for p in PAGES if blocks(p, "python")], ids=lambda p: p.name)
def test_python_snippets_run(page, tmp_path):
    """In order, in one namespace, with warnings as errors; a snippet that names its file is written to it."""
    snippets = blocks(page, "python")
    write_named(page, tmp_path)
    done = run([sys.executable, "-W", "error", "-c", "\n".join(snippets)], tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("page", COMMANDED, ids=lambda p: p.name)
def test_commands_run(page, tmp_path, prepared_or_none):
    """In order, in one folder with the checkout's baselines and docs; those on MNIST and with torch where these are."""
    for folder in ("baselines", "docs"):
        (tmp_path / folder).symlink_to(ROOT / folder)
    write_named(page, tmp_path)
    printed = []
    for command in commands(page):
        if "mnist" in command and "show" not in command and prepared_or_none is None:
            continue
        if "torch" in command and find_spec("torch") is None:
            pytest.skip("torch is not installed") if page in SHOWING else None
            continue
        program, *arguments = shlex.split(command) if page in SHOWING else shortened(command)
        assert program == "python"
        done = run([sys.executable, *arguments], tmp_path)
        assert done.returncode == 0, (command, done.stderr)
        printed += map(lasting, done.stdout.splitlines())
    if page in SHOWING:
        assert [line for line in shown(page) if line not in printed] == []


@pytest.mark.parametrize("page", [p for p in SHOWING if p not in COMMANDED and commands(p)], ids=lambda p: p.name)
def test_pages_whose_commands_another_runs_show_the_same(page):
    other = next(other for other in COMMANDED if runs_for(page, other))
    assert set(shown(page)) <= set(shown(other))


def test_the_front_page_shows_what_the_readme_shows():
    assert set(shown(ROOT / "docs" / "index.md")) <= set(shown(ROOT / "README.md"))


def test_the_readme_shows_what_its_first_command_prints():
    shown = blocks(ROOT / "README.md", "text")[0]
    printed = run([sys.executable, "-m", "gpicl_bench.evaluate", "baselines/nearest_neighbour.py"], ROOT).stdout

    def lasting(text):
        lines = [line.rstrip() for line in text.splitlines() if not line.startswith("time")]
        return [re.sub(r"digest .*", "", line) for line in lines if line]

    assert lasting(shown) == lasting(printed)


def test_the_audit_page_shows_what_its_overlap_command_prints():
    page = ROOT / "docs" / "audit.md"
    (command,) = (shlex.split(line) for line in commands(page) if "--overlap" in line)
    assert blocks(page, "text") == [run([sys.executable, *command[1:]], ROOT).stdout]


def test_the_diagnosis_page_shows_what_its_command_prints(tmp_path, monkeypatch):
    """Where no data but the bundled is at hand; times apart."""
    for name in ("TFDS_DATA_DIR", "GPICL_BENCH_CACHE"):
        monkeypatch.setenv(name, str(tmp_path))
    page = ROOT / "docs" / "diagnosis.md"
    (command,) = map(shlex.split, commands(page))
    printed = run([sys.executable, *command[1:]], ROOT).stdout

    def lasting(text):
        return [line.rstrip() for line in text.splitlines() if line and not line.startswith("time")]

    assert lasting(blocks(page, "text")[0]) == lasting(printed)


def test_the_readme_opens_with_the_two_commands():
    setup = [line for line in (ROOT / "README.md").read_text().splitlines() if line.startswith(SETUP)]
    assert setup == [
        "python3 -m venv .venv && .venv/bin/pip install -e . && .venv/bin/python -m gpicl_bench.evaluate baselines/nearest_neighbour.py",
        "python3 -m venv .venv && .venv/bin/pip install -e '.[test]' && .venv/bin/pytest",
    ]


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_links_within_the_repository_lead_somewhere(page):
    for target in re.findall(r"\]\(([^)#\s]*)(?:#[^)]*)?\)", page.read_text()):
        if target and "://" not in target:
            assert (page.parent / target).exists(), target


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.name)
def test_anchors_lead_to_headings(page):
    for target, anchor in re.findall(r"\]\(([^)#\s]*)#([^)]+)\)", page.read_text()):
        if "://" not in target:
            text = (page.parent / target).read_text() if target else page.read_text()
            headings = re.findall(r"^#+ (.*)$", text, re.MULTILINE)
            assert anchor in {re.sub(r"[^\w\- ]", "", h.lower()).replace(" ", "-") for h in headings}, anchor
