"""The committed proofs belong to the current code and say what they must; a small share of them runs here."""

import json

import pytest

from tests.cheaters import CHEATERS
from tests.validation import FILE, HONEST, SEEDS, TRUTHS, audited, code, statistics

FOUND = json.loads(FILE.read_text())


def test_the_file_belongs_to_this_code():
    assert FOUND["code"] == code(), "run `python -m tests.validation`: the audit or the statistics have changed"


def test_every_cheater_was_caught_by_its_check():
    rows = FOUND["audits"]["cheaters"]
    assert set(rows) == set(CHEATERS)
    for name, row in rows.items():
        assert (row["right"], row["of"], row["check"]) == (SEEDS["cheaters"], SEEDS["cheaters"], CHEATERS[name][1])


def test_no_honest_learner_was_blamed():
    rows = FOUND["audits"]["honest"]
    assert set(rows) == set(HONEST)
    for row in rows.values():
        assert row["right"] == row["of"] >= 60
        assert row["comparisons"] > 0


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
