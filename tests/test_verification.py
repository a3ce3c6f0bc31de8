"""Verification: honest entries pass, every forger is refuted, and a learner has no way to the labels."""

import time
from math import inf, nan

import numpy as np
import pytest

from gpicl_bench.commands import main
from gpicl_bench.errors import EntryError, InvalidArgument
from gpicl_bench.evaluation.asking import episodes as drawn
from gpicl_bench.leaderboard.entry import plain
from gpicl_bench.leaderboard.marking import mark
from gpicl_bench.leaderboard.reading import bundle, read_entry
from gpicl_bench.leaderboard.rerun import CouldNotAsk, Limits, asking
from gpicl_bench.leaderboard.verification import TOLERANCE, chosen, excusable, knows_public, verify
from gpicl_bench.registration import make
from tests import entries

SEED = "5" * 64


@pytest.fixture(autouse=True)
def quick(monkeypatch):
    entries.quick(monkeypatch)


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """One entry, which no test changes."""
    with pytest.MonkeyPatch.context() as patch:
        entries.quick(patch)
        yield entries.made(tmp_path_factory.mktemp("made"))


@pytest.fixture
def entry(made, tmp_path):
    """A copy of it, to be spoilt."""
    return entries.copied(made, tmp_path)


def test_an_honest_entry_is_verified(entry):
    before = read_entry(entry)
    found = verify(entry, num_tasks=4)
    assert (found.verdict, found.reason) == ("verified", "")
    assert (found.rerun, found.compared, found.differing) == (4, 400, 0)
    assert found.score == pytest.approx(before.claimed.score)
    assert found.accuracy == pytest.approx(before.claimed.accuracy)
    after = read_entry(entry)
    assert after.verified == found
    assert {**plain(after), "verified": None} == plain(before)


def test_all_tasks_can_be_asked_again(entry, capsys):
    assert main(["verify", str(entry), "--all"]) == 0
    assert read_entry(entry).verified.compared == 100 * entries.NUM_TASKS
    assert capsys.readouterr().out.splitlines()[-1] == f"written to {entry}"


def test_the_seed_repeats_the_choice_and_another_one_does_not():
    assert np.array_equal(chosen(4096, 64, SEED), chosen(4096, 64, SEED))
    assert not np.array_equal(chosen(4096, 64, SEED), chosen(4096, 64, "6" * 64))
    assert sorted(chosen(100, None, SEED).tolist()) == [*range(100)]
    assert chosen(100, None, SEED).tolist() != [*range(100)]
    assert len(set(chosen(4096, 64, SEED).tolist())) == 64


@pytest.mark.parametrize(("share", "count"), [(0.02, 32), (0.05, 32), (0.2, 8)])
def test_a_consistent_forger_escapes_as_seldom_as_the_formula_says(share, count):
    """Who made up a share p of the tasks escapes n with probability at most (1 - p)^n: measured on 4,000 choices."""
    num_tasks, trials = 1000, 4000
    forged = np.random.default_rng(1).choice(num_tasks, round(share * num_tasks), replace=False)
    escapes = (
        sum(not np.isin(chosen(num_tasks, count, f"{seed:064x}"), forged).any() for seed in range(trials)) / trials
    )
    bound = (1 - share) ** count
    spread = np.sqrt(bound * (1 - bound) / trials)
    assert escapes <= bound + 4 * spread
    assert escapes >= 0.8 * bound - 4 * spread  # without replacement it is a little less


def test_a_consistent_forger_is_refuted(entry):
    """Right predictions, made up, for half of the tasks; every digest and number made anew."""
    y = np.stack([make(entries.SUITE).meta_test.labels(i) for i in range(entries.NUM_TASKS)])

    def perfect(prediction, outcome):
        prediction[::2], outcome[::2] = y[::2], True
        return prediction, outcome

    honest = read_entry(entry).claimed.score
    entries.forged(entry, perfect)
    assert read_entry(entry).claimed.score > honest + 0.1
    found = verify(entry, num_tasks=16, seed=SEED)
    assert found.verdict == "refuted"
    assert "predicts something else" in found.reason
    assert read_entry(entry).verified.verdict == "refuted"


