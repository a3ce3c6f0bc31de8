"""Plug-ins: one installed for real, found and used; broken ones named, and harmless."""

import json
import os
import re
import shutil
import subprocess
import sys
import tomllib
from importlib.util import find_spec

import pytest

import gpicl_bench
from gpicl_bench import errors, plugins
from gpicl_bench.builtin import SUITES
from gpicl_bench.datasets import DATASETS
from gpicl_bench.doctor import plugged, probe
from tests.conftest import ROOT

TINY = "tinyplugin-proj-perm-v0"
BROKEN = """
import gpicl_bench

seven = 7


def taken():
    gpicl_bench.register("left-proj-perm-v0")
    gpicl_bench.register("digits-proj-perm-v0")


def raising():
    gpicl_bench.register_dataset("left", train=([[1], [2]], [0, 1]), test=([[3]], [0]))
    gpicl_bench.register("left-proj-perm-v0")
    print("this goes to standard error")
    raise RuntimeError("no luck")
"""
PROJECTS = {  # name: its modules, its entry points
    "twinplugin": (
        {"twinplugin": 'import tinyplugin\n\n\ndef register():\n    tinyplugin.register()\n'},
        {"twin": "twinplugin:register"},
    ),
    "brokenplugin": (
        {"brokenplugin": BROKEN, "brokenimport": "raise ImportError('needs a compiler')\n"},
        {"taken": "brokenplugin:taken", "raising": "brokenplugin:raising", "seven": "brokenplugin:seven",
         "importing": "brokenimport:register"},
    ),
}  # fmt: skip


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """A folder into which pip has installed the plug-in, one with its ids, and one with broken entry points."""
    if find_spec("pip") is None:
        pytest.skip("this environment has no pip")
    sources, target = tmp_path_factory.mktemp("sources"), tmp_path_factory.mktemp("installed")
    shutil.copytree(ROOT / "tests" / "plugin", sources / "tinyplugin")
    for name, (modules, points) in PROJECTS.items():
        (sources / name).mkdir()
        shutil.copy(ROOT / "tests" / "plugin" / "backend.py", sources / name)
        about, _, _ = (ROOT / "tests" / "plugin" / "pyproject.toml").read_text().partition("tiny = ")
        lines = "".join(f'{point} = "{value}"\n' for point, value in points.items())
        (sources / name / "pyproject.toml").write_text(about.replace("tinyplugin", name) + lines)
        for module, text in modules.items():
            (sources / name / f"{module}.py").write_text(text)
    options = ["--quiet", "--no-index", "--no-deps", "--no-compile", "--disable-pip-version-check", "--no-cache-dir"]
    places = [str(path) for path in sorted(sources.iterdir())]
    subprocess.run([sys.executable, "-m", "pip", "install", *options, "--target", str(target), *places], check=True)
    return target


