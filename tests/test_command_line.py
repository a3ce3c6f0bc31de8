"""The commands as users call them: what they print, what they refuse, and what they leave behind."""

import json
import os
import re
import subprocess
import sys

import numpy as np
import pytest

from gpicl_bench import load_result, registry
from gpicl_bench.builtin import BENCHMARKS
from tests.conftest import ROOT

NEAREST = str(ROOT / "baselines" / "nearest_neighbour.py")
QUICK = ["--num-tasks", "3"]


def run(*arguments, module="gpicl_bench", **variables):
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", module, *map(str, arguments)],
        capture_output=True,
        text=True,
        errors="replace",
        env={**os.environ, "PYTHONPATH": str(ROOT), **variables},
        check=False,
    )


def evaluate(*arguments, **variables):
    return run(*arguments, module="gpicl_bench.evaluate", **variables)


def refused(done, *says):
    """Exit status 2, one message, no traceback, nothing on standard output."""
    assert done.returncode == 2, done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert sum(line.startswith("error: ") or ": error: " in line for line in done.stderr.splitlines()) == 1
    for text in says:
        assert text in done.stderr
    return True


@pytest.fixture
def write(tmp_path):
    def writer(text, name="mine.py"):
        (tmp_path / name).write_text(text)
        return tmp_path / name

    return writer


def test_a_score_with_its_evidence(tmp_path):
    output = tmp_path / "result.json"
    done = evaluate(NEAREST, *QUICK, "--output", output)
    assert done.returncode == 0, done.stderr
    for text in ("nearest_neighbour on digits-proj-perm-v0", "accuracy@k", "score", "95% intervals over tasks",
                 "withheld by the harness", "not of record", "fingerprint bb691ba7ea6ba04f", str(output)):  # fmt: skip
        assert text in done.stdout
    result = load_result(output)
    assert f"score       {result.score:.3f}" in done.stdout
    assert (result.setting.num_tasks, result.learner.name) == (3, "nearest_neighbour")
    assert os.listdir(tmp_path) == ["result.json"]


def test_both_commands_are_one():
    alone, under = evaluate(NEAREST, *QUICK), run("evaluate", NEAREST, *QUICK)
    assert [re.sub(r"time .*", "", done.stdout) for done in (alone, under)][0] == re.sub(r"time .*", "", under.stdout)


