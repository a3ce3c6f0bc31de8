"""A whole hidden round, and everything that tries to bend one."""

import hashlib
import json
import os
import shutil
import stat
from copy import deepcopy
from dataclasses import replace
from datetime import UTC, datetime, timedelta, timezone

import numpy as np
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from gpicl_bench import evaluate, load_result, make
from gpicl_bench.commands import main
from gpicl_bench.errors import InvalidArgument, RoundError
from gpicl_bench.evaluation.planning import asked_of
from gpicl_bench.evaluation.results import LearnerRecord, Provenance, Result, Times
from gpicl_bench.leaderboard import round_scoring, rounds
from gpicl_bench.leaderboard.entry import entry_digest, field_digests, sealed
from gpicl_bench.leaderboard.hidden_round import LONGEST_REASON, MOST, plain, stamp, validated
from gpicl_bench.leaderboard.hidden_round import sealed as sealed_round
from gpicl_bench.leaderboard.reading import write_entry
from gpicl_bench.leaderboard.rerun import Limits
from gpicl_bench.leaderboard.round_files import read_round, round_path, write_round
from gpicl_bench.leaderboard.round_secret import read_secret
from gpicl_bench.leaderboard.round_seed import commitment, list_sha256, seed
from gpicl_bench.learners import load_learner

SUITE, OTHER = "digits-proj-perm-v0", "random-none-perm-v0"
NUM_TASKS = 6
DAY = {f"{hour:02}": datetime(2030, 1, 1, hour, tzinfo=UTC) for hour in range(24)}
# committed at 01, organisers close at 06, all close at 12, the public value is known from 18
ANNOUNCED = {
    "suites": [SUITE, OTHER],
    "organisers_close": "2030-01-01T06:00:00Z",
    "close": "2030-01-01T12:00:00Z",
    "public": "the hash of block 900000 of a chain, 64 lower-case hex digits",
    "known": "2030-01-01T18:00:00Z",
}

CENTROID = """
import numpy as np

def learner(context_x, context_y, query_x):
    seen = np.unique(context_y)
    if len(seen) == 0:
        return np.zeros(1, int)
    centres = np.stack([context_x[context_y == c].mean(axis=0) for c in seen])
    return seen[((centres - query_x[0]) ** 2).sum(axis=1).argmin()][None]

learner.card = {"meta_training": "none"}
"""
# Reads a file of the entry from its working folder; imports a neighbour; refuses company that is not listed.
CONSTANT = """
import json, os
import numpy as np
from beside import SHIFT

def make_learner(info, weights, twist):
    assert not os.path.exists("unlisted.py")
    answer = json.load(open(weights))["answer"] + SHIFT + twist
    def learner(context_x, context_y, query_x):
        return np.array([answer % info.C])
    return learner
"""
SEEDED = """
import numpy as np

def make_learner(info, seed):
    def learner(context_x, context_y, query_x):
        return np.array([(seed + len(context_y)) % info.C])
    learner.card = {"meta_training": {"suite": info.id, "seed": seed}}
    return learner
"""
LEAKY = """
import numpy as np
import gpicl_bench

@gpicl_bench.sequence_learner
def learner(x, y):
    return np.eye(10)[y]
"""
RAISES = "def learner(context_x, context_y, query_x):\n    raise ValueError('not \\x1b[31m today')\n"
DIES = "import os\n\ndef learner(context_x, context_y, query_x):\n    os._exit(7)\n"
HANGS = "import time\n\ndef learner(context_x, context_y, query_x):\n    time.sleep(600)\n"
NONSENSE = """
import os, sys

def learner(context_x, context_y, query_x):
    for end in map(int, os.listdir("/proc/self/fd")):
        try:
            os.write(end, b"\\7" * 5000)
        except OSError:
            pass
"""
OBJECTS = """
import os, sys

with open(sys.argv[1] + "/failure.json", "w") as file:
    file.write('{"learner": false, "what": "I object"}')
os._exit(1)
"""
# What a learner does beside answering as the centroid does.
LITTERS = """
import os
for name in ("failure.json", "run0.json", "learner.json"):
    open(name, "w").write("{")
    os.mkdir(name[:-5])
os.remove("learner.py")
os.chmod("run0", 0)
"""
SPLITS = """
import os, time
if os.fork() == 0:
    os.setsid()
    if os.fork() == 0:
        while True:
            time.sleep(0.1)
    os._exit(0)
"""
PATCHES = """
import numpy as np
import gpicl_bench.evaluation.asking as asking
import gpicl_bench.leaderboard.round_scoring as scoring
from gpicl_bench.evaluation.results import Result

def judged(tasks, y, answers, *rest):
    return asking.Answered(tasks, y, np.ones(y.shape, bool), None, *rest)

asking.judged = scoring.judged = judged
Result.score = 1.0
"""
REACHES = """
from pathlib import Path
import numpy as np
from gpicl_bench import load_result, make, provenance
from gpicl_bench.evaluation.planning import asked_of
from gpicl_bench.evaluation.results import Result, Times
from gpicl_bench.leaderboard.round_files import read_round

folder, suite = Path("FOLDER"), "digits-proj-perm-v0"
results = folder / "rounds" / "r" / suite
split = make(suite).at_round(read_round(folder, "r").revealed.seed).meta_test
y = np.stack([split.labels(i) for i in range(6)])
record = load_result(folder / suite / "e1" / "result0.json").learner
wrong = ((y + 1) % 10).astype(np.int16)
(results / "e1").mkdir(parents=True)
times = Times("", 0.0, 0.0, 0.0, 0.0)
Result(asked_of(split, 6), record, provenance(), times, None, wrong, wrong == y, None).save(results / "e1" / "run0.json")
(results / "e2" / "run0.json").mkdir(parents=True)
"""


