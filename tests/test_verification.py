"""Verification: honest entries pass, every forger is refuted, and a learner has no way to the labels."""

from pathlib import Path

import numpy as np
import pytest

from gpicl_bench.commands import main
from gpicl_bench.errors import EntryError, InvalidArgument
from gpicl_bench.evaluation.asking import episodes as drawn
from gpicl_bench.leaderboard.entry import plain
from gpicl_bench.leaderboard.reading import bundle, read_entry
from gpicl_bench.leaderboard.rerun import Limits, ask_again
from gpicl_bench.leaderboard.verification import TOLERANCE, chosen, ties, verify
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
        (lambda f: f["runs"][0].update(result="diagnoses/0.json"), "wrong fields"),
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
    (tmp_path / "learner.py").write_text(text)
    suite = make(entries.SUITE)
    block = drawn(suite.meta_test, [3, 1], 0)
    return ask_again(Path("learner.py"), tmp_path, args or {}, suite.info, block, positions, limits)


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
    with pytest.raises(EntryError, match=f"(?s){says}"):
        asked(tmp_path, HEAD + body, Limits(seconds, 2**31))


def test_what_a_learner_prints_disturbs_nothing(tmp_path):
    found = asked(
        tmp_path, HEAD + "print('x' * 100_000); os.write(1, b'y'); return np.array([len(context_y)])", Limits()
    )
    assert found.values.tolist() == [[0, 5], [0, 5]]


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
        found = asked(tmp_path, text, Limits())
    assert found.values.tolist() == [[2, 2], [2, 2]] if found.isolated else [[1, 1], [1, 1]]


def test_ties_are_excused_and_nothing_else():
    values = np.array([[[1.0, 1.0 + 0.5 * TOLERANCE, 0.0], [1.0, 1.1, 0.0]]])
    assert ties(values, np.zeros((1, 2), np.int16)).tolist() == [[True, False]]
    labels = np.array([[1, 2]])
    assert not ties(labels, np.zeros((1, 2), np.int16)).any()


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
