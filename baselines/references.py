"""The learning curves of the reference learners, as the package carries them: `references.json`."""

import json
from collections.abc import Mapping
from pathlib import Path

from baselines.checkpoint import write_file
from gpicl_bench import Result
from gpicl_bench.errors import ResultError

FILE = Path(__file__).parents[1] / "gpicl_bench" / "reporting" / "references.json"
DRAWN = ("nearest_neighbour", "ridge", "nearest_centroid")  # the line of chance needs no file


def references(results: Mapping[str, Mapping[str, Result]]) -> str:
    """The text of the file: on how many of its tasks each learner was right, by suite, learner and k.

    Args:
        results: by suite and name of the learner, of `meta_test`, at every position.

    Raises:
        ResultError: two learners on a suite were asked other tasks, or too few positions.
    """
    content = {}
    for suite, named in sorted(results.items()):
        drawn = {name: named[name] for name in DRAWN if name in named}
        if drawn:
            content[suite] = {**_asked(suite, drawn), "right": {name: _right(result) for name, result in drawn.items()}}
    return json.dumps(content, separators=(",", ":")) + "\n"


def _asked(suite: str, results: Mapping[str, Result]) -> dict[str, object]:
    first, *others = (result.setting for result in results.values())
    if any(other != first for other in others) or first.positions != tuple(range(first.num_examples)):
        raise ResultError("reference learners were asked other tasks, or not at every position", where=suite)
    return {name: getattr(first, name) for name in ("fingerprint", "num_tasks", "num_examples", "num_classes")}


def _right(result: Result) -> list[int]:
    return [int(count) for count in result.outcome.sum(axis=0)]


def write_references(results: Mapping[str, Mapping[str, Result]]) -> Path:
    """Write it."""
    write_file(FILE, references(results).encode())
    return FILE
