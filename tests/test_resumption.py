"""Resumption: whatever ends an evaluation, no finished block is lost, and the end is the same, times apart."""

import contextlib
import json
import os
import random
import re
import resource
import signal
import subprocess
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from gpicl_bench import errors, evaluate, load_learner, load_result, make, sequence_learner
from gpicl_bench.commands import main
from gpicl_bench.commands.interruption import exit_status, terminable
from gpicl_bench.evaluation.journal import num_kept
from gpicl_bench.evaluation.storage import digest
from tests.conftest import ROOT
from tests.learners import constant, mean, nearest

SUITE = make("digits-proj-perm-v0")
SLOW = """
import time
import numpy as np

def make_learner(info, pause=0.0):
    def learner(context_x, context_y, query_x):
        time.sleep(pause)
        return -np.square(query_x - context_x[:10]).sum(axis=1)[None] if len(context_y) > 9 else np.zeros((1, 10))
    return learner
"""


def stopping(learner, after):
    """The same learner, interrupted when it has been called so often."""
    calls = 0

    def wrapped(context_x, context_y, query_x):
        nonlocal calls
        calls += 1
        if calls > after:
            raise KeyboardInterrupt
        return learner(context_x, context_y, query_x)

    wrapped.__name__ = learner.__name__
    return wrapped


def interrupted(path, learner=mean, after=15, **arguments):
    """A journal of some blocks."""
    with contextlib.suppress(KeyboardInterrupt):
        evaluate(stopping(learner, after), SUITE, checkpoint=path, **arguments)
        pytest.fail("it was not interrupted")
    return path


def told(path):
    """A result file without its times."""
    content = json.loads(path.read_text())
    content.pop("times")
    return json.dumps(content)


TWO = {"num_tasks": 12, "positions": [9, 60]}  # blocks of 3


@pytest.fixture
def journal(tmp_path):
    return interrupted(tmp_path / "journal", **TWO)


def test_an_interrupted_evaluation_goes_on_where_it_was(tmp_path):
    journal = interrupted(tmp_path / "journal", **TWO)
    asked = []

    def counted(context_x, context_y, query_x):
        asked.append(len(context_y))
        return mean(context_x, context_y, query_x)

    counted.__name__ = "mean"
    again = evaluate(counted, SUITE, **TWO, checkpoint=journal)
    assert len(asked) == 6 * 2  # two blocks are kept; the third was not finished after 15 questions
    assert digest(again) == digest(evaluate(mean, SUITE, **TWO))
    assert again.times.learner > 0
    evaluate(stopping(mean, 0), SUITE, **TWO, checkpoint=journal)  # nothing is left to ask


def test_times_are_sums_over_all_runs(tmp_path):
    def sleepy(context_x, context_y, query_x):
        time.sleep(0.005)
        return mean(context_x, context_y, query_x)

    sleepy.__name__ = "mean"
    journal = interrupted(tmp_path / "journal", sleepy, **TWO)
    result = evaluate(sleepy, SUITE, **TWO, checkpoint=journal)
    first = json.loads(journal.read_text().splitlines()[0])
    assert result.times.started == first["started"]
    assert result.times.learner > 12 * 2 * 0.005
    assert result.times.total > result.times.learner


