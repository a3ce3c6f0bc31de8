"""The page of a report: all that the files say, nothing that they could do, the same in every order."""

import base64
import hashlib
import html
import json
import os
import re
import shutil
import subprocess
import sys
import xml.etree.ElementTree as ElementTree
from html.parser import HTMLParser

import pytest

from gpicl_bench import __version__, compare, errors, load_result
from gpicl_bench.commands import main
from gpicl_bench.diagnosing import load_diagnosis
from gpicl_bench.reporting import citing
from gpicl_bench.reporting.latex import escaped, table
from gpicl_bench.reporting.page import page
from gpicl_bench.reporting.reading import read
from gpicl_bench.reporting.text import plain
from tests.browser import drive
from tests.conftest import ROOT
from tests.portrait import CHROMIUM
from tests.synthetic import PASSED, SUITE, diagnosis, result, trained

OTHER = "digits-none-perm-v0"
EVIL = [
    "</script><script>alert(1)</script>",
    '"><img src=x onerror=alert(1)>',
    "' onmouseover='alert(1)",
    "<!-- ",
    "]]>",
    "{{ 7 * 7 }}{% raw %}",
    "&lt;b&gt;",
    "a\u202eb\x00\x1b[31m\u2028",
    "x" * 400,
    "#010203",
    "$\\input{/etc/passwd}$ 50% of_all & more",
]


def saved(folder, **contents):
    """Files of these results and diagnoses, by name."""
    for name, content in contents.items():
        content.save(folder / f"{name}.json")
    return [folder / f"{name}.json" for name in contents]


@pytest.fixture(scope="module")
def files(tmp_path_factory):
    """Two learners, one of three runs, on two suites; diagnoses of one of them and of a stranger."""
    runs = {f"net{s}": result("net", 0.8, seed=s, card=trained(s), audit=PASSED) for s in range(3)}
    elsewhere = {f"net{s}_none": result("net", 0.7, OTHER, seed=s, card=trained(s)) for s in range(3)}
    others = {
        "memo": result("memo", 0.15),
        "net_diagnosis": diagnosis("net", seen="known", card=trained(0)),
        "stranger": diagnosis("stranger", late=0.1),
    }
    return saved(tmp_path_factory.mktemp("files"), **runs, **elsewhere, **others)


@pytest.fixture(scope="module")
def made(files):
    return page(read(files))


class Elements(HTMLParser):
    """Start tags with their attributes, and the text of each kind of element."""

    def __init__(self, text):
        super().__init__()
        self.found, self.open, self.texts = [], [], {}
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))
        if tag not in ("meta", "br", "wbr"):
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))

    def handle_endtag(self, tag):
        assert self.open.pop() == tag, f"</{tag}> closes something else"

    def handle_data(self, data):
        for tag in self.open:
            self.texts[tag] = self.texts.get(tag, "") + data


def hash_of(text):
    """As a policy names a text."""
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"


def rows(text, suite):
    """The cells of the first table of a suite."""
    part = text[text.index(f'<section id="{suite}"') :]
    body = re.search(r"<tbody>(.*?)</tbody>", part, re.DOTALL)[1]
    cells = [re.findall(r"<t[hd][^>]*>(.*?)</t[hd]>", row, re.DOTALL) for row in body.split("</tr>")[:-1]]
    return [[html.unescape(re.sub(r"\s+", " ", re.sub("<[^>]*>", "", cell))).strip() for cell in row] for row in cells]


def test_the_table_says_what_compare_says(files, made):
    results = [load_result(file) for file in files if "diagnosis" not in file.stem and file.stem != "stranger"]
    found = compare([r for r in results if r.setting.suite == SUITE])
    first, second = rows(made, SUITE)
    assert (first[1], second[1]) == ("net", "memo") == tuple(runs.name for runs in found.learners)
    assert (int(first[5]), int(second[5])) == found.groups == (1, 2)
    net, memo = found.learners
    low, high = net.run_interval
    assert first[2] == f"{net.mean:.3f} {low:.3f} to {high:.3f}"
    assert first[4] == "3 runs"
    low, high = memo.task_interval
    assert second[2] == f"{memo.mean:.3f} {low:.3f} to {high:.3f}".replace("-", "−")
    low, high = memo.results[0].accuracy_interval[-1]
    assert second[3] == f"{memo.results[0].accuracy[-1]:.3f} {low:.3f} to {high:.3f}"
    assert (first[6], second[6]) == ("3", "1")
    assert first[7] == "audit passed (quick, 1,234 comparisons)"
    assert second[7] == "not audited; labels withheld by the harness"
    assert (first[8], second[8]) == ("general learning", "–")
    pair = found.pairs[0]
    assert f"<td>{'differs' if pair.differs else 'tie'}</td>" in made
    assert pair.method in made


