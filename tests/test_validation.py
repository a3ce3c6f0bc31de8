"""The committed proofs belong to the current code and say what they must; a small share of them runs here."""

import json

import pytest

from tests.cheaters import CHEATERS
from tests.planted import PLANTED
from tests.validation import CODE, FILE, HONEST, SEEDS, TRUTHS, audited, code, statistics

FOUND = json.loads(FILE.read_text())


def rows(section):
    return {name: row for name, row in FOUND[section].items() if isinstance(row, dict)}


@pytest.mark.parametrize("section", CODE)
def test_the_file_belongs_to_this_code(section):
    assert FOUND[section]["code"] == code(section), (
        f"run `python -m tests.validation {section}`: its subject has changed"
    )


def test_every_cheater_was_caught_by_its_check():
    assert set(rows("cheaters")) == set(CHEATERS)
    for name, row in rows("cheaters").items():
        assert (row["right"], row["of"], row["check"]) == (SEEDS["cheaters"], SEEDS["cheaters"], CHEATERS[name][1]), (
            name
        )


def test_no_honest_learner_was_blamed():
    assert set(rows("honest")) == set(HONEST)
    for row in rows("honest").values():
        assert row["right"] == row["of"] >= 60
        assert row["comparisons"] > 0


def test_every_planted_learner_was_diagnosed_right():
    assert {name: row["verdict"] for name, row in rows("phases").items()} == {name: p[1] for name, p in PLANTED.items()}
    assert all(row["right"] == row["of"] for row in rows("phases").values())
    assert sum(row["of"] for row in rows("phases").values()) >= 300


def gated(table):
    return {name: share for name, share in table.items() if "not gated" not in name}


@pytest.mark.parametrize("truths", [TRUTHS, 500])
def test_intervals_cover_and_tests_keep_their_level(truths):
    found = FOUND["statistics"] if truths == TRUTHS else statistics(truths)
    assert found["truths"] == truths
    slack = 0.0 if truths == TRUTHS else 5 * (0.05 * 0.95 / truths) ** 0.5
    for kind in ("coverage over tasks", "coverage over runs"):
        for table in found[kind].values():
            assert all(share >= 0.93 - slack for share in gated(table).values()), table
    noise = 3 * (0.05 * 0.95 / truths) ** 0.5  # of a simulated share whose truth is 5%
    assert all(share <= 0.05 + noise for share in found["false positives"].values()), found["false positives"]


def test_one_audit_of_each_kind_runs_here():
    assert audited("cheaters", "leak of 1e-4", 0)[0]
    assert audited("honest", "LSTM", 0)[0]