KILLED = """
import json, os, random, signal, sys, time
from pathlib import Path
from gpicl_bench import evaluate, load_learner, make
from gpicl_bench.evaluation.journal import num_kept

file, journal, output, seed, wanted, workers = sys.argv[1:]
journal, output, wanted = Path(journal), Path(output), int(wanted)
suite, chance = make("digits-proj-perm-v0"), random.Random(int(seed))
suite.meta_test.part

def begun(**options):
    child = os.fork()
    if child:
        return child
    status = 1
    try:
        loaded = load_learner(file, suite.info, {"pause": 0.001})
        evaluate(loaded, suite, num_tasks=150, positions=[0, 20], **options).save(output)
        status = 0
    finally:
        os._exit(status)

def taken():
    content = json.loads(output.read_text())
    output.unlink()
    del content["times"]
    return content

def runs(child):
    return os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None

def lines():
    content = journal.read_bytes() if journal.exists() else b""
    return content[: content.rfind(b"\\n") + 1]

begin = time.perf_counter()
assert os.waitpid(begun(), 0)[1] == 0
two_blocks = (time.perf_counter() - begin) / 5
whole = taken()
done = resumed = ends = 0
while True:
    kept, before = num_kept(journal), lines()
    child = begun(workers=int(workers), checkpoint=journal)
    if done < wanted or not kept:  # the last one goes on to the end
        while runs(child) and len(lines()) <= len(before):
            time.sleep(0.001)
        time.sleep(chance.uniform(0, two_blocks))
        os.kill(child, signal.SIGKILL)
    status = os.waitpid(child, 0)[1]
    assert num_kept(journal) >= kept, "lost"
    assert not kept or lines().startswith(before), "asked again"
    if os.WIFSIGNALED(status):
        done, resumed = done + 1, resumed + (num_kept(journal) > kept > 0)
        continue
    assert status == 0
    assert taken() == whole, "another result"
    ends += kept > 0
    journal.unlink()
    if done >= wanted and ends:
        break
print(f"killed {done} times, {resumed} of them after it had gone on, and {ends} times it went on to the end")
"""


@pytest.mark.parametrize(("workers", "kills"), [(1, 20), (2, 6)])
def test_killed_at_random_moments_it_ends_as_if_nothing_had_been(tmp_path, workers, kills):
    """Real processes, real SIGKILLs, each up to two blocks after the journal has grown; whatever ends is compared.

    Each is a fork of one process, to spare the imports.
    """
    file = tmp_path / "slow.py"
    file.write_text(SLOW)
    command = [sys.executable, "-c", KILLED, file, tmp_path / "journal", tmp_path / "a.json", 7, kills, workers]
    with (tmp_path / "printed").open("w") as printed:
        process = subprocess.Popen(
            [*map(str, command)], cwd=ROOT, stdout=printed, stderr=printed, start_new_session=True
        )
        status = process.wait(timeout=120)
    with contextlib.suppress(ProcessLookupError):  # a worker whose parent was killed before it had begun waits long
        os.killpg(process.pid, signal.SIGKILL)
    printed = (tmp_path / "printed").read_text()
    assert status == 0, printed
    counted = re.search(r"killed (\d+) times, (\d+) of them after it had gone on, and (\d+) times", printed)
    done, resumed, ends = map(int, counted.groups())
    assert done >= kills
    assert resumed >= kills / 3
    assert ends >= 1


def test_cut_anywhere_the_journal_keeps_every_whole_line(tmp_path, journal):
    """As a kill in the middle of a write leaves it, at 40 places."""
    content, whole = journal.read_bytes(), digest(evaluate(mean, SUITE, **TWO))
    places = random.Random(3).sample(range(len(content) + 1), 40)
    for place in (0, 1, 20, content.index(b"\n"), content.index(b"\n") + 1, len(content) - 1, *places):
        journal.write_bytes(content[:place])
        assert digest(evaluate(mean, SUITE, **TWO, checkpoint=journal)) == whole
        lines = journal.read_bytes().splitlines(keepends=True)
        assert len(lines) == 5
        kept = content[:place].count(b"\n") - 1
        assert num_kept(journal) == 12
        assert lines[1 : 1 + max(0, kept)] == content.splitlines(keepends=True)[1 : 1 + max(0, kept)]


def test_any_other_damage_is_named(tmp_path, journal):
    content = journal.read_bytes()
    ends = [i for i, byte in enumerate(content) if byte == 10]
    chance = random.Random(5)
    for place in [40, ends[0] - 1, *(chance.randrange(len(content) - 1) for _ in range(40))]:
        damaged = bytearray(content)
        damaged[place] ^= 1 << chance.randrange(7)
        journal.write_bytes(damaged)
        with pytest.raises(errors.ResultError, match=r"(?s)(damaged|no journal).*journal"):
            evaluate(mean, SUITE, **TWO, checkpoint=journal)
        assert journal.read_bytes() == damaged
    journal.write_bytes(content[: ends[1] + 1].replace(b"outcome", b"outcomf") + content[ends[1] + 1 :])
    with pytest.raises(errors.ResultError, match=r"(?s)damaged.*journal, line 2.*delete line 2"):
        evaluate(mean, SUITE, **TWO, checkpoint=journal)
    journal.write_bytes(content[: ends[0] + 1] + content[ends[1] + 1 :])  # as the error says
    assert digest(evaluate(mean, SUITE, **TWO, checkpoint=journal)) == digest(evaluate(mean, SUITE, **TWO))


