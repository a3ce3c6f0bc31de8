"""YAML as data and nothing else: no aliases, no tags, no key twice, no file beyond bounds."""

from pathlib import Path
from typing import Any

import yaml

from gpicl_bench.errors import EntryError
from gpicl_bench.evaluation.storage import write_text

LARGEST = 1_000_000  # bytes
_DEEPEST = 20
_LONGEST = 1000  # characters of a word that may be read as a number
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_DUMPER: Any = getattr(yaml, "CSafeDumper", yaml.SafeDumper)


class _Loader(_LOADER):  # type: ignore[misc]
    """Refuses a key that stands twice: the second would hide the first. So would what is merged under `<<`."""

    def construct_mapping(self, node: Any, deep: bool = False) -> Any:
        seen: set[str] = {"<<"}
        for key, _ in node.value:
            if isinstance(key.value, str) and key.value in seen:
                raise yaml.YAMLError(f"the key {key.value!r} stands twice, or merges")
            seen |= {key.value} if isinstance(key.value, str) else set()
        return super().construct_mapping(node, deep)


def read_yaml(path: Path) -> Any:
    """The content of a YAML file, as plain values.

    Raises:
        EntryError: it cannot be read, is too large or too deep, is no UTF-8 or no YAML, or has aliases or tags.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST + 1)
        if len(content) > LARGEST:
            raise ValueError(f"it is larger than {LARGEST:,} bytes")
        text = content.decode("utf-8")
        _check_events(text)
        return yaml.load(text, Loader=_Loader)
    except (OSError, ValueError, OverflowError, RecursionError, TypeError, yaml.YAMLError) as error:
        got = " ".join(str(getattr(error, "strerror", None) or error).split())[:300]
        raise EntryError("this YAML file cannot be read", got=got, where=str(path)) from error


def _check_events(text: str) -> None:
    """Before anything is built: an alias can stand for a thousand copies, and depth can exhaust the stack."""
    depth = 0
    for event in yaml.parse(text, Loader=_LOADER):
        if isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) is not None:
            raise ValueError("it has an alias or an anchor")
        if getattr(event, "tag", None) is not None:
            raise ValueError(f"it has a tag, {event.tag}")
        word = isinstance(event, yaml.ScalarEvent) and event.implicit[0] and " " not in event.value
        if word and len(event.value) > _LONGEST:
            raise ValueError(f"a word without quotes has more than {_LONGEST:,} characters")
        depth += isinstance(event, yaml.CollectionStartEvent) - isinstance(event, yaml.CollectionEndEvent)
        if depth > _DEEPEST:
            raise ValueError(f"it is nested more than {_DEEPEST} levels deep")


def write_yaml(path: Path, content: Any) -> None:
    """Write plain values, whole or not at all; keys keep their order."""
    text = yaml.dump(content, Dumper=_DUMPER, sort_keys=False, allow_unicode=True, width=120)
    write_text(path, text)
