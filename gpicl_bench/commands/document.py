"""`--json`: one JSON document on standard output, for programs."""

import argparse
import json
import math
import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, redirect_stdout, suppress
from typing import Any, TextIO

_reserved: list[TextIO] = []


def add_json(parser: argparse.ArgumentParser) -> None:
    """The option `--json`."""
    parser.add_argument(
        "--json", action="store_true", help="print one JSON document; everything else goes to standard error"
    )


@contextmanager
def reserved() -> Iterator[None]:
    """Within, standard output is kept for `write`: what learners and their processes print goes to standard error."""
    sys.stdout.flush()
    own = _own_descriptor()
    kept = os.fdopen(os.dup(own), "w", encoding="utf-8") if own is not None else sys.stdout
    if own is not None:
        os.dup2(sys.stderr.fileno(), own)
    _reserved.append(kept)
    try:
        with redirect_stdout(sys.stderr):
            yield
        kept.flush()
    finally:
        _reserved.pop()
        if own is not None:
            os.dup2(kept.fileno(), own)
            with suppress(OSError):  # of a full disk, which has been told
                kept.close()


def write(document: Mapping[str, Any]) -> None:
    """The document, whole or not at all; a number that is none (an interval of one task) is null."""
    text = json.dumps(_plain(document), indent=1, ensure_ascii=True, allow_nan=False)
    _reserved[-1].write(f"{text}\n")


def _own_descriptor() -> int | None:
    """The descriptor of standard output, if that and standard error are the process's own (they are not in tests)."""
    with suppress(OSError, AttributeError):  # a stream without a descriptor
        if (sys.stdout.fileno(), sys.stderr.fileno()) == (1, 2):
            return 1
    return None


def _plain(value: Any) -> Any:
    """Mappings, lists and numbers as JSON has them."""
    if isinstance(value, Mapping):
        return {str(key): _plain(each) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [_plain(each) for each in value]
    if hasattr(value, "tolist"):  # of NumPy
        return _plain(value.tolist())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