def fields(name, files, suite=SUITE, args=None, runs=({},), cards=({},), audit="labels withheld", **other):
    """The fields of an entry whose learner is `learner.py`; its numbers are made up, for nobody here verifies them."""
    claimed = {
        "num_tasks": 4096,
        "score": 0.9,
        "score_interval": [0.8, 1.0],
        "over": "tasks",
        "last": 99,
        "accuracy": 0.9,
    }
    claimed |= {"accuracy_interval": [0.8, 1.0], "audit": audit, "diagnosis": "general learning"}
    unknown = ("parameters", "state_bytes", "meta_training_seconds", "meta_training_hardware")
    return {
        "format": "gpicl-bench-entry/1",
        "suite": suite,
        "name": name,
        "authors": ["A. Nonymous"],
        "link": None,
        "licence": "MIT",
        "description": "",
        "track": "none",
        "learner": {"file": "learner.py", "args": args or {}},
        "runs": [
            {"args": each, "card": card, "result": f"result{i}.json", "diagnosis": "diagnosis.json"}
            for i, (each, card) in enumerate(zip(runs, cards, strict=True))
        ],
        "search": {"selection": "none", "trials": 1, "note": ""},
        "hardware": "cpu",
        "command": "",
        "files": {place: hashlib.sha256(content.encode()).hexdigest() for place, content in files.items()},
        "claimed": {**claimed, **dict.fromkeys(unknown), "episode_seconds": 0.1},
        **other,
    }


def write(folder, name, learner=CENTROID, suite=SUITE, more=None, args=None, runs=({},), cards=({},), **other):
    """An entry with its files; its path. Its results are of the learner, and made up."""
    home = folder / suite / name
    home.mkdir(parents=True, exist_ok=True)
    setting, source = asked_of(make(suite).meta_test, 1), hashlib.sha256(learner.encode()).hexdigest()
    nothing = np.zeros((1, setting.num_examples), np.int16)
    results = {}
    for i, (each, card) in enumerate(zip(runs, cards, strict=True)):
        record = LearnerRecord(name, "callable", True, source, {**(args or {}), **each}, card)
        where, times = Provenance({}, "", "cpu", None), Times("", 0.0, 0.0, 0.0, 0.0)
        place = home / f"result{i}.json"
        Result(setting, record, where, times, None, nothing, nothing == 1, None).save(place)
        results[place.name] = place.read_text()
    files = {"learner.py": learner, "diagnosis.json": "{}", **results, **(more or {})}
    for place, content in files.items():
        (home / place).parent.mkdir(parents=True, exist_ok=True)
        (home / place).write_text(content)
    path = folder / suite / f"{name}.yaml"
    write_entry(sealed(fields(name, files, suite, args, runs, cards, **other)), path)
    return path


def committed(folder, name="r", **other):
    """A round that was just announced; the folder of leaderboards and the secret's file."""
    folder.mkdir(exist_ok=True)
    secret = folder.parent / f"{name}.secret"
    rounds.commit(folder, name, secret, DAY["01"], **{**ANNOUNCED, **other})
    return folder, secret


def revealed(folder, *learners):
    """A round with an entry for each learner, up to the reveal."""
    _, secret = committed(folder)
    for i, learner in enumerate(learners):
        rounds.enter(folder, "r", write(folder, f"e{i}", learner), False, DAY["07"])
    rounds.close(folder, "r", DAY["12"])
    return rounds.reveal(folder, "r", secret, "abc", DAY["18"])


def says(*parts):
    """A context in which a RoundError with these parts is raised."""
    return pytest.raises(RoundError, match="(?s)" + ".*".join(parts))


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    """A round from beginning to end: the folder, and the round after each phase."""
    folder = tmp_path_factory.mktemp("round") / "leaderboards"
    phases = {}
    _, secret = committed(folder)
    phases["commit"] = read_round(folder, "r")
    cards = [{"meta_training": {"suite": SUITE, "seed": s}} for s in (1, 2, 3)]
    seeded = {"learner": SEEDED, "runs": [{"seed": s} for s in (1, 2, 3)], "cards": cards, "track": "same"}
    constant = {
        "more": {"beside.py": "SHIFT = 1\n", "weights/w.json": '{"answer": 2}'},
        "args": {"weights": "weights/w.json"},
    }
    entries = {
        "organisers": {},
        "constant": {"learner": CONSTANT, "runs": [{"twist": 4}], **constant},
        "constant_too": {"learner": CONSTANT, "runs": [{"twist": 14}], **constant},
        "seeded": seeded,
        "leaky": {"learner": LEAKY},
        "leaky_too": {"learner": LEAKY, "audit": "failed"},
        "stranger": {"more": {"learner.py": CENTROID + "\n"}},
        "spoilt": {"more": {"result0.json": "{}"}},
        "raises": {"learner": RAISES},
        "dies": {"learner": DIES},
        "altered": {},
        "altered_file": {},
        "withdrawn": {},
    }
    paths = {name: write(folder, name, **about) for name, about in entries.items()}
    for name, path in paths.items():
        rounds.enter(folder, "r", path, name == "organisers", DAY["05"] if name == "organisers" else DAY["11"])
    elsewhere = write(folder, "elsewhere", suite=OTHER)
    rounds.enter(folder, "r", elsewhere, False, DAY["11"])
    phases["enter"] = read_round(folder, "r")
    with says("the entry is late", "before 2030-01-01T12:00:00Z", "late"):
        rounds.enter(folder, "r", write(folder, "late"), False, DAY["12"])
    rounds.close(folder, "r", DAY["13"])
    phases["close"] = read_round(folder, "r")
    rounds.reveal(folder, "r", secret, "abc", DAY["18"])
    phases["reveal"] = read_round(folder, "r")
    write(folder, "altered", description="better than ever")
    (folder / SUITE / "altered_file" / "learner.py").write_text(CENTROID + "\n")
    paths["withdrawn"].unlink()
    (folder / SUITE / "constant" / "unlisted.py").write_text("")
    round_scoring.score(folder, "r", NUM_TASKS, now=DAY["20"])
    phases["score"] = read_round(folder, "r")
    return folder, secret, phases


