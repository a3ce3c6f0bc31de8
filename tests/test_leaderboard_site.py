"""The site of the leaderboards: a function of the files, text that stays text, and a browser that can use it."""

import html
import json
import os
import re
import shutil
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest

from gpicl_bench import errors
from gpicl_bench.builtin import BENCHMARKS
from gpicl_bench.commands import main
from gpicl_bench.leaderboard.boards import Contender, SuiteBoard, read_boards, suite_board
from gpicl_bench.leaderboard.entry import TRACKS
from gpicl_bench.leaderboard.evidence import Evidence
from gpicl_bench.leaderboard.site.folder import MARKER
from gpicl_bench.leaderboard.site.pages import pages
from gpicl_bench.leaderboard.tables import table
from gpicl_bench.reporting.text import plain
from tests.browser import CHROMIUM, drive
from tests.conftest import ROOT
from tests.synthetic import SUITE
from tests.synthetic_board import MEASURED, write
from tests.test_report import EVIL
from tests.test_report import Elements as Read


class Elements(Read):
    """Start tags, some of which have no end."""

    def handle_starttag(self, tag, attributes):
        if tag in ("link", "input", "col"):
            self.handle_startendtag(tag, attributes)
        else:
            super().handle_starttag(tag, attributes)


needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
OFFLINE = BENCHMARKS["offline-v0"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """Entries of every kind: in all suites of a benchmark, verified, refuted, marked, of one run and of three."""
    folder = tmp_path_factory.mktemp("files") / "leaderboards"
    for n, suite in enumerate(OFFLINE):
        write(folder, "whole", 0.8 - 0.1 * n, suite=suite, num_tasks=64)
    write(folder, "net", 0.7, "mnist", 3, num_tasks=64, spread=0.01, verified={}, authors=["Ada L.", "Bob"])
    write(folder, "net", 0.6, "mnist", 3, OFFLINE[1], num_tasks=64, spread=0.01)
    write(folder, "once", 0.75, "mnist", num_tasks=64, verified={"isolated": False}, claims={"state_bytes": None})
    write(
        folder,
        "liar",
        0.95,
        "open",
        num_tasks=64,
        verified={"verdict": "refuted", "reason": "other predictions", "score": 0.1},
    )
    write(folder, "leaky", 0.9, num_tasks=64, marks={"unreliable": "it knew the tasks"}, claims={"audit": "failed"})
    write(
        folder,
        "old",
        0.3,
        "same",
        num_tasks=64,
        marks={"superseded_by": "once"},
        claims={"meta_training_seconds": None},
    )
    write(folder, "weak", 0.15, num_tasks=64)
    return folder


@pytest.fixture(scope="module")
def made(folder):
    return dict(pages(read_boards(folder)))


@pytest.fixture(scope="module")
def site(made, tmp_path_factory):
    site = tmp_path_factory.mktemp("site")
    for place, content in made.items():
        (site / place).parent.mkdir(parents=True, exist_ok=True)
        (site / place).write_text(content, encoding="utf-8")
    return site


def text_of(cell):
    return html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", " ", cell))).strip()


def rows(page):
    """The cells of the board by the name of the entry."""
    body = re.search(r'<table class="board.*?<tbody>(.*?)</tbody>', page, re.DOTALL)[1]
    found = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("</tr>")[:-1]]
    return {re.search(r"<a[^>]*>(.*?)</a>", cells[2])[1]: [text_of(cell) for cell in cells] for cells in found}


