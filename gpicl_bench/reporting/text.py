"""Strings of files that others wrote, as people may see them."""

import unicodedata

_UNSEEN = {"Cc", "Cs", "Zl", "Zp"}  # control characters, halves of surrogate pairs, separators of lines
_TURNING = {*"\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"}  # they reorder what stands beside them


def plain(text: object) -> str:
    """One line of text that HTML, SVG and UTF-8 can hold: every other character becomes a replacement character.

    >>> plain("a\\nb")
    'a\ufffdb'
    """
    return "".join("\ufffd" if unicodedata.category(c) in _UNSEEN or c in _TURNING else c for c in str(text))


def shortened(text: str, longest: int) -> str:
    """At most so many characters: the beginning and the end.

    >>> shortened("a name that is long", 11)
    'a name…long'
    """
    if len(text) <= longest:
        return text
    end = longest * 2 // 5
    return f"{text[: longest - 1 - end].rstrip()}…{text[-end:].lstrip()}"