def test_every_entry_has_what_it_deserves(whole):
    _, _, phases = whole
    found = {score.name: score for score in phases["score"].scores.entries}
    assert {name: score.verdict for name, score in found.items()} == {
        "organisers": "scored", "constant": "scored", "constant_too": "scored", "seeded": "scored", "elsewhere": "scored",
        "leaky": "scored", "leaky_too": "audit failed", "raises": "failed", "dies": "failed",
        "stranger": "failed", "spoilt": "failed",
        "altered": "altered", "altered_file": "altered", "withdrawn": "withdrawn",
    }  # fmt: skip
    ended = "the learner's process ended early: status"
    assert found["raises"].reason.startswith(f"{ended} 1: the learner raised an error: ValueError: not")
    assert found["dies"].reason == f"{ended} 7: no message"
    assert found["stranger"].reason.startswith("a result is of another learner's file: ")
    assert found["spoilt"].reason.startswith("the file has the wrong fields: ")
    assert "learner.py" not in found["altered"].reason
    assert found["withdrawn"].reason == "the entry was withdrawn: no such file"
    assert [found[name].evidence for name in ("leaky", "leaky_too")] == ["audit: labels withheld", "audit: failed"]
    assert found["leaky"].score == pytest.approx(0, abs=0.05)  # it reads labels, and they are nobody's
    assert [name for name, score in found.items() if score.organiser] == ["organisers"]
    assert "late" not in found


def test_the_scores_are_those_of_the_harness_on_the_round(whole):
    folder, _, phases = whole
    suite = make(SUITE).at_round(phases["reveal"].revealed.seed)
    found = {score.name: score for score in phases["score"].scores.entries}
    learner = load_learner(folder / SUITE / "organisers" / "learner.py", suite.info)
    expected = evaluate(learner, suite, NUM_TASKS)
    assert found["organisers"].score == expected.score
    assert found["organisers"].score_interval == pytest.approx(expected.score_interval)
    assert found["organisers"].over == "tasks"
    public = evaluate(learner, SUITE, NUM_TASKS)
    assert public.score != expected.score
    constant = evaluate(lambda context_x, context_y, query_x: [7], suite, NUM_TASKS)  # 2 + 1 + 4
    assert found["constant"].score == constant.score
    kept = load_result(folder / "rounds" / "r" / SUITE / "organisers" / "run0.json")
    assert kept.setting.task_set == f"meta_test@{phases['reveal'].revealed.seed}"
    assert kept.setting.of_record == "no"
    assert (kept.prediction == evaluate(learner, suite, NUM_TASKS).prediction).all()
    assert (kept.outcome == evaluate(learner, suite, NUM_TASKS).outcome).all()


def test_the_ranking(whole):
    """By hand: 1, 2, 3 … by score, equal ones by name."""
    scores = whole[2]["score"].scores.entries
    here = [score for score in scores if score.suite == SUITE]
    numbers = {score.name: score.score for score in here if score.verdict == "scored"}
    ordered = sorted(numbers, key=lambda name: (-numbers[name], name))
    assert {s.name: s.rank for s in here if s.rank} == {name: rank for rank, name in enumerate(ordered, 1)}
    ranks = {score.name: score.rank for score in here}
    assert ranks["organisers"] == 1
    assert numbers["constant"] == numbers["constant_too"]
    assert ranks["constant"] + 1 == ranks["constant_too"]
    assert ranks["leaky_too"] is ranks["withdrawn"] is None
    assert [score.rank for score in scores if score.suite == OTHER] == [1]
    assert [score.rank is None for score in here] == sorted(score.rank is None for score in here)
    seeded = next(score for score in here if score.name == "seeded")
    assert (seeded.over, len(seeded.results)) == ("runs", 3)
    paths = [whole[0] / "rounds" / "r" / SUITE / "seeded" / f"run{i}.json" for i in range(3)]
    assert seeded.score == pytest.approx(sum(load_result(path).score for path in paths) / 3)


def test_commitment_list_and_seed_by_hand(whole):
    """With hashlib alone, from what is published and what was in the secret's file."""
    _, secret, phases = whole
    hidden, kept = phases["reveal"], json.loads(secret.read_text())
    both = bytes.fromhex(kept["secret"]) + bytes.fromhex(kept["nonce"])
    assert (len(both), len(set(both)) > 30) == (64, True)
    assert phases["commit"].commitment.sha256 == hashlib.sha256(both).hexdigest()
    digests = [entered.digest for entered in hidden.entered]
    assert hidden.closed.digests == sorted(digests) != digests
    lines = "".join(sorted(f"{digest}\n" for digest in digests))
    assert hidden.closed.sha256 == hashlib.sha256(lines.encode()).hexdigest()
    assert list_sha256(digests) == list_sha256(digests[::-1]) == hidden.closed.sha256
    assert hidden.revealed.seed == by_hand(kept["secret"], hidden.closed.sha256, "abc")
    assert (hidden.revealed.secret, hidden.revealed.nonce) == (kept["secret"], kept["nonce"])