def test_tasks_that_are_kept_twice_are_damage(journal):
    lines = journal.read_bytes().splitlines(keepends=True)
    journal.write_bytes(b"".join([*lines, lines[1]]))
    with pytest.raises(errors.ResultError, match=r"(?s)damaged.*kept twice.*line 4"):
        evaluate(mean, SUITE, **TWO, checkpoint=journal)


def carded(context_x, context_y, query_x):
    return mean(context_x, context_y, query_x)


carded.__name__, carded.card = "mean", {"licence": "MIT"}


@pytest.mark.parametrize(
    ("learner", "changes", "field"),
    [
        (mean, {"num_tasks": 13}, "setting.num_tasks = 12"),
        (mean, {"positions": [9]}, r"setting.positions = \[9, 60\]"),
        (mean, {"learner_seed": 1}, "setting.learner_seed = 0"),
        (mean, {"suite": SUITE.meta_validation}, "setting.task_set"),
        (mean, {"suite": "random-proj-perm-v0"}, "setting.suite"),
        (mean, {"suite": make("digits-proj-perm-v0", num_examples=61)}, "setting.fingerprint"),
        (mean, {"audit": "quick"}, 'audit = "off"'),
        (constant, {}, 'learner.name = "mean"'),
        (carded, {}, "learner.card"),
    ],
)
def test_the_journal_of_another_evaluation_is_refused(journal, learner, changes, field):
    before = journal.read_bytes()
    with pytest.raises(errors.ResultError, match=rf"(?s)another evaluation.*expected: .*{field}.*got: .*journal"):
        evaluate(learner, **{"suite": SUITE, **TWO, "checkpoint": journal, **changes})
    assert journal.read_bytes() == before


@pytest.mark.parametrize("field", ["platform", "commit", "versions"])
def test_a_journal_of_another_machine_or_version_is_refused(journal, monkeypatch, field):
    from gpicl_bench import provenance

    here = provenance()
    other = replace(here, **{field: {"numpy": "0.1"} if field == "versions" else "another"})
    monkeypatch.setattr("gpicl_bench.evaluation.harness.provenance", lambda: other)
    with pytest.raises(errors.ResultError, match=rf"another evaluation\n  expected: provenance.{field}"):
        evaluate(mean, SUITE, **TWO, checkpoint=journal)


def test_another_file_or_other_arguments_are_refused(tmp_path):
    file = tmp_path / "slow.py"
    file.write_text(SLOW)
    load = lambda pause: load_learner(file, SUITE.info, {"pause": pause})  # noqa: E731
    journal = tmp_path / "journal"
    evaluate(load(0.0), SUITE, **TWO, checkpoint=journal)
    with pytest.raises(errors.ResultError, match=r"(?s)learner.args.pause = 0.0.*got: learner.args.pause = 0.001"):
        evaluate(load(0.001), SUITE, **TWO, checkpoint=journal)
    file.write_text(SLOW + "\n")
    with pytest.raises(errors.ResultError, match="learner.source_sha256"):
        evaluate(load(0.0), SUITE, **TWO, checkpoint=journal)


def test_the_number_of_workers_may_change(tmp_path):
    journal = interrupted(tmp_path / "journal", nearest, **TWO)
    result = evaluate(nearest, SUITE, **TWO, checkpoint=journal, workers=2)
    assert digest(result) == digest(evaluate(nearest, SUITE, **TWO))