def test_outcomes_that_contradict_the_labels_are_refuted(entry):
    entries.forged(entry, lambda prediction, outcome: (prediction, np.ones_like(outcome)))
    found = verify(entry, num_tasks=1)
    assert (found.verdict, found.score, found.rerun) == ("refuted", None, 0)
    assert "an outcome contradicts the label" in found.reason


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda f: f["claimed"].update(score=0.99), "score does not follow"),
        (lambda f: f["claimed"].update(accuracy=0.99), "accuracy does not follow"),
        (lambda f: f["claimed"].update(score_interval=[0.1, 0.2]), "score_interval does not follow"),
        (lambda f: f["claimed"].update(audit="failed"), "audit does not follow"),
        (lambda f: f["claimed"].update(diagnosis="general learning"), "diagnosis does not follow"),
        (lambda f: f["claimed"].update(state_bytes=1), "state_bytes does not follow"),
        (lambda f: f["claimed"].update(parameters=7), "parameters does not follow"),
        (lambda f: f.update(track="open"), "the track does not follow"),
        (lambda f: f["runs"][0].update(card={}), "a result is of another card"),
        (lambda f: f["runs"][0].update(args={"a": 1}), "a result is of another arguments"),
        (lambda f: f["learner"].update(file="metric.py"), "a result is of another learner's file"),
        (lambda f: f["runs"][0].update(result="diagnoses/0.json"), "this is a diagnosis file"),
        (lambda f: f["runs"].append(f["runs"][0]), "no two runs"),
    ],
)
def test_claims_that_do_not_follow_are_refuted(entry, change, says):
    entries.sealed_again(entry, change)
    found = verify(entry, num_tasks=1)
    assert found.verdict == "refuted"
    assert says in found.reason


def test_an_altered_file_is_no_verdict(entry):
    (bundle(entry) / "metric.py").write_text("import numpy as np\n")
    before = entry.read_bytes()
    with pytest.raises(EntryError, match="altered"):
        verify(entry, num_tasks=1)
    assert entry.read_bytes() == before


def test_one_result_shown_for_two_suites_is_refuted(entry):
    other = "digits-none-perm-v0"
    moved = entry.parents[1] / other / entry.name
    moved.parent.mkdir()
    bundle(entry).rename(bundle(moved))
    fields = plain(read_entry(entry))
    from gpicl_bench.leaderboard.entry import sealed
    from gpicl_bench.leaderboard.reading import write_entry

    kept = {k: v for k, v in fields.items() if k not in ("digests", "digest", "verified", "marks")}
    write_entry(sealed({**kept, "suite": other}), moved)
    found = verify(moved, num_tasks=1)
    assert found.verdict == "refuted"
    assert "another suite" in found.reason


LEAK = """
import numpy as np
import gpicl_bench

@gpicl_bench.sequence_learner
def learner(x, y):
    return np.eye(10, dtype=np.float32)[y]

learner.card = {"meta_training": "none"}
"""

FRAMES = """
import sys
import numpy as np

def learner(context_x, context_y, query_x):
    k, frame = len(context_y), sys._getframe()
    while frame:
        for value in frame.f_locals.values():
            y = getattr(value, "y", value)
            if isinstance(y, np.ndarray) and y.ndim == 2 and y.shape[1] == 100 and y.dtype == np.int32:
                row = np.flatnonzero((y[:, :k] == context_y).all(axis=1))
                return y[row[:1], k]
        frame = frame.f_back
    return np.zeros(1, int)
"""


@pytest.mark.parametrize(
    "text", [LEAK, FRAMES], ids=["a sequence learner that reads y", "a callable that reads frames"]
)
def test_a_learner_that_reads_labels_is_refuted(text, tmp_path):
    path = entries.made(tmp_path, text)
    assert read_entry(path).claimed.accuracy > 0.9
    found = verify(path, num_tasks=4)
    assert found.verdict == "refuted"
    assert "predicts something else" in found.reason


def asked(tmp_path, text, limits, args=None, positions=(0, 5)):
    """The answers of a learner in a process of its own, and whether it was isolated."""
    (tmp_path / "learner.py").write_text(text)
    suite = make(entries.SUITE)
    block = drawn(suite.meta_test, [3, 1], 0)
    with asking("learner.py", tmp_path, args or {}, suite.info, limits) as learner:
        return learner.answers(block, positions), learner.isolated


HEAD = "import os, socket, sys, time\nimport numpy as np\ndef learner(context_x, context_y, query_x):\n    "


