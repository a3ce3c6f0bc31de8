"""Whether the parts of a round follow from each other: whoever reads a round file checks it, seed included."""

from collections import Counter
from itertools import pairwise

from gpicl_bench.errors import RoundError
from gpicl_bench.leaderboard.hidden_round import Entered, HiddenRound, Revealed, Score
from gpicl_bench.leaderboard.round_seed import commitment, list_sha256, seed


def check_history(hidden: HiddenRound) -> None:
    """Check everything that needs no other file.

    Raises:
        RoundError: times are out of order, an entry is late or there twice, the list is not that of the entries, or
            secret, nonce, seed or ranking do not follow.
    """
    _check_announcement(hidden)
    for entered in hidden.entered:
        check_in_time(hidden, entered)
    _check_once([entered.digest for entered in hidden.entered])
    _check_once([f"{entered.suite}/{entered.name}" for entered in hidden.entered])
    _check_order([("committed", hidden.committed), *((e.name, e.time) for e in hidden.entered)], equal=True)
    _check_closed(hidden)
    _check_revealed(hidden)
    _check_scores(hidden)


def check_in_time(hidden: HiddenRound, entered: Entered) -> None:
    """Check suite and time of an entry."""
    if entered.suite not in hidden.suites:
        raise RoundError(
            "this suite is not in the round",
            expected=", ".join(hidden.suites),
            got=entered.suite,
            where=f"{entered.name}, round {hidden.name}",
        )
    whose, end = ("an organiser's", hidden.organisers_close) if entered.organiser else ("the", hidden.close)
    if entered.time >= end:
        hint = "organisers' own entries close first" if entered.organiser else "it can enter another round"
        raise RoundError(
            f"{whose} entry is late",
            expected=f"before {end}",
            got=entered.time,
            where=f"{entered.suite}/{entered.name}, round {hidden.name}",
            hint=hint,
        )


def check_secret(hidden: HiddenRound, secret: bytes, nonce: bytes) -> None:
    """Check secret and nonce against the commitment."""
    found = commitment(secret, nonce)
    if found.nonce_sha256 != hidden.commitment.nonce_sha256:
        raise RoundError(
            "this is not the nonce that was committed to",
            expected=f"SHA-256 {hidden.commitment.nonce_sha256}",
            got=found.nonce_sha256,
            where=f"round {hidden.name}",
        )
    if found.sha256 != hidden.commitment.sha256:
        raise RoundError(
            "this is not the secret that was committed to: it was tampered with",
            expected=f"SHA-256 {hidden.commitment.sha256} of secret ‖ nonce",
            got=found.sha256,
            where=f"round {hidden.name}",
        )


def ranked(scores: list[Score]) -> list[Score]:
    """Scores with their ranks, suite by suite: 1, 2, 3 … by score, equal ones by name; then those without a rank."""
    counts: Counter[str] = Counter()
    found = []
    for score in sorted(scores, key=_place):
        counts[score.suite] += score.verdict == "scored"
        found.append(score.model_copy(update={"rank": counts[score.suite] if score.verdict == "scored" else None}))
    return found


def _place(score: Score) -> tuple[str, bool, float, str]:
    counts = score.verdict == "scored"
    return score.suite, not counts, -(score.score or 0.0) if counts else 0.0, score.name


def _check_announcement(hidden: HiddenRound) -> None:
    _check_once(hidden.suites)
    times = [(name, getattr(hidden, name)) for name in ("committed", "organisers_close", "close")]
    _check_order([*times, ("public.known", hidden.public.known)])


def _check_order(times: list[tuple[str, str]], equal: bool = False) -> None:
    for (first, one), (second, other) in pairwise(times):
        if one > other or (one == other and not equal):
            raise RoundError(
                "the times of the round are out of order",
                expected=f"{second} after {first}, {one}",
                got=f"{second}: {other}",
            )


def _check_once(names: list[str]) -> None:
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise RoundError("something is in the round twice", expected="once", got=twice[0])


def check_closing(hidden: HiddenRound, time: str) -> None:
    """Check the time of closing: after the last entry may come in, and before the public value may be known."""
    if time < hidden.close:
        raise RoundError("the round cannot close yet", expected=f"{hidden.close} or later", got=time)
    if time >= hidden.public.known:
        raise RoundError(
            "it is too late to close the round",
            expected=f"before {hidden.public.known}, when the public value may be known",
            got=time,
            hint="nobody could tell that the list was not chosen by the seed: commit to another round",
        )


def _check_closed(hidden: HiddenRound) -> None:
    closed = hidden.closed
    if closed is None:
        return
    check_closing(hidden, closed.time)
    wanted = sorted(entered.digest for entered in hidden.entered)
    if closed.digests != wanted:
        stray = sorted(set(wanted) ^ set(closed.digests))
        raise RoundError(
            "the closed list is not that of the entries",
            expected="the digests of all entries, ascending",
            got=f"{len(closed.digests)} digests for {len(wanted)} entries"
            + (f"; differs: {stray[0]}" if stray else ""),
        )
    found = list_sha256(closed.digests)
    if closed.sha256 != found:
        raise RoundError("the hash of the closed list is another", expected=found, got=closed.sha256)


def check_revealing(hidden: HiddenRound, time: str) -> None:
    """Check the time of the reveal."""
    if hidden.closed is None:
        raise RoundError("the round is not closed", expected="`round close` first", where=f"round {hidden.name}")
    if time < hidden.public.known:
        raise RoundError("the public value cannot be known yet", expected=f"{hidden.public.known} or later", got=time)


def round_seed(hidden: HiddenRound, secret: bytes, value: str) -> str:
    """The seed of a closed round."""
    assert hidden.closed is not None  # check_revealing came first
    return seed(secret, hidden.closed.sha256, value)


def _check_revealed(hidden: HiddenRound) -> None:
    revealed = hidden.revealed
    if revealed is None:
        return
    check_revealing(hidden, revealed.time)
    check_secret(hidden, bytes.fromhex(revealed.secret), bytes.fromhex(revealed.nonce))
    found = round_seed(hidden, bytes.fromhex(revealed.secret), revealed.value)
    if revealed.seed != found:
        raise RoundError("the seed does not follow from secret, list and value", expected=found, got=revealed.seed)


def revealed_part(hidden: HiddenRound) -> Revealed:
    """The reveal, without which nothing can be scored."""
    if hidden.revealed is None:
        raise RoundError(
            "the round is not revealed", expected="`round reveal` first: the seed comes with it", where=hidden.name
        )
    return hidden.revealed


def _check_scores(hidden: HiddenRound) -> None:
    scores = hidden.scores
    if scores is None:
        return
    _check_order([("revealed", revealed_part(hidden).time), ("scores", scores.time)], equal=True)
    of_entries = {(e.digest, e.suite, e.name, e.organiser) for e in hidden.entered}
    of_scores = [(s.digest, s.suite, s.name, s.organiser) for s in scores.entries]
    if set(of_scores) != of_entries or len(of_scores) != len(of_entries):
        raise RoundError(
            "the scores are not those of the entries",
            expected=f"one for each of {len(of_entries)} entries",
            got=f"{len(of_scores)} scores",
        )
    for score in scores.entries:
        if (score.verdict in ("scored", "audit failed")) != (score.score is not None):
            raise RoundError("a score contradicts its verdict", got=f"{score.verdict}: {score.score}", where=score.name)
    if ranked(scores.entries) != scores.entries:
        raise RoundError("the ranking does not follow from the scores", expected="ranks by score, suite by suite")