def test_learners_that_tie_share_a_group(tmp_path):
    results = {name: result(name, level) for name, level in (("a", 0.8), ("b", 0.801), ("c", 0.4))}
    made = page(read(saved(tmp_path, **results)))
    assert [int(row[5]) for row in rows(made, SUITE)] == list(compare(results.values()).groups) == [1, 1, 2]


def test_the_page_is_the_same_in_any_order_and_in_another_process(files, made, tmp_path):
    assert page(read(files[::-1])) == made
    assert page(read(files)) == made
    command = [
        sys.executable,
        "-m",
        "gpicl_bench",
        "report",
        *files[3:],
        *files[:3],
        "--output",
        tmp_path / "page.html",
    ]
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "PYTHONHASHSEED": "7", "MPLCONFIGDIR": str(tmp_path)}
    (tmp_path / "matplotlibrc").write_text("axes.facecolor: red\nfont.size: 30\n")
    done = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "page.html").read_text() == made


def test_the_diagnosis_is_shown_with_its_reason(files, made):
    for file in files:
        if file.stem in ("net_diagnosis", "stranger"):
            found = load_diagnosis(file)
            assert f"<strong>{found.verdict}</strong>" in made
            assert f"Because: {html.escape(found.phase.reason)}." in made
            for cell in found.cells:
                assert f'<th scope="row">{cell.name}</th>' in made
            for symmetry in found.symmetries:
                assert f"{symmetry.share.low:.3f} to {symmetry.share.high:.3f}" in made
    assert made.count("There is no result of this learner among the files.") == 1


def test_verdicts_of_several_runs_are_counted(tmp_path):
    contents = {
        "a": result("net", card=trained(0)),
        **{f"d{s}": diagnosis("net", seen="known", card=trained(s), late=0.1 if s else 0.8) for s in range(3)},
    }
    assert rows(page(read(saved(tmp_path, **contents))), SUITE)[0][8] == "no learning (2 runs), general learning"


def test_runs_that_stopped_at_different_steps_are_one_learner(tmp_path):
    """And the files say which is which."""
    steps = (340, 270, 430)
    cards = [
        {"meta_training": {"suite": SUITE, "num_tasks": 16 * n, "seed": s, "steps": n}} for s, n in enumerate(steps)
    ]
    made = page(read(saved(tmp_path, **{f"r{s}": result("net", seed=s, card=card) for s, card in enumerate(cards)})))
    ((_, name, _, _, over, _, runs, *_),) = rows(made, SUITE)
    assert (name, over, runs) == ("net", "3 runs", "3")
    listed = made[made.index('<section id="files"') :]
    assert re.findall(r"<td>(seed[^<]*)</td>", listed) == [f"seed {s}, steps {n}" for s, n in enumerate(steps)]


def test_a_diagnosis_finds_its_learner_by_its_weights(tmp_path):
    """Whatever it is called; what could be a run of neither learner is of neither."""
    cards = {digit: {**trained(0), "weights_sha256": digit * 64} for digit in "abc"}
    contents = {
        "one": result("net", 0.8, seed=1, card=cards["a"], args={"checkpoint": "big"}),
        "two": result("net", 0.3, seed=2, card=cards["b"], args={"checkpoint": "small"}),
        "found": diagnosis("elsewhere", seen="known", card=cards["a"]),
        "lost": diagnosis("net", seen="known", card=cards["c"]),
    }
    material = read(saved(tmp_path, **contents))
    named = {diagnosis.learner.name: name for name, diagnosis in material.diagnoses}
    assert named["net"] is None
    (found,) = material.suites[SUITE][named["elsewhere"]].results
    assert found.learner.card == cards["a"]


def test_long_names_break_where_words_end(tmp_path):
    made = page(read(saved(tmp_path, a=result("nearest_neighbour_of<b>_x"))))
    assert ">nearest_<wbr>neighbour_<wbr>of&lt;b&gt;_x</bdi>" in made