def by_hand(secret, entries, value):
    text = value.encode()
    whole = b"\0" * 7 + b"\x18gpicl-bench/1/round-seed" + b"\0" * 7 + b" " + bytes.fromhex(secret)
    whole += b"\0" * 7 + b" " + bytes.fromhex(entries) + len(text).to_bytes(8, "big") + text
    return hashlib.sha256(whole).hexdigest()


@given(st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32), st.text(st.characters(codec="utf-8")))
def test_any_seed_by_hand_and_another_from_anything_else(secret, entries, value):
    found = seed(secret, entries.hex(), value)
    assert found == by_hand(secret.hex(), entries.hex(), value)
    others = [
        seed(secret[1:] + secret[:1], entries.hex(), value) if len(set(secret)) > 1 else None,
        seed(secret, list_sha256([entries.hex()]), value),
        seed(secret, entries.hex(), value + "0"),
        seed(secret, entries.hex(), "0" + value),
    ]
    assert found not in others
    assert make(SUITE).at_round(found).meta_test.task_set == f"meta_test@{found}"


def test_each_phase_adds_its_part_and_leaves_the_rest(whole):
    parts = {name: plain(phase) for name, phase in whole[2].items()}
    added = {"closed": "close", "revealed": "reveal", "scores": "score"}
    order = list(parts)
    for part, phase in added.items():
        assert [name for name in order if part in parts[name]] == order[order.index(phase) :]
    for earlier, later in (("enter", "close"), ("close", "reveal"), ("reveal", "score")):
        for name, value in parts[earlier].items():
            assert name in ("digests", "digest") or parts[later][name] == value
    assert parts["commit"]["entered"] == []
    assert "secret" not in json.dumps(parts["close"])


def test_the_secret_stays_secret(tmp_path):
    folder, secret = committed(tmp_path / "leaderboards")
    assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    kept = json.loads(secret.read_text())
    published = round_path(folder, "r").read_text()
    assert kept["secret"] not in published
    assert kept["nonce"] not in published
    assert kept["secret"] not in repr(read_secret(secret, "r"))
    before = secret.read_bytes()
    with says("never overwritten", str(secret)):
        rounds.commit(folder, "other", secret, DAY["01"], **ANNOUNCED)
    assert secret.read_bytes() == before
    assert not round_path(folder, "other").exists()
    link = tmp_path / "link"
    link.symlink_to(tmp_path / "target")
    with says("never overwritten"):
        rounds.commit(folder, "other", link, DAY["01"], **ANNOUNCED)
    for inside in (folder / "s", folder / "rounds" / "s", folder / SUITE / ".." / "s"):
        with says("would be published"):
            rounds.commit(folder, "other", inside, DAY["01"], **ANNOUNCED)
    (tmp_path / "way").symlink_to(folder)
    with says("would be published"):
        rounds.commit(folder, "other", tmp_path / "way" / "s", DAY["01"], **ANNOUNCED)
    with says("cannot be written"):
        rounds.commit(folder, "other", tmp_path / "nowhere" / "s", DAY["01"], **ANNOUNCED)
    another = committed(folder, "another")[1]
    assert json.loads(another.read_text())["secret"] != kept["secret"]


def test_no_round_without_its_secret_and_no_secret_without_its_round(tmp_path):
    folder = tmp_path / "leaderboards"
    folder.mkdir()
    (folder / "rounds").write_text("in the way")
    with says("the round cannot be written"):
        committed(folder)
    assert not (tmp_path / "r.secret").exists()


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"close": "2030-01-01T05:00:00Z"}, ["out of order", "close after organisers_close", "05:00:00Z"]),
        ({"close": "2030-01-01T06:00:00Z"}, ["out of order"]),
        ({"known": "2030-01-01T12:00:00Z"}, ["out of order", "public.known after close"]),
        ({"organisers_close": "2030-01-01T01:00:00Z"}, ["organisers_close after committed"]),
        ({"close": "2030-01-01 12:00"}, ["close is malformed", "2026-09-30T12:00:00Z", "2030-01-01 12:00"]),
        ({"close": "2030-02-30T12:00:00Z"}, ["close is malformed"]),
        ({"close": "2030-01-01T12:00:00+00:00"}, ["close is malformed"]),
        ({"close": "２030-01-01T12:00:00Z"}, ["close is malformed"]),
        ({"close": "2030-01-01T12:00:00Z\n"}, ["close is malformed"]),
        ({"public": ""}, ["public.what is malformed"]),
        ({"public": "two\nlines"}, ["public.what is malformed"]),
        ({"suites": []}, ["suites is malformed"]),
        ({"suites": [SUITE, SUITE]}, ["twice", SUITE]),
        ({"suites": ["digits-proj-perm-v9"]}, ["no such version", "v9"]),
        ({"suites": ["../digits"]}, ["a round has suites"]),
    ],
)  # fmt: skip
def test_what_cannot_be_announced(change, parts, tmp_path):
    with says(*parts):
        committed(tmp_path / "leaderboards", **change)
    assert os.listdir(tmp_path) == ["leaderboards"]
    assert os.listdir(tmp_path / "leaderboards") == []


@pytest.mark.parametrize("name", ["", "../x", "a/b", "A", ".a", "a" * 65, "a\n", "ä"])
def test_names_that_are_no_names(name, tmp_path):
    for call in (
        lambda: committed(tmp_path / "leaderboards", name) if "/" not in name else round_path(tmp_path, name),
        lambda: read_round(tmp_path, name),
    ):
        with says("name of the round is malformed"):
            call()


