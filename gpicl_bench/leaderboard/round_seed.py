"""The hashes of a hidden round. They need hashlib alone: anybody can repeat them."""

import hashlib
from collections.abc import Iterable

from gpicl_bench.leaderboard.hidden_round import Commitment

SIZE = 32  # bytes of the secret, and of the nonce
_DOMAIN = b"gpicl-bench/1/round-seed"


def commitment(secret: bytes, nonce: bytes) -> Commitment:
    """SHA-256 of secret ‖ nonce, 32 bytes each.

    The nonce, uniform like the secret, has a hash of its own: it tells nothing of either, and a wrong nonce can be told
    from a wrong secret.
    """
    return Commitment(sha256=hashlib.sha256(secret + nonce).hexdigest(), nonce_sha256=hashlib.sha256(nonce).hexdigest())


def list_sha256(digests: Iterable[str]) -> str:
    """SHA-256 of the digests in ascending order, each in hex with a line feed after it: what `sha256sum` says."""
    return hashlib.sha256("".join(f"{digest}\n" for digest in sorted(digests)).encode()).hexdigest()


def seed(secret: bytes, entries: str, value: str) -> str:
    """The seed of the tasks, 64 hex digits.

    SHA-256 over four parts, each after its length as 8 bytes, most significant first: the domain
    `gpicl-bench/1/round-seed`, the secret, the hash of the list of entries (32 bytes), and the public value in UTF-8.

    Args:
        secret: 32 bytes.
        entries: `list_sha256` of the closed list.
        value: the public value.
    """
    parts = (_DOMAIN, secret, bytes.fromhex(entries), value.encode())
    return hashlib.sha256(b"".join(len(part).to_bytes(8, "big") + part for part in parts)).hexdigest()
