"""The site of docs/: it builds without a warning, asks nothing of the network, and its generated pages are current."""

import base64
import importlib
import io
import json
import os
import re
import shutil
import subprocess
import sys
import threading
from html.parser import HTMLParser
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import unquote, urlsplit

import numpy as np
import pytest
from PIL import Image

import gpicl_bench
from gpicl_bench.reporting import references
from tests.browser import CHROMIUM
from tests.conftest import ROOT
from tests.pages import external, pictures, suites
from tests.samples import suites_at_hand

DOCS = ROOT / "docs"
CLASSICAL = ROOT / "baselines" / "results" / "classical"
NOTEBOOKS = sorted(DOCS.glob("*.ipynb"))
needs_mkdocs = pytest.mark.skipif(
    not all(map(find_spec, ("mkdocs", "material", "mkdocstrings_handlers"))), reason="the extra docs is not installed"
)
HREF_FETCHES = {"stylesheet", "icon", "preload", "modulepreload", "prefetch", "manifest"}


def build(folder, site):
    """The site of a checkout, without a network."""
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "-f", folder / ".mkdocs.yml", "-d", site]
    environment = {**os.environ, "NO_MKDOCS_2_WARNING": "1"}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


@pytest.fixture(scope="module")
def site(tmp_path_factory):
    folder = tmp_path_factory.mktemp("site")
    done = build(ROOT, folder)
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def pages(site):
    """Every page of the site, by its path."""
    return {path: Page(path.read_text()) for path in site.rglob("*.html")}


class Page(HTMLParser):
    """What a page fetches by itself, where it links, and what can be linked to in it."""

    def __init__(self, text):
        super().__init__()
        self.fetched, self.links, self.places, self.classes = [], [], set(), set()
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        found = {name: value or "" for name, value in attributes}
        self.places.add(found.get("id"))
        self.classes.update(found.get("class", "").split())
        self.fetched += [found[name] for name in ("src", "poster", "data") if name in found and tag != "a"]
        self.fetched += [part.split()[0] for part in found.get("srcset", "").split(",") if part.strip()]
        self.fetched += re.findall(r"url\(([^)]*)\)", found.get("style", ""))
        if tag == "link" and HREF_FETCHES & set(found["rel"].split()) or tag in ("use", "image"):
            self.fetched.append(found.get("href", ""))
        elif "href" in found:
            self.links.append(found["href"])


def is_elsewhere(address):
    """Whether an address is on another machine."""
    return bool(urlsplit(address.strip("'\" ")).netloc)


@pytest.mark.parametrize(
    "text",
    [
        '<script src="https://unpkg.com/a"></script>',
        '<link rel="stylesheet" href="//fonts.googleapis.com/css">',
        '<img srcset="a.png 1x, http://example.org/b.png 2x">',
        '<p style="background:url(https://example.org/c.png)">',
    ],
)
def test_a_page_that_asks_the_network_is_found(text):
    assert any(map(is_elsewhere, Page(text).fetched))


@needs_mkdocs
def test_no_page_asks_anything_of_the_network(site, pages):
    assert len(pages) > len(gpicl_bench.registry)
    assert {path: page.fetched for path, page in pages.items() if any(map(is_elsewhere, page.fetched))} == {}
    assert not any("mermaid" in page.classes for page in pages.values())  # the theme would fetch its program
    for sheet in site.rglob("*.css"):
        assert not any(map(is_elsewhere, re.findall(r"(?:url\(|@import )([^);]*)", sheet.read_text()))), sheet


@needs_mkdocs
def test_every_link_within_the_site_leads_somewhere(pages):
    """Also those that mkdocs does not look at: of raw HTML, of the theme, of docstrings."""
    lost = []
    for path, page in pages.items():
        for address in {*page.links, *page.fetched} if path.name != "404.html" else ():
            parts = urlsplit(address)
            if parts.scheme or parts.netloc:
                continue
            target = Path(os.path.normpath(path.parent / unquote(parts.path))) if parts.path else path
            anchored = unquote(parts.fragment) in pages[target].places if parts.fragment and target in pages else True
            if not anchored or not target.exists():
                lost.append((path.name, address))
    assert lost == []