def test_a_round_is_announced_once(tmp_path):
    folder, _ = committed(tmp_path / "leaderboards")
    before = round_path(folder, "r").read_bytes()
    with says("exists already"):
        rounds.commit(folder, "r", tmp_path / "new", DAY["01"], **ANNOUNCED)
    assert round_path(folder, "r").read_bytes() == before
    assert not (tmp_path / "new").exists()


def test_who_may_enter_and_when(tmp_path):
    folder, _ = committed(tmp_path / "leaderboards", suites=[SUITE])
    path = write(folder, "a")
    with says("an organiser's entry is late", "06:00:00Z", "close first"):
        rounds.enter(folder, "r", path, True, DAY["06"])
    rounds.enter(folder, "r", path, True, DAY["06"] - timedelta(seconds=1))
    with says("entered already", "a"):
        rounds.enter(folder, "r", path, False, DAY["07"])
    with says("altered after it entered", "digest"):
        rounds.enter(folder, "r", write(folder, "a", description="better"), False, DAY["07"])
    with says("not in the round", OTHER):
        rounds.enter(folder, "r", write(folder, "b", suite=OTHER), False, DAY["07"])
    with says("the entry is late", "got: 2030-01-01T12:00:00Z"):
        rounds.enter(folder, "r", write(folder, "c"), False, DAY["12"])
    with says("out of order"):  # the clock went back
        rounds.enter(folder, "r", folder / SUITE / "c.yaml", False, DAY["04"])
    tokyo = datetime(2030, 1, 1, 21, tzinfo=timezone(timedelta(hours=9)))  # 12:00 in UTC
    with says("the entry is late"):
        rounds.enter(folder, "r", folder / SUITE / "c.yaml", False, tokyo)
    with says("no time zone"):
        rounds.enter(folder, "r", folder / SUITE / "c.yaml", False, datetime(2030, 1, 1, 7))
    hidden = rounds.enter(folder, "r", folder / SUITE / "c.yaml", False, DAY["12"] - timedelta(microseconds=1))
    assert [entered.name for entered in hidden.entered] == ["a", "c"]
    rounds.close(folder, "r", DAY["12"])
    with says("is late"):
        rounds.enter(folder, "r", write(folder, "d"), False, DAY["13"])
    with says("is closed", "before 2030-01-01T12:00:00Z"):  # whatever the clock says
        rounds.enter(folder, "r", folder / SUITE / "d.yaml", False, DAY["11"])


def test_an_entry_enters_whole_and_from_its_place(tmp_path):
    folder, _ = committed(tmp_path / "leaderboards")
    home = folder / SUITE / "a"

    def enter(path=folder / SUITE / "a.yaml"):
        return rounds.enter(folder, "r", path, False, DAY["07"])

    with says("cannot enter", "a.yaml"):
        enter()
    write(folder, "a")
    (home / "learner.py").write_text("other")
    with says("altered", "got: [0-9a-f]{64}", "learner.py"):
        enter()
    (home / "learner.py").unlink()
    with says("altered", "missing.*learner.py"):
        enter()
    (home / "learner.py").mkdir()
    with says("altered", "missing.*learner.py"):
        enter()
    (home / "learner.py").rmdir()
    os.mkfifo(home / "learner.py")
    with says("altered", "missing.*learner.py"):
        enter()
    (home / "learner.py").unlink()
    (tmp_path / "learner.py").write_text(CENTROID)
    (home / "learner.py").symlink_to(tmp_path / "learner.py")
    with says("altered", "a link"):
        enter()
    home.rename(tmp_path / "a")
    home.symlink_to(tmp_path / "a")
    with says("altered", "a link"):
        enter()
    home.unlink()
    path = write(folder, "a", more={"in/side.py": ""})
    shutil.move(home / "in", tmp_path / "in")
    (home / "in").symlink_to(tmp_path / "in")
    with says("altered", "a link"):
        enter()
    stranger = write(tmp_path / "others", "a")
    with says("lies elsewhere", str(folder), "others"):
        enter(stranger)
    path.write_text(path.read_text().replace("MIT", "GPL"))
    with says("cannot enter", "altered", "licence"):
        enter()
    write(folder, "a")
    assert len(enter().entered) == 1


def test_phases_come_in_order(tmp_path):
    folder, secret = committed(tmp_path / "leaderboards")
    path = write(folder, "a")
    rounds.enter(folder, "r", path, False, DAY["07"])
    with says("cannot close yet", "12:00:00Z or later"):
        rounds.close(folder, "r", DAY["11"])
    with says("not closed"):
        rounds.reveal(folder, "r", secret, "abc", DAY["18"])
    with says("not revealed"):
        round_scoring.score(folder, "r", NUM_TASKS)
    with says("too late to close", "before 2030-01-01T18:00:00Z"):
        rounds.close(folder, "r", DAY["18"])
    rounds.close(folder, "r", DAY["12"])
    with says("closed already"):
        rounds.close(folder, "r", DAY["13"])
    with says("cannot be known yet", "18:00:00Z or later"):
        rounds.reveal(folder, "r", secret, "abc", DAY["17"])
    with says("not revealed"):
        round_scoring.score(folder, "r", NUM_TASKS)
    for value in ("", " abc", "abc\n", "a\nb", "\x00"):
        with says("revealed.value is malformed"):
            rounds.reveal(folder, "r", secret, value, DAY["18"])
    rounds.reveal(folder, "r", secret, "abc", DAY["18"])
    with says("revealed already"):
        rounds.reveal(folder, "r", secret, "abd", DAY["19"])
    with pytest.raises(InvalidArgument, match="num_tasks"):
        round_scoring.score(folder, "r", 0)


