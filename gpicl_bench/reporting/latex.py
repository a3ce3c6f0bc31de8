"""Tables for papers."""

import re
from collections.abc import Sequence

_SPECIAL = {
    "\\": r"\textbackslash{}",
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    "<": r"\textless{}",
    ">": r"\textgreater{}",
    "|": r"\textbar{}",
    **{character: f"\\{character}" for character in "{}$&#_%"},
}
_NUMBER = re.compile(r"(?<![\w.])[-−]?\d+\.\d+(?![\w.])")


def escaped(text: str) -> str:
    """Text that LaTeX prints as it is.

    >>> escaped("50%_{a}")
    '50\\\\%\\\\_\\\\{a\\\\}'
    """
    return "".join(_SPECIAL.get(character, character) for character in text)


def table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: str, label: str) -> str:
    """A table for the package booktabs; the first column holds names, the others numbers."""
    lines = [" & ".join(map(escaped, header)), *(" & ".join([_first(r[0]), *map(_cell, r[1:])]) for r in rows)]
    head, *body = (f"{line} \\\\" for line in lines)
    return "\n".join(
        [
            r"\begin{table}",
            r"\centering",
            rf"\caption{{{escaped(caption)}}}",
            rf"\label{{tab:{label}}}",
            rf"\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}",
            r"\toprule",
            head,
            r"\midrule",
            *body,
            r"\bottomrule",
            r"\end{tabular}",
            r"\end{table}",
        ]
    )


def _first(text: str) -> str:
    """The first cell of a row; a bracket or a star there would be an option of the row before."""
    return f"{{}}{escaped(text)}" if text.startswith(("[", "*")) else escaped(text)


def _cell(text: str) -> str:
    """Numbers in mathematics, where the minus is one."""
    return _NUMBER.sub(lambda found: f"${found[0].replace('−', '-')}$", escaped(text))