@pytest.mark.parametrize(
    ("body", "says"),
    [
        ("time.sleep(60)", "did not answer in time"),
        ("os._exit(3)", "status 3"),
        ("sys.exit(0)", "raised an error"),
        ("return np.ones(10**11)", "memory|allocate"),
        ("return np.array([11])", "out of range"),
        ("raise ValueError('no')", "ValueError: no"),
        ("os.close(4); os.close(5); os.close(6); return np.array([1])", "ended early"),
    ],
)
def test_a_learner_that_misbehaves_is_an_error(body, says, tmp_path):
    seconds = 3.0 if "sleep" in body else 60.0
    with pytest.raises(CouldNotAsk, match=f"(?s){says}"):
        asked(tmp_path, HEAD + body, Limits(seconds, 2.0**31))


def test_what_a_learner_prints_disturbs_nothing(tmp_path):
    found, _ = asked(
        tmp_path, HEAD + "print('x' * 100_000); os.write(1, b'y'); return np.array([len(context_y)])", Limits()
    )
    assert found.tolist() == [[0, 5], [0, 5]]


def test_the_learner_has_no_network_and_no_secrets(tmp_path, monkeypatch):
    """Where the system allows it; where not, the verdict says so."""
    import socket

    monkeypatch.setenv("SECRET_TOKEN", "secret")
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
        text = HEAD + (
            "try:\n"
            f"        socket.create_connection(('127.0.0.1', {port}), 1)\n"
            "        return np.array([1])\n"
            "    except OSError:\n"
            "        return np.array([2 + ('SECRET_TOKEN' in os.environ)])\n"
        )
        found, isolated = asked(tmp_path, text, Limits())
    assert found.tolist() == ([[2, 2], [2, 2]] if isolated else [[1, 1], [1, 1]])


def test_ties_are_excused_and_nothing_else():
    values = np.array([[[1.0, 1.0 + 0.5 * TOLERANCE, 0.0], [1.0, 1.1, 0.0]]])
    assert excusable(values, np.zeros((1, 2), np.int16)).tolist() == [[True, False]]
    labels = np.array([[1, 2]])
    assert not excusable(labels, np.zeros((1, 2), np.int16)).any()


def test_a_learner_that_is_all_ties_is_refuted(tmp_path):
    """Scores that differ by next to nothing would excuse any prediction."""
    text = """
import numpy as np
import gpicl_bench
from time import time_ns

@gpicl_bench.sequence_learner
def learner(x, y):
    return 1 + 1e-7 * np.random.default_rng(time_ns()).random((*y.shape, 10))
"""
    path = entries.made(tmp_path, text)
    found = verify(path, num_tasks=2)
    assert (found.verdict, found.differing) == ("refuted", 0)
    assert "ties" in found.reason


FORGED = """
import os, sys
import numpy as np
def learner(context_x, context_y, query_x):
    pipe = os.open(f"/proc/self/fd/{sys.argv[2]}", os.O_WRONLY)
    os.write(pipe, FRAME)
    os._exit(0)
"""


@pytest.mark.parametrize(
    "frame",
    [
        b"PK\3\4 a zip",
        b"\x93NUMPY\1\0v\0{'descr': '<f8', 'fortran_order': False, 'shape': (10**15,)}",
        b"\0" + np.full((2, 10), np.nan).tobytes(),
        b"\0" + np.full((2, 10), 1e300).tobytes(),
        b"\1" + np.array([0, 10]).tobytes(),
        b"\1" + np.array([0, -1]).tobytes(),
        b"\2",
        b"",
    ],
)
def test_what_a_process_sends_is_not_trusted(frame, tmp_path):
    with pytest.raises(EntryError, match="sent no answer|ended early"):
        asked(tmp_path, FORGED.replace("FRAME", repr(frame)), Limits(60.0))


def test_files_of_the_entry_do_not_stand_in_for_modules_of_python(tmp_path):
    """They would run before the process is isolated, and could say that it is."""
    for name in ("ctypes.py", "json.py", "os.py", "gpicl_bench.py"):
        (tmp_path / name).write_text("raise SystemExit('it ran')\n")
    found, _ = asked(tmp_path, HEAD + "return np.array([7])", Limits())
    assert found.tolist() == [[7, 7], [7, 7]]