@pytest.mark.parametrize(
    ("change", "parts"),
    [
        ({"nonce": "0" * 64}, ["not the nonce"]),
        ({"secret": "0" * 64}, ["not the secret", "tampered"]),
        ({"secret": "0" * 64, "nonce": "0" * 64}, ["not the nonce"]),
        ({"nonce": "0" * 62}, ["nonce is malformed"]),
        ({"secret": "0" * 66}, ["secret is malformed"]),
        ({"secret": 7}, ["secret is malformed"]),
        ({"round": "s"}, ["of another round", "got: .*, s"]),
        ({"format": "x"}, ["of another round"]),
        ({"more": 1}, ["no secret of a round"]),
    ],
)
def test_secrets_that_are_not_the_secret(change, parts, tmp_path):
    folder, secret = committed(tmp_path / "leaderboards")
    rounds.close(folder, "r", DAY["12"])
    before, kept = round_path(folder, "r").read_bytes(), json.loads(secret.read_text())
    secret.write_text(json.dumps({**kept, **change}))
    with says(*parts) as caught:
        rounds.reveal(folder, "r", secret, "abc", DAY["18"])
    assert kept["secret"] not in str(caught.value)
    assert kept["nonce"] not in str(caught.value)
    assert round_path(folder, "r").read_bytes() == before


def test_a_secret_and_its_nonce_cannot_be_exchanged_or_borrowed(tmp_path):
    folder, secret = committed(tmp_path / "leaderboards")
    _, other = committed(folder, "s")
    rounds.close(folder, "r", DAY["12"])
    with says("of another round"):
        rounds.reveal(folder, "r", other, "abc", DAY["18"])
    kept = json.loads(secret.read_text())
    secret.write_text(json.dumps({**kept, "secret": kept["nonce"], "nonce": kept["secret"]}))
    with says("not the nonce"):
        rounds.reveal(folder, "r", secret, "abc", DAY["18"])
    for content in (b"", b"[]", b"\xff", b"{" * 5000, b'{"secret": 1}'):
        secret.write_bytes(content)
        with says("secret"):
            rounds.reveal(folder, "r", secret, "abc", DAY["18"])
    with says("cannot be read"):
        rounds.reveal(folder, "r", tmp_path / "nowhere", "abc", DAY["18"])


def rewritten(folder, change):
    """The round file after a change of its fields, with or without digests that fit."""
    path = round_path(folder, "r")
    content = yaml.safe_load(path.read_text())
    change(content)
    path.write_text(yaml.safe_dump(content, sort_keys=False))


def resealed(change):
    def both(content):
        change(content)
        own = {name: value for name, value in content.items() if name not in ("digest", "digests")}
        content["digests"] = field_digests(own)
        content["digest"] = entry_digest(content["digests"])

    return both


def at(*keys, to):
    def change(content):
        for key in keys[:-1]:
            content = content[key]
        content[keys[-1]] = to

    return change


EDITS = {
    "commitment": (at("commitment", "sha256", to="0" * 64), "not the secret"),
    "public": (at("public", "known", to="2030-01-01T19:00:00Z"), "cannot be known yet"),
    "close": (at("close", to="2030-01-01T10:30:00Z"), "the entry is late"),
    "organisers_close": (at("organisers_close", to="2030-01-01T05:00:00Z"), "an organiser's entry is late"),
    "entered": (lambda c: c["entered"].pop(), "closed list is not that of the entries"),
    "closed": (lambda c: c["closed"]["digests"].reverse(), "closed list is not that of the entries"),
    "revealed": (at("revealed", "value", to="abd"), "seed does not follow"),
    "scores": (lambda c: c["scores"]["entries"].reverse(), "ranking does not follow"),
}


@pytest.fixture
def copied(whole, tmp_path):
    """A copy of the whole round to be spoilt."""
    (tmp_path / "rounds").mkdir()
    shutil.copy(round_path(whole[0], "r"), tmp_path / "rounds")
    return tmp_path


@pytest.mark.parametrize("part", EDITS)
def test_an_edit_is_named_and_with_other_digests_it_contradicts_the_rest(part, copied):
    change, contradiction = EDITS[part]
    before = round_path(copied, "r").read_bytes()
    rewritten(copied, change)
    with says(f"the round was edited: {part}\n", "r.yaml"):
        read_round(copied, "r")
    round_path(copied, "r").write_bytes(before)
    rewritten(copied, resealed(change))
    with says(contradiction, "r.yaml"):
        read_round(copied, "r")


@pytest.mark.parametrize(
    ("change", "contradiction"),
    [
        (lambda c: c.pop("revealed"), "not revealed"),
        (lambda c: (c.pop("closed"), c.pop("scores")), "not closed"),
        (lambda c: c["scores"]["entries"].pop(), "scores are not those of the entries"),
        (
            lambda c: c["scores"]["entries"].append(deepcopy(c["scores"]["entries"][-1])),
            "scores are not those of the entries",
        ),
        (at("scores", "entries", 0, "score", to=None), "contradicts its verdict"),
        (at("scores", "entries", 0, "score", to=-1.0), "ranking does not follow"),
        (at("closed", "sha256", to="0" * 64), "hash of the closed list"),
        (at("closed", "time", to="2030-01-01T19:00:00Z"), "too late to close"),
        (at("revealed", "seed", to="0" * 64), "seed does not follow"),
        (at("revealed", "nonce", to="0" * 64), "not the nonce"),
        (lambda c: c["entered"].append(deepcopy(c["entered"][-1])), "twice"),
        (at("name", to="s"), "of another round"),
        (at("scores", "time", to="2030-01-01T17:00:00Z"), "out of order"),
        (at("format", to="gpicl-bench-round/2"), "format is malformed"),
    ],
)
def test_other_contradictions(change, contradiction, copied):
    rewritten(copied, resealed(change))
    with says(contradiction):
        read_round(copied, "r")