def test_suites_benchmarks_positions_arguments_and_seed(tmp_path, write):
    file = write("def make_learner(info, k=0, name='', flag=False):\n"
                 "    assert (k, name, flag) == (3, 'a b', True), (k, name, flag)\n"
                 "    import numpy as np\n"
                 "    return lambda context_x, context_y, query_x: np.array([k])\n")  # fmt: skip
    done = evaluate(
        file, *QUICK, "--suite", "offline-v0", "--suite", "random-none-perm-v0", "--positions", "0,5", "--learner-seed", "7",
        *("--learner-arg", "k=3", "--learner-arg", "name=a b", "--learner-arg", "flag=True"), "--output", tmp_path / "out",
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert "offline-v0: no score, it needs every position" in done.stdout
    wanted = {*BENCHMARKS["offline-v0"], "random-none-perm-v0"}
    assert {path.stem for path in (tmp_path / "out").iterdir()} == wanted
    result = load_result(tmp_path / "out" / "random-none-perm-v0.json")
    assert (result.setting.positions, result.setting.learner_seed) == ((0, 5), 7)
    assert dict(result.learner.args) == {"k": 3, "name": "a b", "flag": True}


def test_a_benchmark_has_a_mean_score():
    done = evaluate(ROOT / "baselines/chance.py", "--num-tasks", 2, "--suite", "offline-v0")
    shown = [float(score) for score in re.findall(r"^score +(-?[0-9.]+)", done.stdout, re.MULTILINE)]
    mean = float(re.search(r"offline-v0: score (-?[0-9.]+), the mean over 4 suites", done.stdout)[1])
    assert mean == pytest.approx(sum(shown) / 4, abs=2e-3)


def test_the_record(tmp_path, write):
    file = write("import numpy as np\ndef learner(context_x, context_y, query_x):\n    return np.array([0])\n")
    done = evaluate(file, "--record", "--output", tmp_path / "r.json")
    assert "4,096 of meta_test, of record" in done.stdout
    assert load_result(tmp_path / "r.json").setting.of_record == "record"


def test_a_file_imports_its_neighbours(write):
    write("from numpy import zeros\ndef rule(x):\n    return zeros(len(x), int)\n", "neighbour.py")
    file = write("from neighbour import rule\nlearner = lambda context_x, context_y, query_x: rule(query_x)\n")
    assert evaluate(file, *QUICK).returncode == 0


def test_one_task_has_no_interval_for_its_score():
    assert "one task: no interval" in evaluate(NEAREST, "--num-tasks", 1).stdout


HEAD = "import numpy as np\ndef learner(context_x, context_y, query_x):\n    "


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("def learner(:\n", ["syntax error", "mine.py, line 1"]),
        ("x = 1\n", ["exactly one of `learner` and `make_learner`", "neither"]),
        ("learner = print\nmake_learner = print\n", ["exactly one", "both"]),
        ("import nothing_of_this_name\n", ["ModuleNotFoundError", "nothing_of_this_name"]),
        ("raise SystemExit(3)\n", ["SystemExit: 3"]),
        ("def make_learner(info):\n    pass\n", ["make_learner returned nothing"]),
        ("def make_learner(info):\n    return 1 / 0\n", ["ZeroDivisionError"]),
        ("def make_learner(info, width):\n    pass\n", ["does not take these arguments", "(info, width)"]),
        ("def learner(x):\n    return x\n", ["wrong arguments", "(context_x, context_y, query_x)", "(x)"]),
        ("learner = 7\n", ["this is no learner", "int"]),
        (HEAD + "return np.zeros(3)\n", ["no prediction", "task 0, position 0", "(1, 10)"]),
        (HEAD + "return np.full((1, 10), np.nan)\n", ["not finite", "task 0, position 0"]),
        (HEAD + "return np.array([10])\n", ["out of range", "0 … 9", "10"]),
        (HEAD + "query_x[:] = 0\n", ["read-only", "copy"]),
        ("calls = 0\ndef learner(context_x, context_y, query_x):\n    global calls\n    calls += 1\n"
         "    if calls == 37 * 100 + 13:\n        raise RuntimeError('tired')\n    return context_y[:1].clip(0) if calls % 100 != 1 "
         "else query_x[0, :1].astype(int) * 0\n", ["RuntimeError: tired", "mine, task 37, position 12", "30 tasks are kept in"]),
    ],
)  # fmt: skip
def test_a_bad_learner_file_is_named(write, tmp_path, text, says):
    output = tmp_path / "result.json"
    done = evaluate(write(text), "--num-tasks", 40, "--output", output)
    assert refused(done, *says)
    kept = ["result.json.partial"] if "kept" in says[-1] else []
    assert sorted(path.name for path in tmp_path.iterdir() if path.name != "__pycache__") == ["mine.py", *kept]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.py"], ["cannot be read", "missing.py"]),
        ([str(ROOT)], ["it is a folder"]),
        ([str(ROOT / "README.md")], ["syntax error", "README.md"]),
        ([NEAREST, "--suite", "digit-proj-perm-v0"], ["did you mean digits-proj-perm-v0"]),
        ([NEAREST, "--suite", "digits-proj-perm-v9"], ["no such version", "v0"]),
        ([NEAREST, "--suite", "ofline-v0"], ["no suite id", "did you mean offline-v0"]),
        ([NEAREST, "--suite", "digits-proj-perm-v" + "9" * 5000], ["no suite id"]),
        ([NEAREST, "--output", ""], ["could not be written"]),
        ([NEAREST, "--output", "/dev/null"], ["no ordinary file"]),
        ([str(ROOT / "baselines/ridge.py"), "--learner-arg", "alpha=1", "--learner-arg", "alpha=2"], ["given twice"]),
        ([str(ROOT / "baselines/ridge.py"), "--learner-arg", "alpha={1,2}"], ["no plain values"]),
        (["missing.py", "--suite", "offline-v0", "--output", "new"], ["missing.py"]),
        ([NEAREST, "--suite", "offline-v0", "--suite", "digits-proj-perm-v0"], ["named twice"]),
        ([NEAREST, "--num-tasks", "0"], ["num_tasks"]),
        ([NEAREST, "--num-tasks", "many"], ["--num-tasks"]),
        ([NEAREST, "--num-tasks", "3", "--record"], ["not allowed with"]),
        ([NEAREST, "--positions", "1,x"], ["whole numbers with commas"]),
        ([NEAREST, "--positions", "100"], ["0 to 99"]),
        ([NEAREST, "--learner-arg", "k=3"], ["takes no arguments"]),
        ([NEAREST, "--learner-arg", "k"], ["key=value"]),
        ([str(ROOT / "baselines/ridge.py"), "--learner-arg", "alhpa=3"], ["did you mean alpha"]),
        ([NEAREST, "--output", "no/such/folder/r.json"], ["could not be written"]),
        ([NEAREST, "--suite", "offline-v0", "--output", "r.json"], ["several suites need a folder"]),
        ([NEAREST, "--learner-seed", "-1"], ["learner_seed"]),
        ([], ["file"]),
    ],
)
def test_bad_arguments_are_named(tmp_path, monkeypatch, arguments, says):
    monkeypatch.chdir(tmp_path)
    assert refused(evaluate(*arguments), *says)
    assert list(tmp_path.iterdir()) == []