def test_what_a_learner_starts_ends_with_it(tmp_path):
    """Where the system allows a namespace of processes: a daemon of its own session would rewrite the verdict."""
    text = HEAD + (
        "if os.fork() == 0:\n"
        "        os.setsid()\n"
        "        if os.fork() == 0:\n"
        "            for n in range(100):\n"
        "                open('alive', 'w').write(str(n))\n"
        "                time.sleep(0.05)\n"
        "        os._exit(0)\n"
        "    time.sleep(0.3)\n"
        "    return np.array([1])\n"
    )
    _, isolated = asked(tmp_path, text, Limits(60.0), positions=(0,))
    if not isolated:
        pytest.skip("this system has no user namespaces")
    before = (tmp_path / "alive").read_text()
    time.sleep(0.5)
    assert (tmp_path / "alive").read_text() == before


KNOWING = """
import numpy as np
import gpicl_bench

public = gpicl_bench.make("digits-proj-perm-v0").meta_test
known = {public.episode(i).x[0].tobytes(): i for i in range(48)}

@gpicl_bench.sequence_learner
def learner(x, y):
    scores = np.zeros((*y.shape, 10))
    for row, episode in enumerate(x):
        if episode[0].tobytes() in known:
            scores[row] = np.eye(10)[public.episode(known[episode[0].tobytes()]).y]
    return scores
"""


def test_a_learner_that_knows_the_public_tasks_is_refuted(tmp_path):
    """It answers public tasks right every time, labels withheld or not; of fresh ones it knows nothing."""
    path = entries.made(tmp_path, KNOWING)
    assert read_entry(path).claimed.accuracy == 1
    found = verify(path, num_tasks=8)
    assert (found.verdict, found.differing) == ("refuted", 0)
    assert "better on public tasks than on fresh ones" in found.reason


def test_public_and_fresh_scores_are_compared_by_welch():
    rng = np.random.default_rng(0)
    level = [knows_public(rng.normal(0.7, 0.1, 4096), rng.normal(0.7, 0.1, 64)) for _ in range(500)]
    assert not any(level)
    assert knows_public(rng.normal(0.8, 0.1, 4096), rng.normal(0.7, 0.1, 64))
    assert not knows_public(rng.normal(0.6, 0.1, 4096), rng.normal(0.7, 0.1, 64))
    assert knows_public(np.ones(48), np.zeros(8))
    assert not knows_public(np.zeros(48), np.zeros(8))


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"num_classes": 32767}, "number of classes"),
        ({"images": "train"}, "images"),
        ({"learner_seed": 12345}, "learner seed"),
    ],
)
def test_a_result_of_another_question_is_refuted(entry, change, says):
    """With more classes chance is lower, and the same predictions have a higher score."""
    entries.asked_otherwise(entry, change)
    found = verify(entry, num_tasks=1)
    assert found.verdict == "refuted"
    assert f"another {says}" in found.reason


def test_an_honest_learner_that_cannot_run_here_is_not_refuted(tmp_path):
    path = entries.made(
        tmp_path,
        "import sys\nif len(sys.argv) == 4 and sys.argv[1].isdigit():\n    import equinoxxx\n" + entries.CENTROID,
    )
    found = verify(path, num_tasks=1)
    assert found.verdict == "not reproduced"
    assert "equinoxxx" in found.reason


def test_marks_set_during_a_verification_stay(entry):
    def say(line):
        if "files are" in line:
            mark(entry, unreliable="meanwhile")

    assert verify(entry, num_tasks=1, say=say).verdict == "verified"
    assert read_entry(entry).marks.unreliable == "meanwhile"


def test_impossible_limits_are_named_before_any_work():
    for seconds, memory in ((0.0, 8e9), (-5.0, 8e9), (nan, 8e9), (inf, 8e9), (1.0, 1.0), (1.0, inf), (1.0, nan)):
        with pytest.raises(InvalidArgument, match="limits"):
            Limits(seconds, memory)


def test_bad_arguments_are_named(entry):
    for arguments in ({"num_tasks": 0}, {"seed": "xyz"}, {"num_tasks": 10**9}):
        before = entry.read_bytes()
        with pytest.raises(InvalidArgument):
            verify(entry, **arguments)
        assert entry.read_bytes() == before


def test_the_command_says_what_was_refuted(entry, capsys):
    entries.sealed_again(entry, lambda fields: fields["claimed"].update(score=0.99))
    assert main(["verify", str(entry), "--num-tasks", "1"]) == 1
    assert "refuted: score does not follow" in capsys.readouterr().out
    assert main(["verify", str(entry.with_name("none.yaml"))]) == 2
