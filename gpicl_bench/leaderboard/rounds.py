"""The phases of a hidden round: commit, enter, close, reveal; `round_scoring` has the last one.

Each takes the folder of leaderboards, the round's name and the time, reads the round, refuses what is not allowed, and
writes the round with one part more. `hidden_round` says what that protects from.
"""

from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from gpicl_bench.errors import EntryError, MalformedId, RoundError, SuiteNotFound
from gpicl_bench.leaderboard.frozen import entry_path, frozen_files
from gpicl_bench.leaderboard.hidden_round import FORMAT, Entered, HiddenRound, sealed, stamp, with_parts
from gpicl_bench.leaderboard.reading import read_entry
from gpicl_bench.leaderboard.round_files import read_round, round_path, write_round
from gpicl_bench.leaderboard.round_history import (
    check_closing,
    check_history,
    check_in_time,
    check_revealing,
    check_secret,
    round_seed,
)
from gpicl_bench.leaderboard.round_secret import drawn, read_secret, write_secret
from gpicl_bench.leaderboard.round_seed import commitment, list_sha256
from gpicl_bench.registration import spec


def commit(
    folder: Path,
    name: str,
    secret: Path,
    now: datetime,
    *,
    suites: Sequence[str],
    organisers_close: str,
    close: str,
    public: str,
    known: str,
) -> HiddenRound:
    """Announce a round: draw its secret, keep it in a new file, publish its hash.

    Args:
        folder: of leaderboards; `rounds/<name>.yaml` is written there.
        name: of the round.
        secret: the file for secret and nonce, outside `folder`.
        now: the time.
        suites: their ids.
        organisers_close: when the organisers' own entries close; UTC, as 2026-09-30T12:00:00Z.
        close: when all other entries close.
        public: the name of the public value, and exactly how it is written.
        known: the time before which nobody can know the public value.

    Raises:
        RoundError: the round exists, a suite does not, times are malformed or out of order, or the file for the secret
            exists or would be published.
    """
    path = round_path(folder, name)
    if path.exists():
        raise RoundError("this round exists already", expected="another name", got=name, where=str(path))
    if folder.resolve() in secret.resolve().parents:
        raise RoundError(
            "the secret would be published", expected=f"a file outside {folder}", got=str(secret), hint="--secret"
        )
    _check_suites(suites)
    drawing = drawn(name)
    hidden = sealed(
        {
            "format": FORMAT,
            "name": name,
            "suites": list(suites),
            "commitment": commitment(drawing.secret, drawing.nonce).model_dump(),
            "public": {"what": public, "known": known},
            "committed": stamp(now),
            "organisers_close": organisers_close,
            "close": close,
            "entered": [],
        }
    )
    check_history(hidden)
    write_secret(drawing, secret)  # first: a round whose secret could not be kept must not be announced
    try:
        write_round(folder, hidden)
    except RoundError:
        secret.unlink()
        raise
    return hidden


def enter(folder: Path, name: str, path: Path, organiser: bool, now: datetime) -> HiddenRound:
    """Freeze an entry: its digest, which its files hang on, stands in the round from now on.

    Args:
        folder: of leaderboards.
        name: of the round.
        path: of the entry, `<folder>/<suite>/<entry>.yaml`.
        organiser: whether it is one of the organisers' own.
        now: the time.

    Raises:
        RoundError: the entry is late, not of this round's suites, entered already, damaged, or lies elsewhere.
    """
    hidden = read_round(folder, name)
    try:
        entry = read_entry(path)
    except EntryError as error:
        raise RoundError(
            f"this entry cannot enter: {error.what}", expected=error.expected, got=error.got, where=error.where
        ) from error
    entered = Entered(digest=entry.digest, suite=entry.suite, name=entry.name, organiser=organiser, time=stamp(now))
    check_in_time(hidden, entered)
    if hidden.closed is not None:
        raise RoundError("the round is closed", expected=f"an entry before {hidden.closed.time}", got=entered.time)
    _check_new(hidden, entered)
    place = entry_path(folder, entered)
    if path.resolve() != folder.resolve() / place.relative_to(folder):
        raise RoundError("the entry lies elsewhere", expected=str(place), got=str(path), hint="put it there, no link")
    frozen_files(entry, path)
    frozen = [*hidden.entered, entered]
    hidden = with_parts(hidden, entered=[each.model_dump() for each in frozen])
    write_round(folder, hidden)
    return hidden


def close(folder: Path, name: str, now: datetime) -> HiddenRound:
    """Close a round: the sorted list of digests, and its hash.

    Raises:
        RoundError: it is too early, too late (the public value may be known), or the round is closed.
    """
    hidden = read_round(folder, name)
    if hidden.closed is not None:
        raise RoundError("the round is closed already", got=hidden.closed.time, where=f"round {name}")
    time, digests = stamp(now), sorted(entered.digest for entered in hidden.entered)
    check_closing(hidden, time)
    hidden = with_parts(hidden, closed={"time": time, "digests": digests, "sha256": list_sha256(digests)})
    write_round(folder, hidden)
    return hidden


def reveal(folder: Path, name: str, secret: Path, value: str, now: datetime) -> HiddenRound:
    """Reveal a round: secret, nonce and public value, and the seed that follows.

    Args:
        folder: of leaderboards.
        name: of the round.
        secret: the file of `commit`.
        value: the public value that was named in advance.
        now: the time.

    Raises:
        RoundError: the round is open or revealed, the value cannot be known yet, or secret or nonce are not those that
            were committed to.
    """
    hidden = read_round(folder, name)
    if hidden.revealed is not None:
        raise RoundError("the round is revealed already", got=hidden.revealed.time, where=f"round {name}")
    time = stamp(now)
    check_revealing(hidden, time)
    kept = read_secret(secret, name)
    check_secret(hidden, kept.secret, kept.nonce)
    revealed = {
        "time": time,
        "secret": kept.secret.hex(),
        "nonce": kept.nonce.hex(),
        "value": value,
        "seed": round_seed(hidden, kept.secret, value),
    }
    hidden = with_parts(hidden, revealed=revealed)
    write_round(folder, hidden)
    return hidden


def _check_suites(suites: Sequence[str]) -> None:
    for suite in suites:
        try:
            spec(suite)
        except (SuiteNotFound, MalformedId) as error:
            raise RoundError(
                f"a round has suites: {error.what}", expected=error.expected, got=repr(suite), hint=error.hint
            ) from error


def _check_new(hidden: HiddenRound, entered: Entered) -> None:
    for before in hidden.entered:
        if (before.suite, before.name) == (entered.suite, entered.name):
            same = before.digest == entered.digest
            raise RoundError(
                "this entry has entered already" if same else "the entry was altered after it entered",
                expected="another entry" if same else f"digest {before.digest}",
                got=entered.digest,
                where=f"{entered.suite}/{entered.name}, round {hidden.name}",
                hint=None if same else "another learner enters under another name",
            )