def content(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


def test_the_board_says_what_the_entries_say(folder, made):
    from gpicl_bench.leaderboard.reading import entry_paths, read_entry

    found = rows(made[f"{SUITE}.html"])
    for path in entry_paths(folder):
        entry = read_entry(path)
        if entry.suite == SUITE:
            cells, claimed = found[entry.name], entry.claimed
            low, high = (f"{bound:.3f}".replace("-", "−") for bound in claimed.score_interval)
            assert cells[3] == f"{claimed.score:.3f} {low} to {high}"
            assert cells[4].startswith(f"{claimed.accuracy:.3f} ")
            assert cells[6] == TRACKS[entry.track]
            assert claimed.audit in cells[9]
            assert cells[10] == claimed.diagnosis
    assert [*found] == ["whole", "weak", "leaky", "once", "net", "old", "liar"]
    assert [cells[1] for cells in found.values()] == ["1", "2", "–", "1", "2", "–", "–"]
    assert [cells[5] for cells in found.values()][:3] == ["1", "2", "–"]
    assert [found[name][7] for name in ("whole", "net", "once")] == ["none needed", "3 runs", "single run"]
    assert found["whole"][8] == "not verified"
    assert found["net"][8].endswith("verified 2026-01-02, 256 tasks")
    assert found["once"][8].endswith("verified 2026-01-02, 256 tasks, not isolated")
    assert found["liar"][8] == "0.100 refuted 2026-01-02, 256 tasks"
    assert "refuted" in found["liar"][2]
    assert "unreliable" in found["leaky"][2]
    assert "superseded by once" in found["old"][2]


def test_a_benchmark_is_the_mean_of_all_its_suites_or_nothing(folder, made):
    boards = read_boards(folder)
    scores = [p.contender.score for suite in OFFLINE for p in boards[suite].places if p.contender.entry.name == "whole"]
    text = text_of(made["offline-v0.html"])
    assert f"whole {sum(scores) / 4:.3f} " in text
    assert f"net missing: {OFFLINE[2]}, {OFFLINE[3]} incomplete" in text
    assert "leaky" not in text
    assert "gpicl-rgb32-v0.html" not in made


def test_the_page_of_an_entry_has_everything(folder, made):
    from gpicl_bench.leaderboard.reading import entry_paths, read_entry

    for path in entry_paths(folder):
        entry = read_entry(path)
        text = text_of(made[f"entries/{entry.suite}/{entry.name}.html"])
        for part in (
            entry.digest,
            *entry.files,
            *entry.files.values(),
            entry.command,
            entry.licence,
            entry.hardware,
            *entry.authors,
        ):
            assert part in text
        assert f"python -m gpicl_bench verify leaderboards/{entry.suite}/{entry.name}.yaml" in text
    assert "Refuted by a verification: other predictions" in text_of(made[f"entries/{SUITE}/liar.html"])
    assert "Marked unreliable by the organisers: it knew the tasks" in text_of(made[f"entries/{SUITE}/leaky.html"])
    assert "Rank 2 of 2 in the track “meta-trained on MNIST only”" in text_of(made[f"entries/{SUITE}/net.html"])


def test_the_pages_are_the_same_for_the_same_files(folder, made, tmp_path, monkeypatch):
    """In another process, another locale, another time zone, and with files that were made in another order."""
    copy = tmp_path / "leaderboards"
    for path in sorted(folder.rglob("*"), reverse=True):
        if path.is_file():
            (copy / path.relative_to(folder)).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(path, copy / path.relative_to(folder))
    command = [sys.executable, "-m", "gpicl_bench", "leaderboard", "build"]
    for name, zone, locale, seed in (("one", "Asia/Tokyo", "tr_TR.UTF-8", "7"), ("two", "America/Lima", "C", "8")):
        environment = {**os.environ, "PYTHONPATH": str(ROOT), "TZ": zone, "LC_ALL": locale, "PYTHONHASHSEED": seed}
        done = subprocess.run(
            [*command, "--output", name], cwd=tmp_path, env=environment, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stderr
        found = content(tmp_path / name)
        del found[MARKER]
        assert found == {place: page.encode() for place, page in made.items()}
        assert (copy / SUITE / "README.md").read_text(encoding="utf-8") == table(read_boards(folder)[SUITE])
    usual = Path.glob
    monkeypatch.setattr(Path, "glob", lambda self, pattern: [*usual(self, pattern)][::-1])
    assert dict(pages(read_boards(copy))) == made


def test_another_entry_changes_ranks_and_groups_only(folder, made, tmp_path):
    shutil.copytree(folder, tmp_path / "leaderboards")
    write(tmp_path / "leaderboards", "new", 0.9, num_tasks=64)
    after = rows(dict(pages(read_boards(tmp_path / "leaderboards")))[f"{SUITE}.html"])
    assert after.pop("new")[1] == "1"
    before = rows(made[f"{SUITE}.html"])
    assert after.keys() == before.keys()
    assert after["whole"][1] == "2"
    for name, cells in before.items():
        assert [c for n, c in enumerate(after[name]) if n not in (1, 5)] == [
            c for n, c in enumerate(cells) if n not in (1, 5)
        ]


def test_what_an_entry_says_is_text_and_nothing_else(made, tmp_path):
    seen = {name for page in made.values() for tag, attributes in Elements(page).found for name in (tag, *attributes)}
    lines = [re.sub(r"[\x00-\x1f\x7f]", "", text)[:200] for text in EVIL]
    text = "\n".join(EVIL)
    card = {"meta_training": "none", **{evil: evil for evil in EVIL}}
    write_evil(tmp_path / "leaderboards", lines, text, card)
    boards = read_boards(tmp_path / "leaderboards")
    for page in dict(pages(boards)).values():
        found = Elements(page)
        assert {name for tag, attributes in found.found for name in (tag, *attributes)} <= seen
        assert not [key for _, attributes in found.found for key in attributes if key.startswith("on")]
        assert sum(tag == "script" and "type" not in attributes for tag, attributes in found.found) <= 1
        assert "\x00" not in page
        assert "\u202e" not in page
    shown = Elements(dict(pages(boards))[f"entries/{SUITE}/evil.html"]).texts
    for line in lines:
        assert plain(line) in shown["bdi"]
    for evil in EVIL:
        assert json.dumps(evil) in shown["pre"]
    assert "<script>alert" not in table(boards[SUITE])


def write_evil(folder, lines, text, card):
    return write(
        folder,
        "evil",
        num_tasks=16,
        authors=lines,
        licence=lines[0],
        description=text[:4000],
        command=text[:4000],
        hardware=lines[1],
        link="https://example.org/?a&b={{c}}",
        search={"selection": "none", "trials": None, "note": text[:4000]},
        learner={"file": "learner.py", "args": card},
        claims={"diagnosis": lines[0], "meta_training_hardware": lines[1]},
        verified={"verdict": "refuted", "reason": text[:4000], "machine": lines[0]},
        marks={"unreliable": text[:4000]},
    )


def test_nothing_is_fetched_and_links_lead_somewhere(made):
    for place, page in made.items():
        found = Elements(page)
        assert "default-src 'none'" in page
        for _, attributes in found.found:
            for key in ("src", "href", "data", "action", "poster", "srcset"):
                value = attributes.get(key) or ""
                if value.startswith("https://"):
                    assert "noopener" in attributes["rel"]
                elif value.startswith("#"):
                    assert f'id="{value[1:]}"' in page
                elif value and value != "data:,":
                    assert os.path.normpath(os.path.join(os.path.dirname(place), value)) in made, (place, value)
        assert "url(" not in found.texts["style"]


def test_it_can_be_read_by_everyone(made):
    for page in made.values():
        found = Elements(page).found
        ids = [attributes["id"] for _, attributes in found if "id" in attributes]
        assert len(ids) == len(set(ids))
        assert all("scope" in attributes for tag, attributes in found if tag == "th")
        assert all(
            attributes.get("tabindex") == "0"
            for _, attributes in found
            if "scroll" in (attributes.get("class") or "").split()
        )
        for _, attributes in found:
            if attributes.get("role") == "img":
                assert attributes["aria-label"]
    # Without its program a page shows curves, values and all numbers, and no control that does nothing.
    board = made[f"{SUITE}.html"]
    assert board.count('<path d="M') > 4
    assert re.search(r'<form class="filter" hidden', board)
    assert re.search(r'<div class="controls" hidden', board)


@pytest.fixture
def own(folder, tmp_path, monkeypatch):
    """A copy of two entries, in the working folder."""
    for name in ("whole", "weak"):
        shutil.copytree(folder / SUITE / name, tmp_path / "leaderboards" / SUITE / name)
        shutil.copyfile(folder / SUITE / f"{name}.yaml", tmp_path / "leaderboards" / SUITE / f"{name}.yaml")
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_command_builds_and_removes_what_is_stale(own, capsys):
    assert main(["leaderboard", "build"]) == 0
    assert "5 pages written to _site, 1 tables to leaderboards" in capsys.readouterr().out
    before = content(own / "_site")
    (own / "_site" / "mine.txt").write_text("mine")
    (own / "leaderboards" / SUITE / "weak.yaml").unlink()
    assert main(["leaderboard", "build"]) == 0
    after = content(own / "_site")
    assert after.pop("mine.txt") == b"mine"
    assert before.keys() - after.keys() == {f"entries/{SUITE}/weak.html"}
    assert "weak" not in (own / "leaderboards" / SUITE / "README.md").read_text()
    shutil.rmtree(own / "leaderboards" / SUITE / "whole")
    (own / "leaderboards" / SUITE / "whole.yaml").unlink()
    assert main(["leaderboard", "build"]) == 0
    assert content(own / "_site").keys() == {MARKER, "index.html", "mine.txt"}
    assert not (own / "leaderboards" / SUITE / "README.md").exists()


def test_what_is_somebody_elses_is_left_alone(own, capsys):
    (own / "_site").mkdir()
    (own / "_site" / "index.html").write_text("mine")
    assert main(["leaderboard", "build"]) == 2
    assert "not of this command" in capsys.readouterr().err
    assert content(own / "_site") == {"index.html": b"mine"}
    readme = own / "leaderboards" / SUITE / "README.md"
    readme.write_text("mine")
    assert main(["leaderboard", "build", "--output", "other"]) == 2
    assert "was not generated" in capsys.readouterr().err
    assert readme.read_text() == "mine"
    readme.unlink()
    (own / "other" / MARKER).write_text(
        f"../precious.html\n{own}/precious.html\nentries/../../precious.html\nindex.html\n"
    )
    (own / "precious.html").write_text("mine")
    assert main(["leaderboard", "build", "--output", "other"]) == 0
    assert (own / "precious.html").read_text() == "mine"


def test_a_damaged_entry_leaves_the_site_as_it_was(own, capsys):
    assert main(["leaderboard", "build"]) == 0
    before = content(own)
    damaged = own / "leaderboards" / SUITE / "weak" / "result0.json"
    damaged.write_text("{}")
    assert main(["leaderboard", "build"]) == 2
    said = capsys.readouterr().err
    assert f"{SUITE}/weak" in said
    assert "result0.json" in said
    assert {**content(own), f"leaderboards/{SUITE}/weak/result0.json": b""} == {
        **before,
        f"leaderboards/{SUITE}/weak/result0.json": b"",
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [(["build", "--folder", "nowhere"], "no such folder"), (["serve", "--port", "65536"], "--port is out of range")],
)
def test_what_cannot_be_is_refused(options, says, own, capsys):
    assert main(["leaderboard", *options]) == 2
    assert says in capsys.readouterr().err
    assert not (own / "_site").exists()


def test_without_entries_there_is_a_page_that_says_so(tmp_path):
    (tmp_path / "leaderboards").mkdir()
    made = dict(pages(read_boards(tmp_path / "leaderboards")))
    assert [*made] == ["index.html"]
    assert "There are no entries yet." in made["index.html"]


def test_what_is_not_installed_is_named(folder, monkeypatch):
    boards = read_boards(folder)
    for name in [name for name in sys.modules if name.partition(".")[0] == "jinja2"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(errors.EntryError, match=r"gpicl-bench\[site\]"):
        list(pages(boards))


def test_the_command_line_imports_nothing_of_it():
    code = "import sys, gpicl_bench.commands; print(sorted({'pydantic', 'yaml', 'jinja2', 'http.server'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )
    assert done.stdout.strip() == "[]"


def test_the_preview_follows_the_files(own):
    command = [sys.executable, "-m", "gpicl_bench", "leaderboard", "serve", "--port", "0"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)}
    ) as server:
        try:
            address = re.search(r"http://127\.0\.0\.1:\d+/", server.stdout.readline())[0]
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            assert b"weak" in opener.open(f"{address}{SUITE}.html").read()
            (own / "leaderboards" / SUITE / "weak.yaml").unlink()
            assert b"weak" not in opener.open(f"{address}{SUITE}.html").read()
            (own / "leaderboards" / SUITE / "whole" / "result0.json").write_text("{}")
            with pytest.raises(urllib.error.HTTPError) as caught:
                opener.open(address)
            with caught.value as answer:
                assert b"result0.json" in answer.read()
        finally:
            server.terminate()
    assert not (own / "leaderboards" / SUITE / "README.md").exists()
    assert not (own / "_site").exists()


USED = """
const doc = () => shown.contentWindow.document;
const names = () => [...doc().querySelectorAll("table.board tbody tr")].filter((row) => !row.hidden).map((row) => row.querySelector("th a").textContent);
const head = (column) => doc().querySelector(`th[data-column=${column}]`);
const set = (selector, value) => {
  const element = doc().querySelector(selector);
  element.value = value;
  element.dispatchEvent(new shown.contentWindow.Event("input", { bubbles: true }));
};
const legend = () => [...doc().querySelectorAll(".legend li")].map((item) => item.textContent);
const said = { start: names(), resources: shown.contentWindow.performance.getEntriesByType("resource").length };
head("score").querySelector("button").click();
said.by_score = [names(), head("score").getAttribute("aria-sort"), head("rank").getAttribute("aria-sort")];
head("score").querySelector("button").click();
said.by_score_again = [names(), head("score").getAttribute("aria-sort")];
head("verified").querySelector("button").click();
said.by_verified = names();
head("name").querySelector("button").focus();
said.focused = doc().activeElement.textContent;
set("input[name=text]", "ADA net");
said.text = [names(), doc().querySelector(".count").textContent];
set("input[name=text]", "");
set("select[name=track]", "meta-trained on MNIST only");
set("select[name=verified]", "verified");
said.chosen = names();
doc().querySelector("button[type=reset]").click();
await new Promise((resolve) => setTimeout(resolve, 20));
said.reset = names().length;
said.curves = [legend(), doc().querySelectorAll(".lines g").length];
[...doc().querySelectorAll("input.draw")].find((box) => !box.checked && box.getAttribute("aria-label").endsWith("liar")).click();
said.more = [legend().length, doc().querySelectorAll(".lines g").length];
set("figure.curves input[type=range]", 5);
said.at5 = [legend(), doc().querySelector(".at").textContent];
const chart = doc().querySelector("figure.curves svg.chart");
const box = chart.getBoundingClientRect();
chart.dispatchEvent(new shown.contentWindow.PointerEvent("pointermove", { clientX: box.right, clientY: box.top + 9 }));
said.hovered = doc().querySelector(".at").textContent;
doc().querySelector(".clear").click();
said.cleared = [legend().length, doc().querySelectorAll("input.draw:checked").length];
set("figure.points input[type=range]", 0);
said.point = doc().querySelector(".named").textContent;
const opened = loaded();
doc().querySelector("tbody a[href$='/once.html']").click();
await opened;
said.entry = [doc().querySelector("h1").textContent, legend()];
set("figure.curves input[type=range]", 5);
said.entry5 = legend();
return said;
"""


@needs_chromium
def test_a_browser_sorts_filters_draws_and_opens(folder, site, tmp_path):
    said, asked, console = drive(site, f"{SUITE}.html", USED, tmp_path / "profile")
    assert "error" not in said, said
    assert console == []
    assert asked == ["/around", f"/{SUITE}.html", f"/entries/{SUITE}/once.html"]
    assert said["resources"] == 0
    board = read_boards(folder)[SUITE]
    scores = {p.contender.entry.name: p.contender.score for p in board.places}
    by_score = sorted(scores, key=lambda name: -scores[name])
    assert said["start"] == [p.contender.entry.name for p in board.places]
    assert said["by_score"] == [by_score, "descending", None]
    assert said["by_score_again"] == [by_score[::-1], "ascending"]
    found = {p.contender.entry.name: p.contender.entry.verified for p in board.places}
    checked = sorted((name for name in found if found[name]), key=lambda name: -found[name].score)
    assert said["by_verified"] == [*checked, *(name for name in said["start"] if name not in checked)]
    assert said["focused"] == "Entry"
    assert said["text"] == [["net"], "1 of 7 shown"]
    assert sorted(said["chosen"]) == ["net", "once"]
    assert said["reset"] == 7
    accuracy = {p.contender.entry.name: p.contender.evidence.accuracy for p in board.places}

    def legend(k, names):
        return [f"{name} {accuracy[name][k]:.3f}" for name in sorted(names, key=lambda name: -accuracy[name][k])]

    drawn = ["whole", "once", "net", "weak", "liar"]
    assert said["curves"][0] == legend(99, drawn[:4])
    assert said["curves"][1] == 4
    assert said["more"] == [5, 5]
    assert said["at5"] == [legend(5, drawn), "accuracy@5"]
    assert said["hovered"] == "accuracy@99"
    assert said["cleared"] == [0, 0]
    assert re.fullmatch(r"\w+: score \d\.\d{3}, 4\.1 kB", said["point"])
    assert said["entry"] == [f"once on {SUITE}", legend(99, ["once"])]
    assert said["entry5"] == legend(5, ["once"])


@needs_chromium
@pytest.mark.parametrize("page", [f"{SUITE}.html", "index.html", "offline-v0.html", f"entries/{SUITE}/liar.html"])
def test_a_phone_shows_it_without_scrolling_sideways(page, site, tmp_path):
    script = "const root = shown.contentWindow.document.documentElement; return root.scrollWidth - root.clientWidth;"
    said, _, console = drive(site, page, script, tmp_path / "profile", width=390)
    assert said == 0
    assert console == []


@needs_chromium
def test_a_board_of_a_thousand_entries_is_small_and_shows_what_is_asked(folder, tmp_path):
    known = next(p.contender for p in read_boards(folder)[SUITE].places if p.contender.entry.name == "once")
    rng = np.random.default_rng(0)

    def contender(n):
        right = rng.integers(0, 1024, (1, 100))
        scores = 0.5 + 0.0004 * n + rng.normal(0, 0.05, (1, 64))
        return Contender(known.entry.model_copy(update={"name": f"n{n:04}"}), Evidence(10, right, scores, ()))

    board: SuiteBoard = suite_board(SUITE, [contender(n) for n in range(1000)])
    page = next(content for place, content in pages({SUITE: board}) if place == f"{SUITE}.html")
    assert len(page.encode()) < 4e6
    (tmp_path / "board.html").write_text(page, encoding="utf-8")
    said, _, console = drive(tmp_path, "board.html", MEASURED, tmp_path / "profile")
    assert console == []
    assert (said["shown"], said["said"], said["rows"]) == (200, "1,000, the first 200 are shown", 1000)