def test_missing_suites_are_named_and_never_averaged(files, made):
    profile = made[made.index('<section id="profile"') : made.index('<section id="diagnosis"')]
    text = html.unescape(re.sub("<[^>]*>", "", profile))
    assert "offline-v0: no mean for net, memo; missing: digits-pixperm-perm-v0, random-proj-perm-v0" not in text
    assert "offline-v0: no mean for net; missing: digits-pixperm-perm-v0, random-proj-perm-v0" in text
    assert (
        "offline-v0: no mean for memo; missing: digits-pixperm-perm-v0, digits-none-perm-v0, random-proj-perm-v0"
        in text
    )
    assert 'title="missing"' in profile


def test_a_mean_is_over_all_suites_of_a_benchmark_on_as_many_tasks(tmp_path):
    from gpicl_bench import benchmark

    suites = benchmark("offline-v0")
    whole = {suite: result("whole", 0.8, suite) for suite in suites}
    mean = sum(found.score for found in whole.values()) / 4
    assert f">{mean:.3f}</td>" in page(read(saved(tmp_path, **whole)))
    fewer = {**whole, suites[3]: result("whole", 0.8, suites[3], num_tasks=32)}
    made = page(read(saved(tmp_path, **fewer)))
    assert f">{mean:.3f}</td>" not in made
    assert "its results are of different num_tasks" in made


def test_without_every_position_there_is_no_score(tmp_path):
    made = page(read(saved(tmp_path, a=result("a", 0.9, asked=[0, 9]), b=result("b", 0.2, asked=[0, 9]))))
    assert [row[2] for row in rows(made, SUITE)] == ["–", "–"]
    assert "By accuracy@9, with 95% intervals" in made


def test_one_task_and_one_position(tmp_path):
    made = page(read(saved(tmp_path, a=result(num_tasks=1), b=result("b", num_tasks=1))))
    assert "no interval: one task" in made
    assert "nan" not in re.sub(r"base64,[^\"]*", "", made)
    page(read(saved(tmp_path, a=result(asked=[5]))))


def test_a_suite_that_nobody_registered(tmp_path):
    made = page(read(saved(tmp_path, a=result(suite="mine-proj-perm-v0"))))
    assert '<section id="mine-proj-perm-v0"' in made
    assert "@misc{mine" not in made


@pytest.mark.parametrize("evil", EVIL, ids=range(len(EVIL)))
def test_what_a_file_says_is_text_and_nothing_else(evil, tmp_path, files, made):
    card = {"meta_training": "none", "link": f"javascript:{evil}", "licence": evil}
    others = {
        "plain": result("b"),
        "evil": result(evil, args={evil: evil}, card=card),
        "twin": result(evil, args={evil: 2}, card=card),
        "diagnosis": diagnosis(evil, card={"meta_training": {"suite": evil}}, seen="unknown", unmeasured={evil: evil}),
    }
    text = page(read(saved(tmp_path, **others)))
    found, usual = Elements(text), Elements(made)
    assert {tag for tag, _ in found.found} <= {tag for tag, _ in usual.found} | {"path", "wbr"}
    assert sum(tag == "script" for tag, _ in found.found) == 1
    assert not [key for _, attributes in found.found for key in attributes if key.startswith("on")]
    assert "javascript:" not in text.replace(html.escape(f"javascript:{evil}"), "")
    assert plain(evil) in found.texts["bdi"]
    assert "\x00" not in text
    for _, attributes in found.found:
        if "download" in attributes and "svg" in attributes["href"][:20]:
            root = ElementTree.fromstring(base64.b64decode(attributes["href"].partition(",")[2]))
            assert all(element.tag.startswith("{http://www.w3.org/2000/svg}") for element in root.iter())


def test_nothing_is_fetched(made, tmp_path):
    linked = saved(
        tmp_path,
        a=result("a", card={"meta_training": "none", "link": 'https://example.org/?a="b"&c'}),
        b=result("b", card={"meta_training": "none", "link": "ftp://example.org"}),
    )
    for text in (made, page(read(linked))):
        for tag, attributes in Elements(text).found:
            for key in ("src", "href", "xlink:href", "data", "action", "poster", "srcset", "style"):
                value = re.sub("^data:image/(png|svg\\+xml);base64,.*", "", attributes.get(key) or "")
                assert "//" not in value or (tag, key, value) == ("a", "href", 'https://example.org/?a="b"&c'), value
                assert key == "style" or not value or value.startswith(("#", "https://example.org"))
        sheet = Elements(text).texts["style"]
        assert "url(" not in sheet
        assert "@import" not in sheet
        (policy,) = (
            a["content"] for tag, a in Elements(text).found if a.get("http-equiv") == "Content-Security-Policy"
        )
        allowed = dict(part.strip().split(" ", 1) for part in policy.split(";"))
        assert allowed.pop("style-src") == allowed.pop("style-src-attr") == "'unsafe-inline'"  # no address can be in it
        assert allowed.pop("style-src-elem") == hash_of(sheet)
        assert allowed.pop("script-src") == hash_of(Elements(text).texts["script"])
        assert allowed == {"default-src": "'none'", "img-src": "data:", "base-uri": "'none'", "form-action": "'none'"}
    assert "ftp:" not in text