@needs_mkdocs
def test_lists_and_tables_are_such_on_the_site_too(site):
    """GitHub needs no empty line before a list, and takes two spaces for its paragraphs; mkdocs does not."""
    for path in site.rglob("*.html"):
        article = path.read_text().partition("<article")[2].partition("</article>")[0]
        assert not re.search(r"<p>(?:\| |(?:(?!</p>)[^\0])*\n *(?:[-*|]|\d+\.) )", article), path


@pytest.mark.parametrize("page", sorted(DOCS.rglob("*.md")), ids=lambda path: path.stem)
def test_a_list_within_a_list_is_one_on_the_site_too(page):
    """GitHub takes two spaces; mkdocs makes one list of both, unless there are four."""
    text = re.sub(r"^```.*?^```$", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    assert re.findall(r"^ {1,3}(?:[-*]|\d+\.) .*", text, re.MULTILINE) == []


@needs_mkdocs
def test_a_lost_link_a_lost_anchor_and_a_page_in_no_list_stop_the_build(tmp_path):
    for path in (".mkdocs.yml", "gpicl_bench", "baselines", "leaderboards", "tests", "README.md"):
        (tmp_path / path).symlink_to(ROOT / path)
    shutil.copytree(DOCS, tmp_path / "docs", ignore=shutil.ignore_patterns("*-v0.*", "00*.md"))  # time
    with (tmp_path / "docs" / "data.md").open("a") as page:
        page.write("\n[a](nowhere.md) [b](metrics.md#nowhere) [c](../baselines/nowhere.py) [d](../baselines/svm.py)\n")
    (tmp_path / "docs" / "stray.md").write_text("# Stray\n")
    (tmp_path / ".mkdocs.yml").unlink()
    shutil.copy(ROOT / ".mkdocs.yml", tmp_path)
    done = build(tmp_path, tmp_path / "site")
    assert done.returncode != 0
    warnings = [line for line in done.stderr.splitlines() if "WARNING" in line or line.startswith("  - ")]
    for told in ("nowhere.md", "metrics.md#nowhere", "baselines/nowhere.py", "stray.md"):
        assert any(told in line for line in warnings), (told, warnings)
    assert not any("svm.py" in line for line in warnings)


@needs_mkdocs
@pytest.mark.skipif(CHROMIUM is None, reason="there is no Chromium on this machine")
def test_the_search_finds_pages_of_a_folder(site, tmp_path):
    """Opened as a file, without a server: there the worker of the search is a frame."""
    browser = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", f"--user-data-dir={tmp_path}"]
    page = f"{(site / 'index.html').as_uri()}?q=threefry"
    waited = ["--virtual-time-budget=20000", "--dump-dom", page]
    done = subprocess.run([*browser, *waited], capture_output=True, text=True, check=True, timeout=60)
    found = re.findall(r'<a href="([^"]*)" class="md-search-result__link"', done.stdout)
    assert any("protocol.html" in address for address in found), found


class Answering(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(int(self.path.strip("/")))
        self.end_headers()

    def log_message(self, format, *args):
        pass


def test_a_link_to_nowhere_on_another_site_is_told():
    with ThreadingHTTPServer(("127.0.0.1", 0), Answering) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        faults = [external.fault(f"http://127.0.0.1:{server.server_port}/{status}") for status in (200, 403, 404, 500)]
        server.shutdown()
    assert faults == [None, None, "status 404", "status 500"]
    assert external.fault("http://127.0.0.1:9/") == "ConnectionError"
    assert external.links()["https://arxiv.org/abs/2212.04458"] == "README.md"


def test_the_pages_of_the_suites_are_current():
    made = suites.pages()
    assert {path.name: path.read_text() for path in suites.FOLDER.glob("*.md")} == made
    shown = {path.stem for path in suites.FOLDER.glob("*.svg")}
    may = {id for id, spec in gpicl_bench.registry.items() if spec.of_record and suites.may_be_shown(spec)}
    assert shown == may
    assert sum(path.stat().st_size for path in suites.FOLDER.iterdir()) < 10**6


def taken_apart(svg):
    """The pixels of the images of a picture, and all of its text but these."""
    found = re.findall(r"base64,([^\"]*)", svg)
    pixels = [np.asarray(Image.open(io.BytesIO(base64.b64decode(image)))) for image in found]
    return pixels, re.sub(r"base64,[^\"]*", "", svg)


@pytest.mark.parametrize("id", [id for id in suites_at_hand() if suites.may_be_shown(gpicl_bench.spec(id))])
def test_the_pictures_are_current(id):
    """Pixel by pixel: another zlib packs them otherwise."""
    pixels, text = taken_apart((suites.FOLDER / f"{id}.svg").read_text())
    again, text_again = taken_apart(pictures.picture(gpicl_bench.make(id)))
    assert text == text_again
    assert len(pixels) == 3 * pictures.EXAMPLES
    assert all(map(np.array_equal, pixels, again))


@pytest.mark.parametrize("id", ["digits-proj-perm-v0", "digits-none-perm-v0", "random-pixperm-perm-v0"])
def test_a_picture_shows_the_episode_of_record(id):
    """The row of task 0 is x of its first episode, and the captions are its y."""
    suite = gpicl_bench.make(id)
    episode = suite.meta_test.episode(0)
    pixels, text = taken_apart(pictures.picture(suite))
    for x, shown in zip(episode.x, pixels[pictures.EXAMPLES : 2 * pictures.EXAMPLES], strict=False):
        expected = np.clip(x.astype(float) / 6 + 0.5, 0, 1).reshape(shown.shape)
        assert np.abs(shown / 255 - expected).max() <= 0.5 / 15 + 1e-6
    captions = [int(y) for y in re.findall(r"y = (\d+)", text)]
    assert captions[: pictures.EXAMPLES] == episode.y[: pictures.EXAMPLES].tolist()
    other = suite.meta_test.task(1).label_map[suite.meta_test.part.labels[episode.indices[: pictures.EXAMPLES]]]
    assert captions[pictures.EXAMPLES :] == other.tolist()


def test_scores_on_the_pages_are_those_of_the_reference_results():
    page = (suites.FOLDER / "digits-proj-perm-v0.md").read_text()
    for file, name in references.NAMES.items():
        result = gpicl_bench.load_result(CLASSICAL / file / "digits-proj-perm-v0.json")
        (row,) = [line for line in page.splitlines() if line.startswith(f"| {name} |")]
        expected = [*(result.accuracy_at(k) for k in suites.POSITIONS), result.score]
        assert row == f"| {name} | " + " | ".join(f"{value:.3f}" for value in expected) + " |"


def test_every_public_name_stands_on_the_page_of_the_api():
    told = re.findall(r"^::: ([\w.]+)$", (DOCS / "api.md").read_text(), re.MULTILINE)
    names = [name.rpartition(".")[2] for name in told]
    assert sorted(names) == sorted(gpicl_bench.__all__)
    for path, name in zip(told, names, strict=True):
        module, _, last = path.rpartition(".")
        assert getattr(importlib.import_module(module), last) is getattr(gpicl_bench, name)


@pytest.mark.skipif(not find_spec("nbclient") or not find_spec("ipykernel"), reason="the extra docs is not installed")
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.name)
def test_notebooks_run_and_print_what_they_show(path, tmp_path):
    """In a process of its own: the tools of notebooks warn as they like. Pictures are drawn, and not compared."""
    done = tmp_path / path.name
    program = (
        "import sys, nbclient, nbformat\n"
        "notebook = nbformat.read(sys.argv[1], 4)\n"
        "nbclient.NotebookClient(notebook, timeout=120, kernel_name='python3').execute()\n"
        "nbformat.write(notebook, sys.argv[2])\n"
    )
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TFDS_DATA_DIR": str(tmp_path)}
    run = subprocess.run(
        [sys.executable, "-c", program, path, done], env=environment, cwd=tmp_path, capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    kept, again = (json.loads(file.read_text())["cells"] for file in (path, done))
    assert [told(cell) for cell in again] == [told(cell) for cell in kept]
    assert any("image/png" in kinds for cell in kept for kinds in told(cell)[0])


def told(cell):
    """What a cell shows: the kinds of its outputs, and its text; a kernel prints in as many parts as it likes."""
    outputs = cell.get("outputs", [])
    kinds = [sorted(output["data"]) for output in outputs if "data" in output]
    return kinds, "".join(part for output in outputs for part in output.get("text", ""))