def test_a_traceback_on_request(write):
    file = write("raise RuntimeError('why')\n")
    assert "Traceback" in evaluate(file, "--traceback").stderr
    assert "Traceback" not in evaluate(file).stderr


def test_missing_data_and_a_blocked_cache(tmp_path, write):
    done = evaluate(
        NEAREST, "--suite", "mnist-proj-perm-v0", TFDS_DATA_DIR=str(tmp_path), GPICL_BENCH_CACHE=str(tmp_path / "c")
    )
    assert refused(done, "GPICL_BENCH_DATA", "TFDS_DATA_DIR", "data fetch mnist")
    blocked = write("", "file")
    done = evaluate(NEAREST, *QUICK, GPICL_BENCH_CACHE=str(blocked / "c"))
    assert done.returncode == 0
    assert "digits stays in memory: the cache folder cannot be written" in done.stderr
    assert done.stderr.count("\n") == 1


def test_data_that_is_missing_is_named_before_the_first_question(tmp_path, write):
    """Not after the suites before it have been run for hours."""
    file = write(HEAD + "open(__file__ + '.asked', 'w')\n    return np.array([0])\n")
    suites = ["--suite", "digits-proj-perm-v0", "--suite", "mnist-proj-perm-v0"]
    missing = {"TFDS_DATA_DIR": str(tmp_path), "GPICL_BENCH_CACHE": str(tmp_path / "cache")}
    done = evaluate(file, *QUICK, *suites, "--output", tmp_path / "out", **missing)
    assert refused(done, "the images of mnist are not on this machine")
    assert not (tmp_path / "mine.py.asked").exists()
    assert not (tmp_path / "out").exists()
    assert refused(evaluate("missing.py", *suites, **missing), "missing.py")  # and a typo before any download


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_every_terminal_can_show_it(encoding):
    for done in (
        run("show", "digits-proj-perm-v0", PYTHONIOENCODING=encoding),
        evaluate(NEAREST, *QUICK, PYTHONIOENCODING=encoding),
        evaluate("--help", PYTHONIOENCODING=encoding),
    ):
        assert done.returncode == 0, done.stderr


def test_brackets_in_names_are_shown_as_they_are(tmp_path, write):
    file = write(
        "import numpy as np\ndef learner(context_x, context_y, query_x):\n    return np.array([0])\n", "m[bold].py"
    )
    (tmp_path / "run[lr=0.1]").mkdir()
    done = evaluate(file, *QUICK, "--output", tmp_path / "run[lr=0.1]" / "[bold]r.json")
    assert done.returncode == 0, done.stderr
    assert "m[bold] on digits" in done.stdout
    assert str(tmp_path / "run[lr=0.1]" / "[bold]r.json") in done.stdout