def test_it_can_be_read_by_everyone(made):
    found = Elements(made).found
    pictures = [attributes for tag, attributes in found if tag == "svg" and attributes.get("role") == "img"]
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(pictures) == 2
    assert len(ids) == len(set(ids))
    for attributes in pictures:
        assert attributes["aria-labelledby"] in ids
    for _, attributes in found:
        for name in ("href", "xlink:href", "clip-path", "aria-labelledby", "data-from"):
            target = re.search(r"#([^)]*)", attributes.get(name, "")) or re.search(
                "^([\\w-]+)$", attributes.get(name, "")
            )
            assert target is None or target[1] in ids
    assert all("scope" in attributes for tag, attributes in found if tag == "th")
    assert {attributes["tabindex"] for _, attributes in found if attributes.get("class", "").startswith("scroll")} == {
        "0"
    }
    sheet = Elements(made).texts["style"]
    for wanted in ("prefers-color-scheme: dark", ":focus-visible", "@media print", "prefers-reduced-motion"):
        assert wanted in sheet


def test_pictures_can_be_kept(made):
    links = [a for tag, a in Elements(made).found if tag == "a" and "download" in a]
    assert sorted(a["download"] for a in links) == [f"{s}.{end}" for s in (OTHER, SUITE) for end in ("png", "svg")]
    for attributes in links:
        content = base64.b64decode(attributes["href"].partition(",")[2])
        if attributes["download"].endswith("png"):
            assert content.startswith(b"\x89PNG")
        else:
            assert b"currentColor" not in content
            assert ElementTree.fromstring(content).get("width")


def refused(*files):
    with pytest.raises(errors.ResultError) as caught:
        read(files)
    return str(caught.value)


@pytest.mark.parametrize(
    ("field", "other"),
    [
        ("num_tasks", {"num_tasks": 63}),
        ("task_set", {"task_set": "meta_validation"}),
        ("fingerprint", {"fingerprint": "ab" * 32}),
        ("positions", {"asked": range(99)}),
    ],
)
def test_settings_are_not_mixed(field, other, tmp_path):
    files = saved(tmp_path, one=result("a"), two=result("b", **other))
    said = refused(*files)
    assert f"different {field}" in said
    assert all(str(file) in said for file in files)


def test_what_no_page_can_be_made_of(tmp_path):
    one, copy, found = saved(tmp_path, one=result(), copy=result(), found=diagnosis())
    assert all(part in refused(one, copy) for part in ("given twice", "one.json", "copy.json"))
    assert "given twice" in refused(one, one)
    assert "given twice" in refused(one, found, found)
    assert "no result to report" in refused(found)
    assert "no result to report" in refused()
    same_seed = dict.fromkeys(("a", "b"), trained(1))
    runs = saved(tmp_path, **{name: result("net", 0.5, seed=ord(name), card=card) for name, card in same_seed.items()})
    assert all(part in refused(*runs) for part in ("no two runs", "a.json", "b.json"))


def test_a_folder_is_all_that_is_in_it(files, made, tmp_path):
    inner = tmp_path / "a folder" / "inner.json"
    inner.mkdir(parents=True)
    for number, file in enumerate(files):
        shutil.copy(file, (inner if number % 2 else tmp_path) / file.name)
    for other in ('{"format": "another program"}', "[1]", '{"format": 3}', "null"):
        (inner / f"{len(other)}.json").write_text(other)
    (inner / "notes.txt").write_text("no JSON")
    assert page(read([tmp_path])) == made
    assert "given twice" in refused(tmp_path, files[0])