def test_two_processes_do_not_share_a_journal(tmp_path):
    journal = tmp_path / "journal"

    def meanwhile(context_x, context_y, query_x):
        with pytest.raises(errors.ResultError, match=r"(?s)another process writes this journal.*journal"):
            evaluate(nearest, SUITE, **TWO, checkpoint=journal)
        return np.zeros((1, 10))

    evaluate(meanwhile, SUITE, num_tasks=2, positions=[1], checkpoint=journal)
    with pytest.raises(errors.ResultError, match="another evaluation"):  # the lock has gone with the evaluation
        evaluate(nearest, SUITE, **TWO, checkpoint=journal)


def test_a_full_disk_loses_nothing_that_was_kept(tmp_path):
    journal = tmp_path / "journal"
    evaluate(mean, SUITE, **TWO, checkpoint=journal)
    size = journal.stat().st_size
    journal.unlink()
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size * 3 // 4, limits[1]))
    try:
        with pytest.raises(errors.ResultError, match=r"(?s)cannot be written.*File too large.*make room"):
            evaluate(mean, SUITE, **TWO, checkpoint=journal)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert journal.read_bytes().endswith(b"\n")
    assert 1 < journal.read_bytes().count(b"\n") < 5
    assert digest(evaluate(mean, SUITE, **TWO, checkpoint=journal)) == digest(evaluate(mean, SUITE, **TWO))


def test_without_a_finished_block_nothing_is_left(tmp_path):
    journal = interrupted(tmp_path / "journal", after=3, **TWO)
    assert not journal.exists()
    journal.write_bytes(b"")
    evaluate(mean, SUITE, **TWO, checkpoint=journal)
    assert journal.read_bytes().count(b"\n") == 5


@pytest.mark.parametrize("text", ["notes", "notes\nmore\n", '{"format":"gpicl-bench-result/1"}\n', "\n", "\0" * 9])
def test_a_file_that_is_no_journal_is_left_alone(tmp_path, text):
    file = tmp_path / "a"
    file.write_text(text)
    with pytest.raises(errors.ResultError, match="this file is no journal"):
        evaluate(mean, SUITE, **TWO, checkpoint=file)
    assert file.read_text() == text


@pytest.mark.parametrize("path", [".", "missing/journal", "/dev/null", "a\0b", "x" * 300, ""])
def test_a_path_that_cannot_be_written_is_named(tmp_path, monkeypatch, path):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(errors.ResultError, match="cannot be opened"):
        evaluate(mean, SUITE, **TWO, checkpoint=path)
    assert os.listdir(tmp_path) == []


@sequence_learner
def uniform(x, y):
    return np.zeros((*y.shape, 10))


def test_the_seed_of_the_audit_is_kept(tmp_path, monkeypatch):
    """Interrupted in its audit, an evaluation repeats that audit, and asks no scored task again."""
    journal = tmp_path / "journal"

    def stop(*_, **__):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("gpicl_bench.evaluation.harness.run_audit", stop)
        with pytest.raises(KeyboardInterrupt):
            evaluate(uniform, SUITE, num_tasks=3, positions=[5, 20], checkpoint=journal)
    seed = json.loads(journal.read_text().splitlines()[-1])["audit_seed"]
    seeds = []

    def remember(*_, seed, **__):
        from gpicl_bench import Audit, Check

        seeds.append(seed)
        return Audit("quick", 64, seed, (Check("equal runs", "passed", 1, "bits", ""),))

    monkeypatch.setattr("gpicl_bench.evaluation.harness.run_audit", remember)
    results = [evaluate(uniform, SUITE, num_tasks=3, positions=[5, 20], checkpoint=journal) for _ in range(2)]
    assert seeds == [seed, seed]
    assert digest(results[0]) == digest(results[1])
    evaluate(uniform, SUITE, num_tasks=3, positions=[5, 20])
    assert seeds[-1] != seed


# The command


def start(*arguments, **options):
    before = signal.signal(signal.SIGINT, signal.default_int_handler)  # if it is ignored here, as in `pytest &`,
    try:  # the command would ignore it too
        return subprocess.Popen(
            [sys.executable, "-m", "gpicl_bench.evaluate", *map(str, arguments)],
            env={**os.environ, "PYTHONPATH": str(ROOT)},
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            start_new_session=True,
            **options,
        )
    finally:
        signal.signal(signal.SIGINT, before)