def test_a_learner_that_changes_the_folder_changes_no_path(tmp_path, monkeypatch, write):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "elsewhere").mkdir()
    write(
        "import os, numpy as np\nos.chdir('elsewhere')\ndef learner(context_x, context_y, query_x):\n    return np.array([0])\n"
    )
    assert evaluate("mine.py", *QUICK, "--output", "r.json").returncode == 0
    assert (tmp_path / "r.json").exists()


def test_links_are_followed_and_files_are_not_taken_for_folders(tmp_path):
    (tmp_path / "real.json").write_text("old")
    (tmp_path / "link.json").symlink_to(tmp_path / "real.json")
    assert evaluate(NEAREST, *QUICK, "--output", tmp_path / "link.json").returncode == 0
    assert load_result(tmp_path / "real.json").setting.num_tasks == 3
    assert refused(
        evaluate(NEAREST, *QUICK, "--suite", "offline-v0", "--output", tmp_path / "real.json"), "need a folder"
    )
    assert refused(
        evaluate(NEAREST, *QUICK, "--suite", "offline-v0", "--output", tmp_path / "real.json" / "x"),
        "cannot be written",
    )


@pytest.mark.parametrize("command", ["evaluate", "diagnose", "report"])
def test_no_output_replaces_a_file_that_is_read(command, tmp_path, monkeypatch, capsys, write, forget):
    from gpicl_bench.commands import main

    monkeypatch.chdir(tmp_path)
    write("learner = None\n")
    images, labels = np.arange(3200).astype(np.uint8).reshape(200, 4, 4, 1), np.arange(200) % 2
    np.savez("own.npz", x_train=images, y_train=labels, x_test=images[:100], y_test=labels[:100])
    (tmp_path / "link.html").symlink_to("mine.py")
    (tmp_path / "loop").symlink_to("loop")
    before = {path: path.read_bytes() for path in (tmp_path / "mine.py", tmp_path / "own.npz")}
    data = [] if command == "report" else ["--data", "own.npz"]
    for output in ("mine.py", "link.html", "../" + tmp_path.name + "/mine.py", "loop", *data[1:]):
        assert main([command, "mine.py", *(data if output in data else []), "--output", output]) == 2
        said = capsys.readouterr().err
        assert "could not be written" in said, said
        assert before == {path: path.read_bytes() for path in before}


def test_a_full_disk_is_one_message():
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "gpicl_bench", "list"],
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            cwd=ROOT,
            check=False,
        )
    assert done.returncode == 2
    assert done.stderr == "error: No space left on device\n"


def test_list_names_every_suite():
    printed = run("list").stdout
    assert all(re.search(rf"^{re.escape(id)} ", printed, re.MULTILINE) for id in [*registry, *BENCHMARKS])


@pytest.mark.parametrize("id", registry)
def test_show_tells_what_a_suite_is(id):
    from gpicl_bench.commands import main
    from gpicl_bench.datasets import DATASETS

    known = DATASETS[registry[id].dataset]
    printed = run("show", id).stdout if id == "digits-proj-perm-v0" else None
    if printed is None:  # one real process is enough
        import contextlib
        import io

        with contextlib.redirect_stdout(io.StringIO()) as stream:
            assert main(["show", id]) == 0
        printed = stream.getvalue()
    wanted = [
        id,
        known.title,
        known.licence,
        known.citation,
        known.source,
        str(known.dimension),
        *known.sha256.values(),
    ]
    assert all(text in printed for text in [*wanted, *registry[id].fingerprints.values()])


def test_show_a_benchmark_and_nothing():
    assert all(id in run("show", "offline-v0").stdout for id in BENCHMARKS["offline-v0"])
    assert refused(run("show", "mnist-proj-perm-v3"), "no such version")
    assert refused(run(), "command")


def test_help_needs_no_data():
    for done in (run("--help"), evaluate("--help"), run("show", "--help")):
        assert done.returncode == 0
        assert "usage" in done.stdout


def test_output_is_json_that_names_everything(tmp_path):
    evaluate(NEAREST, *QUICK, "--output", tmp_path / "r.json")
    content = json.loads((tmp_path / "r.json").read_text())
    assert content["provenance"]["versions"].keys() >= {"python", "numpy", "gpicl-bench"}
    assert re.fullmatch("[0-9a-f]{64}", content["learner"]["source_sha256"])
    assert content["times"]["total"] > 0
