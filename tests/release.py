"""What a release must hold: bounds of dependencies, contents of the distributions, Pythons. Standard library only.

`.ci/release` uses it before anything is installed.
"""

import email
import os
import re
import subprocess
import tarfile
import tomllib
import zipfile
from pathlib import PurePosixPath

NAME = "gpicl-bench"
PACKAGE = "gpicl_bench"
LARGEST = {".whl": 1_000_000, ".gz": 64_000_000}  # bytes; a source distribution has the weights and the entries
_REQUIREMENT = re.compile(r"(?P<name>[\w.-]+)(\[(?P<extras>[\w,-]+)\])?(>=(?P<bound>[\d.]+)(,<[\d.]+)?)?")
_HEADING = re.compile(
    r"^## (?:(?P<unreleased>Unreleased)|(?P<version>\d+\.\d+\.\d+) - (?P<date>\d{4}-\d\d-\d\d))$", re.M
)


def export(root, folder):
    """HEAD of a checkout, without git and without what is not committed; that is returned, as git lists it."""
    folder.mkdir()
    archive = subprocess.check_output(["git", "archive", "HEAD"], cwd=root)
    subprocess.run(["tar", "-x", "-C", folder], input=archive, check=True)
    return subprocess.check_output(["git", "status", "--short"], cwd=root, text=True)


def project(source):
    """The table `project` of a checkout's pyproject.toml."""
    return tomllib.loads((source / "pyproject.toml").read_text())["project"]


def version(source):
    """`__version__`, read and not imported."""
    (found,) = re.findall(r'^__version__ = "(.*)"$', (source / PACKAGE / "__init__.py").read_text(), re.MULTILINE)
    return found


def pythons(project):
    """The versions that are supported, oldest first: ["3.11", …], by the classifiers."""
    found = re.findall(r"^Programming Language :: Python :: (3\.\d+)$", "\n".join(project["classifiers"]), re.MULTILINE)
    return sorted(found, key=lambda text: int(text.split(".")[1]))


def is_python(command, wanted):
    """Whether a command runs, and runs that version: a shim on the path may lead nowhere."""
    program = "import sys; print('%d.%d' % sys.version_info[:2])"
    try:
        done = subprocess.run([command, "-c", program], capture_output=True, text=True, check=False)
    except FileNotFoundError:
        return False
    return done.returncode == 0 and done.stdout.strip() == wanted


def lower_bounds(project):
    """The lowest supported version of each dependency, of every extra too, by name.

    Raises:
        ValueError: a requirement is not of the form NAME>=VERSION or NAME>=VERSION,<VERSION, or a package has two bounds.
    """
    bounds = {}
    for text in [*project["dependencies"], *(r for extra in project["optional-dependencies"].values() for r in extra)]:
        found = _REQUIREMENT.fullmatch(text)
        if found and found["name"] == NAME and found["extras"]:
            continue
        if not found or not found["bound"]:
            raise ValueError(f"{text!r} has no lower bound of the form NAME>=VERSION")
        if bounds.setdefault(found["name"], found["bound"]) != found["bound"]:
            raise ValueError(f"{found['name']} has two lower bounds: {bounds[found['name']]} and {found['bound']}")
    return bounds


def files(folder, but=()):
    """The files of a folder by their path in it, without what Python and editors leave there."""
    paths = (path for path in folder.rglob("*") if path.is_file() and "__pycache__" not in path.parts)
    found = {path.relative_to(folder).as_posix(): path for path in paths}
    return {name: path for name, path in found.items() if PurePosixPath(name).parts[0] not in but}


def wheel_problems(wheel, source):
    """What is wrong with a wheel of a checkout, in words: it must hold the package, byte for byte, and no more."""
    with zipfile.ZipFile(wheel) as archive:
        held = {name: archive.read(name) for name in archive.namelist() if not name.endswith("/")}
    information = {name: content for name, content in held.items() if ".dist-info/" in name}
    expected = {f"{PACKAGE}/{name}": path.read_bytes() for name, path in files(source / PACKAGE).items()}
    problems = _differences({name: held[name] for name in held.keys() - information.keys()}, expected)
    named = {name.split("/", 1)[1]: content for name, content in information.items()}
    if named.get("licenses/LICENSE") != (source / "LICENSE").read_bytes():
        problems.append("it has another licence text, or none")
    problems += _metadata_problems(named.get("METADATA", b"").decode(), source)
    return problems + _size_problem(wheel)


def sdist_problems(sdist, source):
    """What is wrong with a source distribution: it must hold every file of the checkout, and its metadata."""
    with tarfile.open(sdist) as archive:
        members = [member for member in archive.getmembers() if member.isfile()]
        held = {m.name.split("/", 1)[1]: archive.extractfile(m).read() for m in members}
    problems = _metadata_problems(held.pop("PKG-INFO", b"").decode(), source)
    problems += _differences(held, {name: path.read_bytes() for name, path in files(source).items()})
    return problems + _size_problem(sdist)


def _differences(held, expected):
    problems = [f"{name} is missing" for name in sorted(expected.keys() - held.keys())]
    problems += [f"{name} does not belong there" for name in sorted(held.keys() - expected.keys())]
    return problems + [
        f"{name} differs" for name in sorted(held.keys() & expected.keys()) if held[name] != expected[name]
    ]


def _metadata_problems(text, source):
    known, found = project(source), email.message_from_string(text)
    expected = {
        "Name": NAME,
        "Version": version(source),
        "Requires-Python": known["requires-python"],
        "License-Expression": known["license"],
    }
    problems = [
        f"metadata: {field} is {found[field]}, not {value}"
        for field, value in expected.items()
        if found[field] != value
    ]
    required = found.get_all("Requires-Dist", [])
    return problems + [f"metadata: {r} is missing" for r in known["dependencies"] if r not in required]


def _size_problem(path):
    size, largest = os.path.getsize(path), LARGEST[path.suffix]
    return [f"it is too large: {size:,} bytes, over {largest:,}"] if size > largest else []


def changelog_sections(source):
    """The sections of docs/changelog.md, newest first: "Unreleased", or (version, date).

    Raises:
        ValueError: a heading of the second level is of another form.
    """
    text = (source / "docs" / "changelog.md").read_text()
    found = [m["unreleased"] or (m["version"], m["date"]) for m in _HEADING.finditer(text)]
    if len(found) != len(re.findall(r"^## ", text, re.MULTILINE)):
        raise ValueError("docs/changelog.md: a heading is neither '## Unreleased' nor '## X.Y.Z - YYYY-MM-DD'")
    return found


def tag_problems(tag, source):
    """What keeps a checkout from being released under a tag: vX.Y.Z, `__version__` and the changelog must agree."""
    sections, expected = changelog_sections(source), version(source)
    problems = [] if tag == f"v{expected}" else [f"the tag is {tag}, and __version__ is {expected}"]
    if not sections or sections[0] == "Unreleased" or sections[0][0] != expected:
        problems.append(f"the newest section of docs/changelog.md is not '## {expected} - YYYY-MM-DD'")
    return problems