def test_a_lost_part_is_noticed(copied):
    def drop(content):
        del content["scores"], content["digests"]["scores"]

    rewritten(copied, drop)
    with says("the round was edited", "digest"):
        read_round(copied, "r")


PLAIN = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=9) | st.just("0" * 64),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=5), inner, max_size=3),
    max_leaves=5,
)


def places(value, path=()):
    """Every place in plain values."""
    yield path
    children = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in children:
        yield from places(child, (*path, key))


@pytest.fixture(scope="module")
def target(whole, tmp_path_factory):
    """The whole round's text, and a folder for its mutants."""
    folder = tmp_path_factory.mktemp("mutants")
    (folder / "rounds").mkdir()
    return folder, round_path(whole[0], "r").read_bytes()


def read_or_refused(folder):
    """The round, or None where it is refused by an error that names the file. Any other error is a failure."""
    try:
        return read_round(folder, "r")
    except RoundError as error:
        message = str(error)
    assert "r.yaml" in message
    return None


@given(st.data())
def test_no_mutant_is_read_as_another_round(target, data):
    folder, text = target
    original = yaml.safe_load(text)
    path = data.draw(st.sampled_from([p for p in places(original) if p]))
    fits = data.draw(st.booleans())
    change = at(*path, to=data.draw(PLAIN))
    round_path(folder, "r").write_bytes(text)
    try:
        rewritten(folder, resealed(change) if fits else change)
    except (ValueError, TypeError, UnicodeError):
        return  # this value has no digest
    found = read_or_refused(folder)
    if found is None:
        return
    mutant = yaml.safe_load(round_path(folder, "r").read_text())
    assert plain(found) == {name: value for name, value in mutant.items() if value is not None}
    assert fits or plain(found) == original


@given(st.data())
def test_no_bytes_crash_the_reader(target, data):
    folder, text = target
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start, min(len(text), start + 200)))
    round_path(folder, "r").write_bytes(text[:start] + data.draw(st.binary(max_size=20)) + text[end:])
    found = read_or_refused(folder)
    assert found is None or plain(found) == yaml.safe_load(text)


def test_a_round_is_not_written_where_it_would_not_be_read(whole, tmp_path):
    bad = plain(whole[2]["score"])
    bad["revealed"]["seed"] = "0" * 64
    with says("seed does not follow"):
        write_round(tmp_path, validated(bad))
    assert os.listdir(tmp_path) == []
    with says("cannot be read", "r.yaml"):
        read_round(tmp_path, "r")


def test_scores_are_final_and_results_are_kept(tmp_path, monkeypatch):
    folder = tmp_path / "leaderboards"
    hidden = revealed(folder, CENTROID)
    before = round_path(folder, "r").read_bytes()
    output = folder / "rounds" / "r" / SUITE / "e0" / "run0.json"
    first = round_scoring.score(folder, "r", NUM_TASKS, now=DAY["20"])
    with says("scored already"):
        round_scoring.score(folder, "r", NUM_TASKS, now=DAY["20"])
    round_path(folder, "r").write_bytes(before)  # as if it had been interrupted
    with says("another evaluation: num_tasks", "expected: 7", "got: 6", "run0.json"):
        round_scoring.score(folder, "r", NUM_TASKS + 1)
    monkeypatch.setattr(round_scoring, "asking", None)  # nobody is asked again
    assert round_scoring.score(folder, "r", NUM_TASKS, now=DAY["20"]) == first
    round_path(folder, "r").write_bytes(before)
    kept = load_result(output)
    record, setting = kept.learner, kept.setting
    for fake, parts in (
        ({"setting": replace(setting, task_set=f"meta_test@{'0' * 64}")}, ["tasks", hidden.revealed.seed, "0{64}"]),
        ({"setting": replace(setting, num_classes=32767)}, ["number of classes", "expected: 10", "got: 32767"]),
        ({"setting": replace(setting, images="train")}, ["images"]),
        ({"setting": replace(setting, learner_seed=1)}, ["learner seed"]),
        ({"learner": replace(record, source_sha256="0" * 64)}, ["learner"]),
        ({"outcome": np.ones_like(kept.outcome)}, ["an outcome contradicts the label"]),
    ):
        replace(kept, **fake).save(output)
        with says("another evaluation", *parts, "run0.json"):
            round_scoring.score(folder, "r", NUM_TASKS)
    output.write_text("{}")
    with says("wrong fields", "run0.json"):
        round_scoring.score(folder, "r", NUM_TASKS)
    output.unlink()
    output.parent.rmdir()
    output.parent.symlink_to(tmp_path)
    with says("written elsewhere"):
        round_scoring.score(folder, "r", NUM_TASKS)


def test_a_learner_that_hangs_has_failed(tmp_path):
    folder = tmp_path / "leaderboards"
    revealed(folder, HANGS)
    hidden = round_scoring.score(folder, "r", NUM_TASKS, limits=Limits(seconds=1.0), now=DAY["20"])
    assert hidden.scores.entries[0].reason == "the learner did not answer in time"
    assert not (folder / "rounds" / "r" / SUITE / "e0").exists()