def test_a_folder_with_nothing_to_report_is_named(tmp_path):
    (tmp_path / "run.json").write_text("{}")
    said = refused(tmp_path)
    assert "there is no result and no diagnosis in this folder" in said
    assert str(tmp_path) in said
    assert "no result to report" in refused(saved(tmp_path, found=diagnosis())[0].parent)


@pytest.mark.parametrize("damage", [lambda text: text[:900], lambda text: text.replace("-result/1", "-result/2")])
def test_a_folder_hides_no_damage(damage, tmp_path):
    _, bad = saved(tmp_path, good=result("good"), bad=result("bad"))
    bad.write_text(damage(bad.read_text()))
    assert str(bad) in refused(tmp_path)


def test_no_number_is_not_a_number(tmp_path):
    """NaN in a summary, in a time and in a ledger."""
    for content, field in ((result(), "score"), (diagnosis(), "episode_seconds")):
        (file,) = saved(tmp_path, x=content)
        told = json.loads(file.read_text())
        part = "summary" if field == "score" else "times"
        told[part][field] = float("nan")
        file.write_text(json.dumps(told))
        assert str(file) in refused(file)


def test_names_of_files_are_shown_as_they_are(tmp_path):
    name = 'it\'s "a" <b>file & 50% \u202e'
    made = page(read(saved(tmp_path, **{name: result()})))
    assert plain(name) + ".json" in Elements(made).texts["bdi"]


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:900],
        lambda text: text.replace('"name": "a"', '"name": "b"'),
        lambda text: "[]",
        lambda text: "{}",
    ],
)
@pytest.mark.parametrize("content", [result(), diagnosis()], ids=["result", "diagnosis"])
def test_a_damaged_file_is_named(content, damage, tmp_path):
    good, bad = saved(tmp_path, good=result("good"), bad=content)
    bad.write_text(damage(bad.read_text()))
    assert "bad.json" in refused(good, bad)
    assert "missing.json" in refused(good, tmp_path / "missing.json")


@pytest.mark.parametrize("output", ["nowhere/page.html", ".", "a.json", "link.json", "new.json"])
def test_an_output_that_cannot_be_is_refused_before_any_work(output, tmp_path, monkeypatch, capsys):
    (file,) = saved(tmp_path, a=result())
    (tmp_path / "link.json").symlink_to(file)
    before = file.read_bytes()
    monkeypatch.setattr("gpicl_bench.reporting.reading.read", None)
    assert main(["report", str(file), "--output", str(tmp_path / output)]) == 2
    assert "could not be written" in capsys.readouterr().err
    assert file.read_bytes() == before


def test_what_is_no_file_is_named(tmp_path, monkeypatch, capsys):
    """Nobody means the working folder by an empty name, and nobody waits for a pipe."""
    monkeypatch.chdir(tmp_path)
    saved(tmp_path, a=result())
    os.mkfifo("pipe.json")
    for name, says in (("", "a file has no name"), ("pipe.json", "no ordinary file"), ("x" * 300, "error: ")):
        assert main(["report", name]) == 2
        assert says in capsys.readouterr().err
    assert not (tmp_path / "report.html").exists()
    assert main(["report", "."]) == 0  # the pipe in it is no file of ours


def test_chance_is_drawn_once():
    from gpicl_bench.evaluation.comparison import Runs
    from gpicl_bench.reporting.references import references

    drawn = {name: [c.name for c in references([Runs(name, (result(name),))])] for name in ("chance", "b")}
    assert "chance" not in drawn["chance"]
    assert drawn["b"].count("chance") == 1