def ended(process):
    out, err = process.communicate(timeout=60)
    return process.returncode, out, err


def command(*arguments, **options):
    return ended(start(*arguments, **options))


def lines_of(path, count, process):
    """Wait until a journal has so many lines."""
    while process.poll() is None:
        if path.exists() and path.read_bytes().count(b"\n") >= count:
            return
        time.sleep(0.01)


@pytest.fixture
def slow(tmp_path):
    (tmp_path / "slow.py").write_text(SLOW)
    return tmp_path / "slow.py"


def workers_of(process):
    """The processes of its session that are left."""
    alive = []
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            if os.getsid(int(entry)) == process.pid and "zombie" not in Path(f"/proc/{entry}/status").read_text():
                alive.append(int(entry))
    return alive


def all_leave(process):
    """Whether nothing of its session is left in the end; joblib's own tracker goes a moment after the rest."""
    limit = time.monotonic() + 20
    while workers_of(process) and time.monotonic() < limit:
        time.sleep(0.1)
    return workers_of(process) == []


def stopped(asked, journal, number):
    """Standard error of a command that gets a signal, to all its processes together, when its journal has grown."""
    process = start(*asked, "--learner-arg", "pause=0.005")
    lines_of(journal, 3, process)
    os.killpg(process.pid, number)
    status, out, err = ended(process)
    assert (status, out) == (128 + number, "")
    assert all_leave(process)
    return err


@pytest.mark.parametrize("workers", [1, 2])
def test_ctrl_c_tells_what_is_kept_and_resume_goes_on(tmp_path, slow, workers):
    output, journal = tmp_path / "a.json", tmp_path / "a.json.partial"
    asked = [slow, "--num-tasks", 100, "--positions", "0,20", "--output", output, "--workers", workers]
    err = stopped(asked, journal, signal.SIGINT)
    kept = 16 if workers == 1 else 12
    assert int(err.split()[1]) % kept == 0
    assert f"tasks are kept in {journal}: the same command with --resume goes on" in err
    assert len(err.splitlines()) == 1
    assert not output.exists()

    status, out, err = command(*asked, "--learner-arg", "pause=0.005")
    assert (status, out) == (2, "")
    assert f"where: {journal}" in err
    assert "--resume" in err
    status, out, err = command(*asked, "--learner-arg", "pause=0.001", "--resume")
    assert status == 2
    assert "learner.args.pause" in err
    assert command(*asked, "--learner-arg", "pause=0.005", "--resume")[0] == 0
    assert not journal.exists()
    whole = evaluate(load_learner(slow, SUITE.info, {"pause": 0.005}), SUITE, num_tasks=100, positions=[0, 20])
    assert load_result(output).log_loss.tobytes() == whole.log_loss.tobytes()


@pytest.mark.parametrize("workers", [1, 2])
def test_a_batch_system_that_ends_it_is_told_what_is_kept(tmp_path, slow, workers):
    output, journal = tmp_path / "a.json", tmp_path / "a.json.partial"
    asked = [slow, "--num-tasks", 100, "--positions", "0,20", "--output", output, "--workers", workers]
    err, kept = stopped(asked, journal, signal.SIGTERM), num_kept(journal)
    assert err == f"interrupted; {kept} tasks are kept in {journal}: the same command with --resume goes on\n"
    assert kept > 0
    assert not output.exists()
    assert command(*asked, "--learner-arg", "pause=0.005", "--resume")[0] == 0
    assert load_result(output).setting.num_tasks == 100


