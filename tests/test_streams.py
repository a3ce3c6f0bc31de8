"""Random words against published answers and an implementation in plain Python integers."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from gpicl_bench.errors import InvalidArgument
from gpicl_bench.streams import below, child_key, random_bytes, root_key, threefry2x32, words
from tests.samples import numbers64

MASK = 2**32 - 1
words32 = st.integers(0, MASK)


def plain_threefry(key, counter):
    """Threefry-2x32-20 as the paper writes it, on Python integers."""
    extended = [*key, 0x1BD11BDA ^ key[0] ^ key[1]]
    x = [(counter[0] + key[0]) & MASK, (counter[1] + key[1]) & MASK]
    for r in range(20):
        rotation = (13, 15, 26, 6, 17, 29, 16, 24)[r % 8]
        x[0] = (x[0] + x[1]) & MASK
        x[1] = ((x[1] << rotation) | (x[1] >> (32 - rotation))) & MASK
        x[1] ^= x[0]
        if r % 4 == 3:
            s = r // 4 + 1
            x = [(x[0] + extended[s % 3]) & MASK, (x[1] + extended[(s + 1) % 3] + s) & MASK]
    return x


@pytest.mark.parametrize(
    ("key", "counter", "result"),
    [
        ((0, 0), (0, 0), (0x6B200159, 0x99BA4EFE)),
        ((MASK, MASK), (MASK, MASK), (0x1CB996FC, 0xBB002BE7)),
        ((0x13198A2E, 0x03707344), (0x243F6A88, 0x85A308D3), (0xC4923A9C, 0x483DF7A0)),
    ],
)
def test_known_answers(key, counter, result):
    pairs = [tuple(np.array([word], np.uint32) for word in pair) for pair in (key, counter)]
    assert [int(word[0]) for word in threefry2x32(*pairs)] == list(result)


@given(words32, words32, numbers64)
def test_child_key_is_a_block_of_the_parent(k0, k1, i):
    child = child_key(np.array([k0, k1], np.uint32), i)
    assert child.tolist() == plain_threefry((k0, k1), (i >> 32, i & MASK))


@given(words32, words32, st.integers(0, 40))
def test_words_are_the_blocks_in_order(k0, k1, n):
    expected = [word for low in range((n + 1) // 2) for word in plain_threefry((k0, k1), (0, low))][:n]
    key = np.array([k0, k1], np.uint32)
    assert words(key, n).tolist() == expected
    assert random_bytes(key, n).tolist() == [(expected[b // 4] >> 8 * (b % 4)) & 255 for b in range(n)]


@given(words32, st.integers(1, 2**32))
def test_below_is_the_high_half_of_a_product(word, m):
    assert below(np.array([word], np.uint32), m).tolist() == [word * m // 2**32]


def test_root_key_is_the_head_of_sha256():
    # printf '' | sha256sum begins e3b0c442 98fc1c14
    assert root_key("").tolist() == [0xE3B0C442, 0x98FC1C14]


@pytest.mark.parametrize("i", [-1, 2**64])
def test_a_child_outside_64_bits_is_refused(i):
    with pytest.raises(InvalidArgument, match="from 0 to 18446744073709551615"):
        child_key(root_key("a"), i)
