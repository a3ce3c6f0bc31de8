"""What `.ci/release` relies on: bounds, contents, versions; and that what GitHub is given is what it takes."""

import re
import shutil
import subprocess
import sys
import tarfile
import zipfile
from importlib.metadata import distribution
from importlib.util import find_spec

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.specifiers import SpecifierSet
from packaging.version import Version

import gpicl_bench
from gpicl_bench.commands import main
from tests import release
from tests.conftest import ROOT

PROJECT = release.project(ROOT)
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))
FORMS = sorted(path for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml") if path.stem != "config")
TEXTS = [*FORMS, ROOT / ".github" / "pull_request_template.md", ROOT / "docs" / "releasing.md"]
needs_source = pytest.mark.skipif(
    not (ROOT / "gpicl_bench").is_dir(), reason="no source of the package here: what is installed is tested"
)
needs_hatchling = pytest.mark.skipif(find_spec("hatchling") is None, reason="hatchling is not installed")


# Bounds


def test_lower_bounds_are_those_of_every_requirement():
    """Beside a parser of requirements that is not ours."""
    every = [*PROJECT["dependencies"], *(r for rs in PROJECT["optional-dependencies"].values() for r in rs)]
    parsed = [r for r in map(Requirement, every) if r.name != release.NAME]
    lowest = {r.name: [s.version for s in r.specifier if s.operator == ">="] for r in parsed}
    assert {name: [bound] for name, bound in release.lower_bounds(PROJECT).items()} == lowest
    assert {"numpy", "jax", "torch", "pytest"} <= release.lower_bounds(PROJECT).keys()


@pytest.mark.parametrize(
    "text", ["numpy", "numpy>=2,!=3", "numpy<3", "numpy==2.0", "numpy>=2; python_version<'3.12'", "gpicl-bench", ""]
)
def test_a_requirement_without_a_plain_bound_is_refused(text):
    with pytest.raises(ValueError, match=re.escape(repr(text))):
        release.lower_bounds({"dependencies": [text], "optional-dependencies": {}})


def test_extras_and_an_upper_bound_may_be_named():
    project = {"dependencies": ["a[b,c]>=1.0"], "optional-dependencies": {"docs": ["d>=1.6,<2", "gpicl-bench[docs]"]}}
    assert release.lower_bounds(project) == {"a": "1.0", "d": "1.6"}


def test_two_bounds_of_a_package_are_refused():
    with pytest.raises(ValueError, match="two lower bounds: 3.1 and 3.0"):
        release.lower_bounds({"dependencies": ["jinja2>=3.1"], "optional-dependencies": {"docs": ["jinja2>=3.0"]}})


def test_what_is_installed_satisfies_the_bounds():
    installed = {r.name: r for r in map(Requirement, PROJECT["dependencies"])}
    assert all(r.specifier.contains(distribution(name).version) for name, r in installed.items())


def test_every_supported_python_is_meant():
    """The classifiers are the list; the oldest is `requires-python`, and the workflows run all of them."""
    pythons = release.pythons(PROJECT)
    assert SpecifierSet(PROJECT["requires-python"]) == SpecifierSet(f">={pythons[0]}")
    assert pythons == [f"3.{minor}" for minor in range(11, 11 + len(pythons))]
    test, build = (yaml.safe_load((ROOT / ".github" / "workflows" / f"{n}.yml").read_text()) for n in ("ci", "release"))
    assert test["jobs"]["run"]["strategy"]["matrix"]["python"] == pythons
    (setup,) = [s for s in build["jobs"]["build"]["steps"] if "setup-python" in s.get("uses", "")]
    assert setup["with"]["python-version"].split() == pythons


def test_a_python_is_one_that_runs_and_is_of_that_version(tmp_path):
    shim = tmp_path / "python3.99"
    shim.write_text("#!/bin/sh\nexit 127\n")
    shim.chmod(0o755)
    this = f"{sys.version_info.major}.{sys.version_info.minor}"
    assert release.is_python(sys.executable, this)
    assert not release.is_python(sys.executable, "3.99")
    assert not release.is_python(str(shim), "3.99")
    assert not release.is_python(str(tmp_path / "none"), this)


# Contents


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("dist")
    command = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (built,) = folder.iterdir()
    return built


@needs_source
@needs_hatchling
def test_the_wheel_is_the_package_and_nothing_else(wheel):
    assert release.wheel_problems(wheel, ROOT) == []
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
    assert {name.split("/")[0] for name in names} == {"gpicl_bench", f"gpicl_bench-{gpicl_bench.__version__}.dist-info"}
    assert {
        "gpicl_bench/py.typed",
        *(f"gpicl_bench/reporting/{name}" for name in ("page.html", "page.css", "page.js", "references.json")),
        *(f"gpicl_bench/leaderboard/site/{name}" for name in ("base.html", "board.css", "table.js")),
    } <= set(names)


def altered(wheel, folder, change):
    """A copy of a wheel whose files, by name, were changed."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist()}
    change(held)
    copy = folder / wheel.name
    with zipfile.ZipFile(copy, "w") as archive:
        for name, content in held.items():
            archive.writestr(name, content)
    return copy


def metadata_without(text):
    def change(held):
        (name,) = [name for name in held if name.endswith("/METADATA")]
        assert text in held[name]
        held[name] = held[name].replace(text, b"X-Nothing: here")

    return change


@needs_source
@needs_hatchling
@pytest.mark.parametrize(
    ("change", "problem"),
    [
        (lambda held: held.pop("gpicl_bench/py.typed"), "gpicl_bench/py.typed is missing"),
        (lambda held: held.update({"tests/conftest.py": b""}), "tests/conftest.py does not belong there"),
        (lambda held: held.update({"gpicl_bench/reporting/page.css": b" "}), "gpicl_bench/reporting/page.css differs"),
        (lambda held: [held.pop(name) for name in [*held] if name.endswith("LICENSE")], "licence"),
        (metadata_without(b"Requires-Python: >=3.11"), "Requires-Python is None, not >=3.11"),
        (metadata_without(f"Version: {gpicl_bench.__version__}".encode()), "Version is None"),
        (metadata_without(b"Requires-Dist: pydantic"), "metadata: pydantic"),
        (lambda held: held.update({"gpicl_bench/big": bytes(2_000_000)}), "gpicl_bench/big does not belong there"),
    ],
)
def test_a_wheel_that_is_wrong_is_told_apart(wheel, tmp_path, change, problem):
    assert problem in "\n".join(release.wheel_problems(altered(wheel, tmp_path, change), ROOT))


@pytest.fixture
def checkout(tmp_path):
    """A checkout in small: what names the version, and one file."""
    folder = tmp_path / "checkout"
    (folder / "gpicl_bench").mkdir(parents=True)
    (folder / "docs").mkdir()
    (folder / "gpicl_bench" / "__init__.py").write_text('"""One."""\n\n__version__ = "1.2.3"\n')
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def pack(folder, archive, **more):
    (folder / "PKG-INFO").write_text(
        f"Name: gpicl-bench\nVersion: 1.2.3\nRequires-Python: {PROJECT['requires-python']}\nLicense-Expression: MIT\n"
        + "".join(f"Requires-Dist: {r}\n" for r in PROJECT["dependencies"])
    )
    for name, text in more.items():
        (folder / name).write_text(text)
    with tarfile.open(archive, "w:gz") as packed:
        packed.add(folder, "gpicl_bench-1.2.3")
    for name in ("PKG-INFO", *more):
        (folder / name).unlink()
    return archive


def test_a_source_distribution_is_the_checkout(checkout, tmp_path):
    archive = tmp_path / "gpicl_bench-1.2.3.tar.gz"
    assert release.sdist_problems(pack(checkout, archive), checkout) == []
    assert release.sdist_problems(pack(checkout, archive, notes="?"), checkout) == ["notes does not belong there"]
    (checkout / "README.md").write_text("later")
    assert release.sdist_problems(archive, checkout)[0] == "README.md is missing"


def test_what_is_not_committed_is_left_out(checkout, tmp_path):
    committed = {*release.files(checkout)}
    for command in ("init", "add .", "-c user.name=a -c user.email=a@b commit -m one"):
        subprocess.run(["git", *command.split()], cwd=checkout, check=True, capture_output=True)
    (checkout / "pyproject.toml").write_text("later")
    (checkout / "notes").write_text("later")
    assert release.export(checkout, tmp_path / "out").split() == ["M", "pyproject.toml", "??", "notes"]
    assert {*release.files(tmp_path / "out")} == committed
    assert release.project(tmp_path / "out") == PROJECT


# Versions


@needs_source
def test_version_and_changelog_agree():
    """`__version__` is that of the newest release, or of the one that the section Unreleased is about."""
    sections = release.changelog_sections(ROOT)
    versions = [Version(section[0]) for section in sections if section != "Unreleased"]
    assert release.version(ROOT) == gpicl_bench.__version__
    assert "Unreleased" not in sections[1:]
    assert versions == sorted(set(versions), reverse=True)
    assert sections[0] == "Unreleased" or sections[0][0] == gpicl_bench.__version__
    assert all(released <= Version(gpicl_bench.__version__) for released in versions)


def test_the_citation_names_this_version():
    assert yaml.safe_load((ROOT / "CITATION.cff").read_text())["version"] == gpicl_bench.__version__


@pytest.mark.parametrize(
    ("tag", "changelog", "problems"),
    [
        ("v1.2.3", "## 1.2.3 - 2030-01-31\n\n## 1.2.2 - 2029-01-31\n", 0),
        ("1.2.3", "## 1.2.3 - 2030-01-31\n", 1),
        ("v1.2.4", "## 1.2.3 - 2030-01-31\n", 1),
        ("v1.2.3", "## Unreleased\n\n## 1.2.3 - 2030-01-31\n", 1),
        ("v1.2.4", "## 1.2.4 - 2030-01-31\n", 2),
        ("v1.2.3", "", 1),
    ],
)
def test_tag_version_and_changelog_must_agree(checkout, tag, changelog, problems):
    (checkout / "docs" / "changelog.md").write_text(changelog)
    assert len(release.tag_problems(tag, checkout)) == problems


@pytest.mark.parametrize("heading", ["## 1.2.3", "## 1.2.3, unreleased", "## unreleased", "## [1.2.3] - 2030-01-31"])
def test_other_headings_are_refused(checkout, heading):
    (checkout / "docs" / "changelog.md").write_text(f"# Changelog\n\n{heading}\n")
    with pytest.raises(ValueError, match="heading"):
        release.changelog_sections(checkout)


# What GitHub is given. Its parser takes no key that it does not know.


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.stem)
def test_workflows_run_what_is_there(path):
    loaded = yaml.safe_load(path.read_text())
    assert {"name", True, "permissions", "jobs"} <= loaded.keys()  # `on` is true in YAML 1.1
    assert loaded["permissions"] == {"contents": "read"}
    for job in loaded["jobs"].values():
        assert {"runs-on", "steps"} <= job.keys()
        assert all(("uses" in step) != ("run" in step) for step in job["steps"])
        assert all(re.fullmatch(r"actions/[\w-]+@v\d+", step["uses"]) for step in job["steps"] if "uses" in step)
        ours = [re.search(r"\.ci/\w+", step.get("run", "")) for step in job["steps"]]
        assert all((ROOT / command[0]).is_file() for command in ours if command)
    assert re.search(r"run: (bash )?\.ci/", path.read_text())


ATTRIBUTES = {
    "markdown": ({"value"}, set()),
    "input": ({"label"}, {"description", "placeholder"}),
    "textarea": ({"label"}, {"description", "placeholder", "render"}),
    "dropdown": ({"label", "options"}, {"description"}),
    "checkboxes": ({"label", "options"}, {"description"}),
}


@pytest.mark.parametrize("path", FORMS, ids=lambda path: path.stem)
def test_issue_forms_are_forms(path):
    form = yaml.safe_load(path.read_text())
    assert form.keys() == {"name", "description", "labels", "body"}
    asked = [part for part in form["body"] if part["type"] != "markdown"]
    for part in form["body"]:
        needed, allowed = ATTRIBUTES[part["type"]]
        assert needed <= part["attributes"].keys() <= needed | allowed
        assert part.keys() <= {"type", "id", "attributes", "validations"}
    for key in ("id", "label"):
        named = [part["id"] if key == "id" else part["attributes"]["label"] for part in asked]
        assert len(named) == len(set(named)) > 0
    for part in asked:
        assert re.fullmatch(r"[\w-]+", part["id"])
        options = part["attributes"].get("options", [])
        assert all(
            isinstance(o, str) if part["type"] == "dropdown" else o.keys() <= {"label", "required"} for o in options
        )
    assert any(part.get("validations", {}).get("required") for part in asked)


def test_every_kind_of_issue_has_a_form():
    assert {path.stem for path in FORMS} == {"bug", "new-suite", "submission", "challenge"}
    config = yaml.safe_load((ROOT / ".github" / "ISSUE_TEMPLATE" / "config.yml").read_text())
    assert config == {"blank_issues_enabled": True}


def named_commands():
    found = [
        m for path in TEXTS for m in re.finditer(r"python -m gpicl_bench(\.evaluate)?((?: [^\n`]+)?)", path.read_text())
    ]
    return sorted({f"{'evaluate' if m[1] else ''}{m[2]}".strip() for m in found})


@pytest.mark.parametrize("command", named_commands())
def test_commands_that_are_named_exist(command, capsys):
    name, *rest = command.split()
    with pytest.raises(SystemExit) as end:
        main([name, "--help"])
    assert end.value.code == 0
    words = capsys.readouterr().out.split()
    assert {word for word in rest if word.startswith("--")} <= {word.strip("[],") for word in words}


def test_paths_that_are_named_exist():
    text = "\n".join(path.read_text() for path in TEXTS)
    named = re.findall(r"`((?:docs|leaderboards|\.ci|tests|baselines)/[\w./-]+)`", text)
    assert len(named) > 4
    assert [name for name in named if not (ROOT / name).exists()] == []
