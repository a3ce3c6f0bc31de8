"""The file with an organiser's secret and nonce: for its owner's eyes, and never published before the reveal."""

import json
import os
import re
import secrets
from dataclasses import dataclass
from pathlib import Path

from gpicl_bench.errors import RoundError
from gpicl_bench.leaderboard.round_seed import SIZE

FORMAT = "gpicl-bench-round-secret/1"
_LARGEST = 10_000  # bytes of a file


@dataclass(frozen=True, repr=False)
class Secret:
    """Of one round; it does not show itself in messages."""

    round: str
    secret: bytes
    nonce: bytes


def drawn(name: str) -> Secret:
    """A new secret for a round, from the system's generator."""
    return Secret(name, secrets.token_bytes(SIZE), secrets.token_bytes(SIZE))


def write_secret(secret: Secret, path: Path) -> None:
    """Write a new file that only its owner can read.

    Raises:
        RoundError: something is there already, or it cannot be written.
    """
    fields = {"format": FORMAT, "round": secret.round, "secret": secret.secret.hex(), "nonce": secret.nonce.hex()}
    try:
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)  # follows no link either
        with open(file, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(fields, indent=1) + "\n")
            stream.flush()
            os.fsync(file)
    except FileExistsError as error:
        raise RoundError(
            "a secret is never overwritten", expected="a new file", got=str(path), hint="choose another --secret"
        ) from error
    except (OSError, ValueError) as error:
        got = getattr(error, "strerror", None) or str(error)
        raise RoundError("the secret cannot be written", got=got, where=str(path)) from error


def read_secret(path: Path, name: str) -> Secret:
    """The secret of the round `name`. It is not compared with the commitment here.

    Raises:
        RoundError: the file cannot be read, is no secret, or is that of another round. No message has its content.
    """
    try:
        with path.open("rb") as file:
            fields = json.loads(file.read(_LARGEST))
    except (OSError, ValueError, RecursionError) as error:
        got = getattr(error, "strerror", None) or type(error).__name__
        raise RoundError("the secret cannot be read", got=got, where=str(path)) from None
    if not isinstance(fields, dict) or set(fields) != {"format", "round", "secret", "nonce"}:
        raise RoundError("this is no secret of a round", expected="the file of `round commit`", where=str(path))
    if fields["format"] != FORMAT or fields["round"] != name:
        got = f"{str(fields['format'])[:80]}, {str(fields['round'])[:80]}"
        raise RoundError("this secret is of another round", expected=f"{FORMAT}, {name}", got=got, where=str(path))
    return Secret(name, *(_bytes(fields, part, path) for part in ("secret", "nonce")))


def _bytes(fields: dict[str, object], part: str, path: Path) -> bytes:
    text = fields[part]
    if not isinstance(text, str) or not re.fullmatch(f"[0-9a-f]{{{2 * SIZE}}}", text):
        raise RoundError(
            f"the {part} is malformed",
            expected=f"{2 * SIZE} lower-case hex digits",
            got="something else",
            where=str(path),
        )
    return bytes.fromhex(text)