def run(folder, *arguments):
    path = os.pathsep.join([str(ROOT), str(folder)])
    return subprocess.run(
        [sys.executable, "-W", "error", *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": path},
        check=False,
    )


def test_an_installed_plug_in_is_found_and_used(installed):
    program = f"""
import sys, gpicl_bench
assert gpicl_bench.make("digits-proj-perm-v0").info.D == 64 and "digits-proj-perm-v0" in gpicl_bench.registry
assert "tinyplugin" not in sys.modules, "a built-in suite needs no plug-in"
suite = gpicl_bench.make("{TINY}")
assert (suite.info.D, suite.info.C, suite.info.T) == (16, 3, 20) and not suite.of_record
gpicl_bench.check_suite(suite)
learner = gpicl_bench.load_learner(r"{ROOT / "baselines" / "nearest_neighbour.py"}", suite.info)
gpicl_bench.check_learner(learner, suite)
one, two = (gpicl_bench.evaluate(learner, suite, num_tasks=40, workers=n) for n in (1, 2))
assert (one.prediction == two.prediction).all()
print(one.score)
assert {{id for id in gpicl_bench.registry}} - {set(SUITES)!r} == {{"{TINY}"}}
assert "left" not in gpicl_bench.datasets.DATASETS
"""
    done = run(installed, "-c", program)
    assert done.returncode == 0, done.stderr
    assert 0.5 < float(done.stdout) < 1  # 1-NN, three shapes in noise
    assert "this goes to standard error" in done.stderr


def test_an_installed_plug_in_is_listed_and_evaluated(installed):
    listed = run(installed, "-m", "gpicl_bench", "list")
    assert f"{TINY}  " in listed.stdout
    assert "T=20 D=16 C=3  provisional" in listed.stdout
    learner = ROOT / "baselines" / "nearest_neighbour.py"
    done = run(installed, "-m", "gpicl_bench", "evaluate", learner, "--suite", TINY, "--num-tasks", 5, "--json")
    assert done.returncode == 0, done.stderr
    (result,) = json.loads(done.stdout)["results"]
    assert result["setting"]["suite"] == TINY


def test_the_doctor_names_every_broken_plug_in(installed):
    done = run(installed, "-m", "gpicl_bench", "doctor", "--json")
    assert done.returncode == 1, done.stderr
    found = [row for row in json.loads(done.stdout)["findings"] if row["section"] == "plug-ins"]
    names = [f"{name} of brokenplugin 0.1" for name in sorted(PROJECTS["brokenplugin"][1])]
    assert [row["name"] for row in found] == [*names, "tiny of tinyplugin 0.1", "twin of twinplugin 0.1"]
    assert {row["name"].split()[0] for row in found if row["state"] == "ok"} == {"tiny"}
    told = {row["name"].split()[0]: f"{row['detail']} {row['hint']}" for row in found}
    for name, says in {
        "importing": "cannot be imported; got: ImportError: needs a compiler",
        "raising": "raised an error; got: RuntimeError: no luck",
        "seven": "brokenplugin:seven: int",
        "taken": "digits-proj-perm-v0, which belongs to gpicl_bench itself",
        "tiny": TINY,
        "twin": f"{TINY}, which belongs to plug-in tiny of tinyplugin 0.1",
    }.items():
        assert says in told[name]


def test_the_page_shows_what_the_doctor_says(installed, monkeypatch):
    monkeypatch.setattr(sys, "path", [*sys.path, str(installed)])
    text = (ROOT / "docs" / "plugins.md").read_text()
    (shown,) = re.findall(r"^```text\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    rows = [(row.state.lower(), row.name, row.detail) for row in plugged.look()]
    lines = [re.split(" {2,}", line.strip()) for line in shown.splitlines()]
    assert {(state.lower(), name, detail) for state, name, detail in lines} <= set(rows)


def test_the_page_has_the_entry_point_that_is_looked_for():
    text = (ROOT / "docs" / "plugins.md").read_text()
    (about,) = (tomllib.loads(block) for block in re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL))
    (value,) = about["project"]["entry-points"][plugins.GROUP].values()
    module, function = value.split(":")
    assert re.search(rf"^# {module}\.py\n.*^def {function}\(\):", text, re.MULTILINE | re.DOTALL)


def test_who_asks_for_an_unknown_id_hears_of_broken_plug_ins(installed):
    done = run(installed, "-m", "gpicl_bench", "show", "left-proj-perm-v0")
    assert done.returncode == 2
    (line,) = (line for line in done.stderr.splitlines() if "broken plug-in" in line)
    assert "raising of brokenplugin 0.1" in line
    assert "python -m gpicl_bench doctor" in line
    assert "tiny of" not in line


def test_nothing_is_scanned_until_it_is_needed():
    program = """
import importlib.metadata, sys
def refuse(*args, **kwargs):
    raise AssertionError("scanned")
importlib.metadata.distributions = importlib.metadata.entry_points = refuse
import gpicl_bench
gpicl_bench.make("digits-proj-perm-v0"); gpicl_bench.register("digits-proj-none-v0"); gpicl_bench.spec("digits-proj-none-v0")
try:
    len(gpicl_bench.registry)
except AssertionError as error:
    print(error)
"""
    assert run(ROOT, "-c", program).stdout == "scanned\n"


@pytest.fixture
def plug(tmp_path, monkeypatch, forget):
    """Plug-ins of this test alone: from a module's text, as if its distribution were installed."""
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setattr(plugins, "_known", [])
    monkeypatch.setattr(plugins, "_done", False)

    def write(name, text, points):
        (tmp_path / f"{name}.py").write_text(
            "import gpicl_bench\nfrom gpicl_bench import SuiteSpec, register, spec\n" + text
        )
        about = tmp_path / f"{name}-1.dist-info"
        about.mkdir()
        (about / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1\n")
        (about / "entry_points.txt").write_text(f"[{plugins.GROUP}]\n{points}\n")

    yield write
    for path in tmp_path.glob("*.py"):
        sys.modules.pop(path.stem, None)


def function(text):
    return f"def plug():\n    {text}\n"


SAME = 'register(SuiteSpec("digits-proj-perm-v0", fingerprints=dict(spec("digits-proj-perm-v0").fingerprints)))'


@pytest.mark.parametrize(
    ("text", "value", "says"),
    [
        (function('register("digits-proj-perm-v0")'), "plug", "which belongs to gpicl_bench itself"),
        (function(SAME), "plug", "which belongs to gpicl_bench itself"),
        (function('register("digits-project-perm-v0")'), "plug", "(?s)this is no suite id.*digits-project-perm-v0"),
        (function('gpicl_bench.register_dataset("Tiny", ([[1], [2]], [0, 1]), ([[3]], [0]))'), "plug", "(?s)no dataset's name.*'Tiny'"),
        (function('gpicl_bench.register_dataset("emnist", ([[1], [2]], [0, 1]), ([[3]], [0]))'), "plug", "emnist, which"),
        (function('gpicl_bench.make("none_of_these-proj-perm-v0")'), "plug", "no suite has this id"),
        (function("raise SystemExit(0)"), "plug", "SystemExit"),
        ("raise SystemExit(0)\n", "plug", "(?s)cannot be imported.*SystemExit"),
        ("def plug(:\n", "plug", "SyntaxError"),
        ("def plug(argument):\n    pass\n", "plug", "missing 1 required positional argument"),
        ("plug = 'text'\n", "plug", "(?s)names no function.*str"),
        ("\n", "plug", "(?s)cannot be imported.*has no attribute 'plug'"),
        ("\n", "plug.", "cannot be"),
        ("\n", "a b", "cannot be"),
    ],
)  # fmt: skip
def test_a_broken_plug_in_leaves_nothing_behind(plug, text, value, says):
    before = dict(gpicl_bench.registration._suites), dict(DATASETS)
    plug("bad", text.replace("def plug():\n", "def plug():\n    register('left-proj-perm-v0')\n"), f"one = bad:{value}")
    (found,) = plugins.load()
    with pytest.raises(errors.PluginError, match=says):
        raise found.error
    assert found.suites == found.datasets == ()
    assert (dict(gpicl_bench.registry), dict(DATASETS)) == before
    assert all(gpicl_bench.registration._suites[id] is spec for id, spec in before[0].items())
    with pytest.raises(errors.SuiteNotFound, match="one of bad 1"):
        gpicl_bench.make("left-proj-perm-v0")
    with pytest.raises(errors.SuiteNotFound, match="one of bad 1"):
        gpicl_bench.datasets.dataset("left")


def test_entry_points_that_cannot_be_read_are_of_a_broken_plug_in(plug):
    plug("bad", "\n", "no equals sign")
    plug("good", function('register("digits-proj-none-v3")'), "g = good:plug")
    bad, good = plugins.load()
    assert "entry points of a distribution cannot be read" in str(bad.error)
    assert good.suites == ("digits-proj-none-v3",)


@pytest.mark.parametrize(
    ("file", "content", "says"),
    [
        ("METADATA", None, "tell its name|metadata"),
        ("METADATA", b"Metadata-Version: 2.1\nVersion: 1\n", "tell its name|metadata"),
        ("METADATA", b"Name: b\xffd\nVersion: 1\n", "UnicodeDecodeError"),
        ("entry_points.txt", b"[gpicl_bench.suites]\na = bad:\xff\n", "UnicodeDecodeError"),
    ],
)
def test_a_distribution_that_cannot_be_read_is_a_broken_plug_in_and_stops_nobody(
    plug, tmp_path, file, content, says, recwarn
):
    plug("bad", function('register("left-proj-perm-v0")'), "a = bad:plug")
    plug("good", function('register("digits-proj-none-v3")'), "g = good:plug")
    broken = tmp_path / "bad-1.dist-info" / file
    broken.unlink() if content is None else broken.write_bytes(content)
    bad, good = sorted(plugins.load(), key=lambda plugin: plugin.error is None)
    assert re.search(says, str(bad.error))
    assert "bad-1.dist-info" in bad.distribution
    assert good.suites == ("digits-proj-none-v3",)
    assert {row.state for row in plugged.look()} == {"ok", "broken"}


def test_an_id_that_a_plug_in_registers_twice_is_told_as_such(plug):
    plug("own", function('[register(SuiteSpec("digits-proj-none-v3", n)) for n in (20, 30)]'), "a = own:plug")
    (own,) = plugins.load()
    assert "digits-proj-none-v3, which belongs to what this program has registered, or the plug-in itself" in str(
        own.error
    )


def test_of_two_plug_ins_the_first_by_name_has_the_id(plug):
    for name in ("zeta", "alpha", "mid"):
        plug(name, function('register("digits-proj-none-v3")'), f"b = {name}:plug\na = {name}:plug")
    first, *others = plugins.load()
    assert (first.name, first.distribution, first.error) == ("a", "alpha 1", None)
    assert all("belongs to plug-in a of alpha 1" in str(other.error) for other in others)
    assert [str(p) for p in plugins.load()][1:3] == ["plug-in b of alpha 1", "plug-in a of mid 1"]


def test_what_the_program_has_registered_comes_first(plug):
    gpicl_bench.register("digits-proj-none-v3")
    plug("late", function('register(SuiteSpec("digits-proj-none-v3", num_examples=9))'), "a = late:plug")
    (late,) = plugins.load()
    assert "belongs to what this program has registered" in str(late.error)
    assert gpicl_bench.spec("digits-proj-none-v3").num_examples == 100


def test_a_plug_in_may_look_at_the_registry(plug):
    """It sees what was there before it; nothing is called twice."""
    plug("first", function('register("digits-proj-none-v3")'), "a = first:plug")
    second = 'assert "digits-proj-none-v3" in gpicl_bench.registry\n    register("digits-none-none-v3")'
    plug("second", function(second), "a = second:plug")
    assert [plugin.error for plugin in plugins.load()] == [None, None]
    assert gpicl_bench.make("digits-none-none-v3").info.D == 64


def test_an_interrupt_leaves_the_rest_for_later(plug):
    plug("first", function('register("digits-proj-none-v3")'), "a = first:plug")
    text = "import os\n" + function(
        "register('digits-proj-none-v4')\n    if not os.environ.get('AGAIN'): raise KeyboardInterrupt"
    )
    plug("second", text, "a = second:plug")
    with pytest.raises(KeyboardInterrupt):
        plugins.load()
    assert "digits-proj-none-v4" not in gpicl_bench.registration._suites
    os.environ["AGAIN"] = "1"
    try:
        assert [plugin.suites for plugin in plugins.load()] == [("digits-proj-none-v3",), ("digits-proj-none-v4",)]
    finally:
        del os.environ["AGAIN"]


def test_the_doctor_survives_a_plug_in_that_ends_its_process(plug):
    plug("a", function('register("digits-proj-none-v3")'), "a = a:plug")
    plug("b", "import os\n" + function("os._exit(3)"), "b = b:plug")
    plug("c", function("pass"), "c = c:plug")
    found = list(plugged.look())
    assert [row.state for row in found] == ["ok", "broken", "broken"]
    assert "ended with status 3" in found[1].detail
    assert "not tried" in found[2].detail


def test_the_doctor_does_not_wait_for_ever(monkeypatch):
    monkeypatch.setattr(probe, "SECONDS", 1.0)
    assert probe.probe("import time; time.sleep(60)") == ([], "no answer within 1 s")