def test_sigterm_is_handled_within_a_command_only(capsys):
    """In another thread, and where somebody has a handler, nothing changes."""
    before = signal.getsignal(signal.SIGTERM)
    statuses = []
    thread = threading.Thread(target=lambda: statuses.append(main(["show", "digits-proj-perm-v0"])))
    thread.start()
    thread.join()
    assert (statuses, main(["show", "digits-proj-perm-v0"])) == ([0], 0)
    assert signal.getsignal(signal.SIGTERM) is before
    with terminable():
        assert signal.getsignal(signal.SIGTERM) is not before
        with pytest.raises(KeyboardInterrupt) as raised:
            signal.raise_signal(signal.SIGTERM)
        assert exit_status(raised.value) == 143
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL  # a second one ends the process
    mine = lambda *_: None  # noqa: E731
    signal.signal(signal.SIGTERM, mine)
    try:
        with terminable():
            assert signal.getsignal(signal.SIGTERM) is mine
    finally:
        signal.signal(signal.SIGTERM, before)
    assert exit_status(KeyboardInterrupt()) == 130


def test_workers_leave_when_their_parent_is_killed(tmp_path, slow):
    journal = tmp_path / "a.json.partial"
    asked = [slow, "--num-tasks", 400, "--positions", "1,2", "--output", tmp_path / "a.json", "--workers", 2]
    process = start(*asked, "--learner-arg", "pause=0.002")
    lines_of(journal, 3, process)
    assert len(workers_of(process)) >= 3
    process.kill()
    process.communicate(timeout=30)  # the pipe closes when the last of them has left
    assert all_leave(process)


def test_a_worker_that_was_never_asked_leaves_too(slow):
    """One task, two workers."""
    process = start(slow, "--num-tasks", 1, "--positions", "1", "--workers", 2, "--learner-arg", "pause=60.0")
    while process.poll() is None and len(workers_of(process)) < 4:  # itself, joblib's tracker, and two
        time.sleep(0.01)
    time.sleep(1)  # until they wait
    process.kill()
    process.wait()
    left = not all_leave(process)
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.communicate()
    assert not left


def test_several_suites_go_on_with_the_unfinished_ones(tmp_path, slow):
    folder = tmp_path / "out"
    asked = [slow, "--suite", "offline-v0", "--num-tasks", 48, "--positions", "0,20", "--output", folder]
    process = start(*asked, "--learner-arg", "pause=0.004")
    lines_of(folder / "digits-pixperm-perm-v0.json.partial", 2, process)
    os.kill(process.pid, signal.SIGKILL)
    ended(process)
    names = sorted(os.listdir(folder))
    finished = folder / next(name for name in names if name.endswith(".json"))
    before = finished.stat().st_mtime_ns
    assert command(*asked, "--learner-arg", "pause=0.004", "--resume")[0] == 0
    assert finished.stat().st_mtime_ns == before
    assert all(name.endswith(".json") for name in os.listdir(folder))
    assert len(os.listdir(folder)) == 4

    status, out, err = command(*asked, "--learner-arg", "pause=0.004", "--resume", "--audit", "quick")
    assert (status, out) == (2, "")
    assert "this result is of another evaluation" in err
    assert 'audit = "off"' in err


def test_resume_where_nothing_was_begun_starts(tmp_path, slow):
    output = tmp_path / "a.json"
    assert command(slow, "--num-tasks", 3, "--output", output, "--resume")[0] == 0
    assert load_result(output).setting.num_tasks == 3


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--resume"], "--resume needs --output"),
        (["--workers", "0"], "workers is out of range"),
        (["--workers", "-1"], "workers is out of range"),
        (["--workers", "1000000000"], "workers is out of range"),
        (["--workers", "x"], "--workers"),
        (["--workers", "2", "--suite", "offline-v0", "--output", "new", "--num-tasks", "0"], "num_tasks"),
    ],
)
def test_bad_options_are_named_and_leave_nothing(tmp_path, slow, monkeypatch, arguments, says):
    status, out, err = command(slow, *arguments, cwd=tmp_path)
    assert (status, out) == (2, "")
    assert says in err
    assert "Traceback" not in err
    assert set(os.listdir(tmp_path)) <= {"slow.py", "__pycache__"}


def test_a_journal_that_is_a_folder_is_named(tmp_path, slow):
    (tmp_path / "a.json.partial").mkdir()
    status, _, err = command(slow, "--num-tasks", 3, "--output", tmp_path / "a.json")
    assert status == 2
    assert "a.json.partial" in err
    assert "Traceback" not in err
