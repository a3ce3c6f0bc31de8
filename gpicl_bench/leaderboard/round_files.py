"""Rounds as files: read and checked from the digests to the seed, and written whole or not at all."""

from pathlib import Path

from pydantic import TypeAdapter, ValidationError

from gpicl_bench.errors import EntryError, ResultError, RoundError
from gpicl_bench.leaderboard.entry import Name, entry_digest, field_digests
from gpicl_bench.leaderboard.hidden_round import HiddenRound, plain, validated
from gpicl_bench.leaderboard.round_history import check_history
from gpicl_bench.leaderboard.yaml_files import read_yaml, write_yaml


def round_path(folder: Path, name: str) -> Path:
    """Where a round lies: `<folder>/rounds/<name>.yaml`.

    Raises:
        RoundError: this can be no name.
    """
    try:
        return folder / "rounds" / f"{TypeAdapter(Name).validate_python(name)}.yaml"
    except ValidationError as error:
        expected = "up to 64 of a-z, 0-9, _ and -, a letter or digit first"
        raise RoundError("the name of the round is malformed", expected=expected, got=repr(name)) from error


def read_round(folder: Path, name: str) -> HiddenRound:
    """A round, checked: schema, digests, place, and that each part follows from those before.

    Raises:
        RoundError: it cannot be read, is malformed, was edited, is another round's, or contradicts itself.
    """
    path = round_path(folder, name)
    try:
        fields = read_yaml(path)
        if not isinstance(fields, dict):
            raise RoundError("this is no round", expected="fields and values", got=type(fields).__name__)
        hidden = validated(fields)
        _check_digests(hidden)
        if hidden.name != name:
            raise RoundError("this file is of another round", expected=name, got=hidden.name)
        check_history(hidden)
    except (EntryError, RoundError) as error:
        raise _located(error, path) from error
    except (TypeError, ValueError) as error:  # JSON refuses keys and values that YAML has
        raise RoundError("this is no round", expected="plain values", got=str(error), where=str(path)) from error
    return hidden


def write_round(folder: Path, hidden: HiddenRound) -> Path:
    """Check a round as a reader would, and write it.

    Raises:
        RoundError: it contradicts itself, or cannot be written.
    """
    path = round_path(folder, hidden.name)
    check_history(hidden)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_yaml(path, plain(hidden))
    except (OSError, ResultError) as error:
        got = error.got if isinstance(error, ResultError) else error.strerror
        raise RoundError("the round cannot be written", got=got, where=str(path)) from error
    return path


def _check_digests(hidden: HiddenRound) -> None:
    found = field_digests(plain(hidden))
    edited = [name for name in sorted({*found, *hidden.digests}) if found.get(name) != hidden.digests.get(name)]
    if edited:
        raise RoundError(
            f"the round was edited: {', '.join(edited)}",
            expected="parts as their digests say",
            hint="take the file from the repository's history: the commands alone write it",
        )
    if entry_digest(hidden.digests) != hidden.digest:
        raise RoundError("the round was edited", expected=f"digest {hidden.digest}", got=entry_digest(hidden.digests))


def _located(error: EntryError | RoundError, path: Path) -> RoundError:
    where = str(path) if error.where in (None, str(path)) else f"{path}: {error.where}"
    return RoundError(error.what, expected=error.expected, got=error.got, where=where, hint=error.hint)