@pytest.mark.parametrize(("package", "says"), [("jinja2", "[site]"), ("matplotlib", "[plot]")])
def test_what_is_not_installed_is_named(package, says, files, monkeypatch):
    for name in [name for name in sys.modules if name.partition(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises((errors.ReportError, errors.PictureError)) as caught:
        page(read(files))
    assert f"pip install 'gpicl-bench{says}'" in str(caught.value)


def test_the_command_writes_the_page(files, made, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    assert main(["report", *map(str, files)]) == 0
    assert capsys.readouterr().out == "written to report.html\n"
    assert (tmp_path / "report.html").read_text(encoding="utf-8") == made
    assert [path.name for path in tmp_path.iterdir()] == ["report.html"]


def test_what_to_cite():
    cited = citing.bibtex(["fashion_mnist_rgb32-proj-perm-v0", "fashion_mnist-proj-perm-v0", "random-proj-perm-v0"], 1)
    assert re.findall(r"^@\w+\{(\w+),$", cited, re.MULTILINE) == ["gpicl_bench", "kirsch2022general", "fashion_mnist"]
    assert "author = {Xiao and Rasul and Vollgraf}" in cited
    assert cited.count("{") == cited.count("}")
    kept = (ROOT / "CITATION.cff").read_text()
    for part in (
        citing.TITLE,
        citing.AUTHORS,
        citing.PAPER["title"],
        citing.PAPER["eprint"],
        f"version: {__version__}",
    ):
        assert part in kept


def test_every_base_dataset_has_an_entry():
    from gpicl_bench.datasets.table import DATASETS

    bases = {row.base or row.name for row in DATASETS.values()}
    cited = citing.bibtex([f"{name}-proj-perm-v0" for name in DATASETS], 1)
    assert set(re.findall(r"^@misc\{(\w+),$", cited, re.MULTILINE)) == {*bases, "kirsch2022general"} - {"random"}
    assert cited.count("year = ") == len(bases)  # random is the paper's


def test_latex():
    made = table(["Learner", "Score"], [["a_b & c", "−0.5 (0.25 to 1.0)"]], "50%", "x")
    assert made.splitlines()[6:11] == [
        "Learner & Score \\\\",
        r"\midrule",
        r"a\_b \& c & $-0.5$ ($0.25$ to $1.0$) \\",
        r"\bottomrule",
        r"\end{tabular}",
    ]
    made = table(["Learner"], [["[2cm]"], ["*"], ["a[1]*"]], "", "x")
    assert made.splitlines()[8:11] == [r"{}[2cm] \\", r"{}* \\", r"a[1]* \\"]
    assert escaped("<|>") == r"\textless{}\textbar{}\textgreater{}"
    assert escaped("\\~^{}$&#_%") == r"\textbackslash{}\textasciitilde{}\textasciicircum{}\{\}\$\&\#\_\%"


def browse(file, *options):
    command = [CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--enable-logging=stderr", "--v=0"]
    command += ["--virtual-time-budget=3000", f"--user-data-dir={file.parent / 'profile'}", *options, file.as_uri()]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_opens_it_without_a_complaint(made, tmp_path):
    (tmp_path / "page.html").write_text(made, encoding="utf-8")
    done = browse(tmp_path / "page.html", f"--screenshot={tmp_path / 'page.png'}", "--window-size=390,844")
    assert (tmp_path / "page.png").stat().st_size > 5000, done.stderr
    assert "CONSOLE" not in done.stderr, done.stderr


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_phone_scrolls_in_one_direction(made, tmp_path):
    """Wide tables scroll by themselves."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.html").write_text(made, encoding="utf-8")
    script = "const root = shown.contentDocument.documentElement; return [root.scrollWidth, root.clientWidth];"
    (needed, given), _, _ = drive(tmp_path / "site", "page.html", script, tmp_path / "profile", width=400)
    assert 0 < needed <= given


def with_program(page, program):
    """The page with one more program, which its policy allows."""
    allowed = page.replace("script-src '", f"script-src {hash_of(program)} '", 1)
    return allowed.replace("</body>", f"<script>{program}</script></body>")


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
def test_a_browser_copies_the_citation(made, tmp_path):
    """The button says so; where it may not, the text is selected."""
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "page.html").write_text(made, encoding="utf-8")
    script = """
    const button = shown.contentDocument.querySelector("[data-from=bibtex]");
    button.click();
    const said = button.parentElement.querySelector(".said");
    while (!said.textContent) await painted();
    return said.textContent;
    """
    said, _, console = drive(tmp_path / "site", "page.html", script, tmp_path / "profile")
    assert said in ("copied", "selected: press Ctrl+C or ⌘C")
    assert console == []


@pytest.mark.skipif(CHROMIUM is None, reason="no Chromium on this machine")
@pytest.mark.parametrize(
    "program",
    [
        "new Image().src = 'https://example.org/a.png'",
        "fetch('https://example.org/').catch(() => 0)",
        "document.head.append(Object.assign(document.createElement('style'), {textContent: '@import url(https://example.org)'}))",
        "document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=alert(1)>')",
    ],
)
def test_a_browser_asks_nobody_else(program, made, tmp_path):
    (tmp_path / "page.html").write_text(with_program(made, program), encoding="utf-8")
    assert "Content Security Policy" in browse(tmp_path / "page.html", "--dump-dom").stderr
