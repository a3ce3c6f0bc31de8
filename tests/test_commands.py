"""What all commands share: examples, exit statuses, one JSON document, colours, and the console script."""

import json
import os
import pty
import re
import shlex
import subprocess
import sys

import pytest

from gpicl_bench import __version__, evaluate
from gpicl_bench.builtin import BENCHMARKS, SUITES
from gpicl_bench.commands import COMMANDS, listing, main
from gpicl_bench.commands.parser import exit_status, parser
from tests.command_page import PAGE, page, subparsers
from tests.conftest import ROOT
from tests.learners import constant, nearest

WHOLE = parser("gpicl-bench", COMMANDS, __version__)
EXAMPLES = [(name, example) for name, module in COMMANDS.items() for example in module.EXAMPLES]
LOUD = """
import os
import numpy as np
print("loaded")
def learner(context_x, context_y, query_x):
    if len(context_y) == 3:
        print("asked")
        os.write(1, b"from below\\n")
        os.system("echo from a child")
    return np.array([0])
"""


def run(*arguments, program=("-m", "gpicl_bench"), folder=ROOT, **variables):
    return subprocess.run(
        [sys.executable, *program, *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=folder,
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        check=False,
    )


def document(capsys, *arguments, status=0):
    """The one JSON document that a command prints, in this process."""
    assert main([*map(str, arguments), "--json"]) == status
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(("name", "example"), EXAMPLES)
def test_examples_parse_and_are_shown(name, example, capsys):
    words = shlex.split(example)
    assert words[0] == name
    assert WHOLE.parse_args(words).run is COMMANDS[name].run
    with pytest.raises(SystemExit):
        WHOLE.parse_args([name, "--help"])
    shown = capsys.readouterr().out
    assert f"  gpicl-bench {example}\n" in shown
    assert all(f"  {status:<3}  {meaning}\n" in shown for status, meaning in exit_status(COMMANDS[name]).items())


@pytest.mark.parametrize("name", COMMANDS)
def test_every_action_has_an_example_of_its_own(name, capsys):
    for action in subparsers(subparsers(WHOLE)[name]):
        with pytest.raises(SystemExit):
            WHOLE.parse_args([name, action, "--help"])
        assert f"  gpicl-bench {name} {action}" in capsys.readouterr().out


def test_an_example_that_does_not_parse_would_be_found():
    with pytest.raises(SystemExit):
        WHOLE.parse_args(["evaluate", "my_model.py", "--tasks", "3"])


def test_the_page_is_that_of_the_parser():
    assert PAGE.read_text() == page(), "python -m tests.command_page"


@pytest.mark.parametrize(
    ("arguments", "near"),
    [
        (["evalute"], "evaluate"),
        (["docter"], "doctor"),
        (["data", "lst"], "list"),
        (["leaderboard", "bild"], "build"),
        (["audit", "x.py", "--level", "ful"], "full"),
        (["zzzz"], None),
    ],
)
def test_a_slip_is_answered_by_the_nearest(arguments, near, capsys):
    with pytest.raises(SystemExit) as caught:
        main(arguments)
    said = capsys.readouterr().err
    assert caught.value.code == 2
    assert (f"did you mean {near}?" in said) if near else ("did you mean" not in said)


def test_the_version(capsys):
    with pytest.raises(SystemExit) as caught:
        main(["--version"])
    assert (caught.value.code, capsys.readouterr().out) == (0, f"gpicl-bench {__version__}\n")


def test_standard_output_is_one_document_whatever_a_learner_prints(tmp_path):
    (tmp_path / "loud.py").write_text(LOUD)
    for workers in (1, 2):
        done = run(
            "evaluate", tmp_path / "loud.py", "--num-tasks", 2, "--positions", "0,3", "--json", "--workers", workers
        )
        assert done.returncode == 0, done.stderr
        (result,) = json.loads(done.stdout)["results"]
        assert (result["learner"], result["setting"]["num_tasks"], result["score"]) == ("loud", 2, None)
        assert len(result["accuracy"]) == len(result["accuracy_interval"]) == 2
        for text in ("loaded", "asked", "from below", "from a child"):
            assert text in done.stderr


def test_an_error_leaves_no_document():
    for arguments in (["show", "mnist-proj-perm-v9"], ["evaluate", "missing.py"], ["verify", "missing.yaml"]):
        done = run(*arguments, "--json")
        assert (done.returncode, done.stdout) == (2, "")
        assert done.stderr.startswith("error: ")


def test_what_has_no_json_leaves_no_half_document(capsys, monkeypatch):
    monkeypatch.setattr(listing, "BENCHMARKS", {"strange-v0": {object()}})
    assert main(["list", "--json"]) == 2
    assert capsys.readouterr().out == ""


def test_a_full_disk_is_one_message():
    with open("/dev/full", "w") as full:
        command = [sys.executable, "-m", "gpicl_bench", "list", "--json"]
        done = subprocess.run(command, stdout=full, stderr=subprocess.PIPE, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stderr) == (2, "error: No space left on device\n")


def test_a_reader_that_leaves_is_no_error():
    command = f"{shlex.quote(sys.executable)} -m gpicl_bench list --json | head -n 1; exit ${{PIPESTATUS[0]}}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, cwd=ROOT, check=False)
    assert (done.returncode, done.stdout, done.stderr) == (0, "{\n", "")


def test_documents_about_suites(capsys):
    listed = document(capsys, "list")
    assert {row["id"] for row in listed["suites"]} >= set(SUITES)
    assert {id: tuple(suites) for id, suites in listed["benchmarks"].items()} == BENCHMARKS
    shown = document(capsys, "show", "digits-proj-perm-v0")
    assert (shown["D"], shown["C"], shown["T"], shown["of_record"]) == (64, 10, 100, True)
    assert tuple(shown["fingerprints"].values()) == SUITES["digits-proj-perm-v0"]
    assert document(capsys, "show", "emnist-proj-perm-v0")["std"] is None
    assert document(capsys, "show", "offline-v0")["suites"] == list(BENCHMARKS["offline-v0"])
    shared = document(capsys, "show", "digits-proj-perm-v0", "--overlap", "--pool", 100)
    assert (shared["num_tasks"], shared["tasks"]["observed"]) == (100, 0)


def test_documents_about_data(capsys, own_cache):
    parts = document(capsys, "data", "list")["parts"]
    assert {row["dataset"] for row in parts} >= {"digits", "emnist_8"}
    (row,) = document(capsys, "data", "fetch", "digits", "--part", "test")["fetched"]
    assert (row["part"], row["images"]) == ("test", 360)
    assert document(capsys, "data", "verify", "digits")["damaged"] == 0
    next(own_cache.glob("digits/test-*/labels.npy")).write_bytes(b"nonsense")
    damaged = document(capsys, "data", "verify", "digits", status=1)
    assert (damaged["damaged"], damaged["parts"][0]["damaged"]) == (1, True)
    assert len(document(capsys, "data", "clear", "digits")["removed"]) == 1


def test_documents_about_learners(capsys, tmp_path):
    file = ROOT / "baselines" / "nearest_centroid.py"
    audited = document(capsys, "audit", file, "--level", "quick")
    assert (audited["status"], audited["learner"], audited["num_tasks"]) == ("passed", "nearest_centroid", 64)
    diagnosed = document(capsys, "diagnose", file, "--num-episodes", 64, "--output", tmp_path / "d.json")
    kept = json.loads((tmp_path / "d.json").read_text())
    assert (diagnosed["verdict"], diagnosed["question"]) == (kept["summary"]["verdict"], kept["question"])
    whole = document(capsys, "evaluate", ROOT / "baselines/chance.py", "--num-tasks", 2, "--suite", "offline-v0")
    mean = sum(result["score"] for result in whole["results"]) / 4
    assert whole["benchmarks"] == {"offline-v0": pytest.approx(mean)}
    one = document(capsys, "evaluate", ROOT / "baselines/chance.py", "--num-tasks", 1)
    assert one["results"][0]["score_interval"] is None  # one task has none


def test_documents_of_comparisons(capsys, tmp_path):
    for name, learner in {"nearest": nearest, "constant": constant}.items():
        for suite in BENCHMARKS["offline-v0"][:2]:
            evaluate(learner, suite, num_tasks=40, positions=[20]).save(tmp_path / f"{name}-{suite}.json")
    files = sorted(tmp_path.glob("*-digits-proj-perm-v0.json"))
    (found,) = document(capsys, "compare", *files, "--at", 20)["comparisons"]
    assert [(learner["name"], learner["group"]) for learner in found["learners"]] == [("nearest", 1), ("constant", 2)]
    assert found["pairs"][0]["differs"] is True
    whole = document(capsys, "compare", *sorted(tmp_path.iterdir()), "--at", 20, "--benchmark", "offline-v0")
    assert len(whole["comparisons"]) == 2
    assert [mean["missing"] for mean in whole["means"]] == [list(BENCHMARKS["offline-v0"][2:])] * 2


def test_the_document_of_a_verification(capsys, monkeypatch):
    from gpicl_bench.leaderboard import verification
    from gpicl_bench.leaderboard.reading import read_entry

    entry = sorted((ROOT / "leaderboards" / "digits-proj-perm-v0").glob("*.yaml"))[0]
    verified = read_entry(entry).verified

    def found(path, count, seed, limits, say):
        say("what is told goes to standard error")
        return verified

    monkeypatch.setattr(verification, "verify", found)
    assert main(["verify", str(entry), "--json"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["verdict"] == "verified"
    assert "what is told" in printed.err


def in_terminal(**variables):
    """What a terminal is sent."""
    ours, theirs = pty.openpty()
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", "COLUMNS": "120", **variables}
    command = [sys.executable, "-m", "gpicl_bench", "evaluate", "baselines/chance.py", "--num-tasks", "2"]
    process = subprocess.Popen(command, stdout=theirs, stderr=subprocess.DEVNULL, cwd=ROOT, env=environment)
    os.close(theirs)
    sent = b""
    try:
        while part := os.read(ours, 4096):
            sent += part
    except OSError:  # how Linux says that the other end is closed
        pass
    os.close(ours)
    assert process.wait() == 0
    return sent.decode()


def test_no_colours_in_pipes_nor_where_they_are_not_wanted():
    assert "\x1b" not in run("evaluate", "baselines/chance.py", "--num-tasks", 2, TERM="xterm-256color").stdout
    assert "\x1b[" in in_terminal()  # styles, so that the next can fail
    colours = r"\x1b\[[0-9;]*\b(3[0-8]|4[0-8]|9[0-7]|10[0-7])[0-9;]*m"
    assert not re.search(colours, in_terminal(NO_COLOR="1"))


def test_the_console_script(tmp_path):
    """As pip writes it: the path begins with the script's folder, not with the working one."""
    import tomllib

    named = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["scripts"]["gpicl-bench"]
    module, function = named.split(":")
    (tmp_path / "bin").mkdir()
    script = tmp_path / "bin" / "gpicl-bench"
    script.write_text(
        f"import sys\nfrom {module} import {function}\nif __name__ == '__main__':\n    sys.exit({function}())\n"
    )
    (tmp_path / "work").mkdir()
    (tmp_path / "work" / "neighbour.py").write_text("import numpy as np\nanswer = np.array([0])\n")
    learner = "from neighbour import answer\ndef learner(context_x, context_y, query_x):\n    return answer\n"
    (tmp_path / "work" / "mine.py").write_text(learner)
    asked = ["evaluate", "mine.py", "--num-tasks", "3", "--workers", "2", "--json"]
    done = run(*asked, program=[str(script)], folder=tmp_path / "work")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["results"][0]["learner"] == "mine"
    asked_for_help = run("--help", program=[str(script)])
    assert asked_for_help.stdout.startswith("usage: gpicl-bench ")
    assert run("audit", program=[str(script)]).returncode == 2


def test_numbers_that_are_none_are_null():
    import io

    from gpicl_bench.commands import document as module

    stream = io.StringIO()
    module._reserved.append(stream)
    try:
        module.write({"a": float("nan"), "b": (float("inf"), 1), 3: None})
    finally:
        module._reserved.pop()
    assert json.loads(stream.getvalue()) == {"a": None, "b": [None, 1], "3": None}