def test_nobody_can_veto_a_round_or_bend_it(tmp_path):
    """Whatever a learner does to its process, its folder and its package: each has its own score, by our labels."""
    folder = tmp_path / "leaderboards"
    reaches = REACHES.replace("FOLDER", str(folder.absolute())) + CENTROID
    honest = [CENTROID, CENTROID + "\n", LITTERS + CENTROID, SPLITS + CENTROID, PATCHES + CENTROID]
    revealed(folder, reaches, *honest, NONSENSE, OBJECTS, DIES, "x = 1", "import nothing_like_it", CENTROID + "#")
    hidden = round_scoring.score(folder, "r", NUM_TASKS, limits=Limits(seconds=60.0), now=DAY["20"])
    suite = make(SUITE).at_round(hidden.revealed.seed)
    expected = evaluate(load_learner(folder / SUITE / "e1" / "learner.py", suite.info), suite, NUM_TASKS)
    found = {score.name: score for score in hidden.scores.entries}
    lost = {f"e{i}" for i in range(6, 11)}
    assert {name for name, score in found.items() if score.verdict == "failed"} == lost
    for name in set(found) - lost:
        assert (found[name].verdict, found[name].score) == ("scored", expected.score)
        kept = load_result(folder / "rounds" / "r" / SUITE / name / "run0.json")
        assert (kept.prediction == expected.prediction).all()
        assert (kept.outcome == expected.outcome).all()
    assert "nothing_like_it" in found["e10"].reason
    assert read_round(folder, "r") == hidden


def test_the_commands(tmp_path, monkeypatch, capsys):
    """A whole round at the command line; the clock is that of the module."""

    class Clock(datetime):
        at = "01"

        @classmethod
        def now(cls, zone):
            return DAY[cls.at]

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("gpicl_bench.commands.rounds.datetime", Clock)
    monkeypatch.setattr("gpicl_bench.leaderboard.round_scoring.datetime", Clock)

    def run(*arguments, hour, status=0):
        Clock.at = hour
        assert main(["round", *map(str, arguments)]) == status
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return said.err if status else said.out

    path = write(tmp_path / "leaderboards", "mine")
    times = (
        "--organisers-close",
        ANNOUNCED["organisers_close"],
        "--close",
        ANNOUNCED["close"],
        "--known",
        ANNOUNCED["known"],
    )
    announce = ("commit", "r", "--suite", SUITE, "--public", "a block", *times, "--secret", "secret")
    said = run(*announce, hour="01")
    hidden = read_round(tmp_path / "leaderboards", "r")
    assert hidden.commitment.sha256 in said
    assert "leaderboards/rounds/r.yaml" in said
    assert "error: this round exists already" in run(*announce, hour="01", status=2)
    assert "an organiser's entry is late" in run("enter", "r", path, "--organiser", hour="07", status=2)
    said = run("enter", "r", "leaderboards/digits-proj-perm-v0/mine.yaml", hour="07")
    digest = read_round(tmp_path / "leaderboards", "r").entered[0].digest
    assert digest in said
    assert "cannot close yet" in run("close", "r", hour="07", status=2)
    assert digest in run("close", "r", hour="12")
    assert "cannot be known yet" in run("reveal", "r", "--secret", "secret", "--value", "abc", hour="12", status=2)
    said = run("reveal", "r", "--secret", "secret", "--value", "abc", hour="18")
    assert read_round(tmp_path / "leaderboards", "r").revealed.seed in said
    said = run("score", "r", "--num-tasks", NUM_TASKS, hour="20")
    (score,) = read_round(tmp_path / "leaderboards", "r").scores.entries
    low, high = score.score_interval
    assert f"    1  mine  {score.score:.3f} ({low:.3f} to {high:.3f}) over tasks; audit: labels withheld" in said
    assert commitment(bytes(32), bytes(32)).sha256 == hashlib.sha256(bytes(64)).hexdigest()


def test_the_ranking_tells_what_became_of_every_entry(whole, capsys):
    from gpicl_bench.commands.rounds import _print_ranking

    _print_ranking(whole[2]["score"])
    said = capsys.readouterr().out
    assert "withdrawn: the entry was withdrawn: no such file" in said
    assert "an organiser's; audit: labels withheld" in said
    assert "audit: failed" in said
    for score in whole[2]["score"].scores.entries:
        assert f"  {score.name} " in said


def test_the_largest_round_can_still_be_read(whole, tmp_path):
    """Every entry with the longest name and the worst of reasons."""
    content = plain(whole[2]["score"])
    names = [f"{i:064}" for i in range(MOST)]
    digests = sorted(hashlib.sha256(name.encode()).hexdigest() for name in names)
    who = [{"digest": d, "suite": SUITE, "name": n, "organiser": False} for d, n in zip(digests, names, strict=True)]
    none = dict.fromkeys(("rank", "score", "score_interval", "over"))
    lost = {"verdict": "failed", "reason": "\U0001f600" * LONGEST_REASON, "evidence": "", "results": [], **none}
    content["entered"] = [{**each, "time": "2030-01-01T07:00:00Z"} for each in who]
    content["closed"] |= {"digests": digests, "sha256": list_sha256(digests)}
    content["revealed"]["seed"] = by_hand(content["revealed"]["secret"], list_sha256(digests), "abc")
    content["scores"]["entries"] = [{**each, **lost} for each in who]
    hidden = sealed_round({name: value for name, value in content.items() if not name.startswith("digest")})
    write_round(tmp_path, hidden)
    assert read_round(tmp_path, "r") == hidden


def test_the_help_says_that_code_runs(capsys):
    with pytest.raises(SystemExit):
        main(["round", "score", "--help"])
    assert "THIS RUNS THE CODE" in capsys.readouterr().out


def test_stamps_are_ordered_as_times_are():
    assert stamp(DAY["09"]) < stamp(DAY["10"]) < stamp(datetime(2031, 1, 1, tzinfo=UTC))
