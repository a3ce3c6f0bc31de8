"""The folder of a study: what it is, one JSON file a cell, and what is drawn from them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any

from baselines.checkpoint import write_json
from baselines.devices import cores, hardware
from baselines.run import locked
from baselines.studies.grid import Cell
from baselines.studies.study import Record, Study, StudyError
from gpicl_bench import provenance

KEPT = ".training"  # of groups that are not finished


@contextmanager
def entered(folder: Path, study: Study, scale: str) -> Iterator[None]:
    """The folder is this study's, and this process's alone, as long as it is entered.

    Raises:
        StudyError: it is of another study, scale or version, or of something else.
        TrainingError: another process works in it.
    """
    _check_own(folder, study, scale)
    with locked(folder):
        write_json(folder / "study.json", _identity(study, scale))
        yield


def read_identity(folder: Path) -> dict[str, Any]:
    """Which study, scale and version a folder is of.

    Raises:
        StudyError: it does not say.
    """
    file = folder / "study.json"
    try:
        found = json.loads(file.read_bytes())
        return {name: found[name] for name in ("study", "scale", "version")}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise StudyError(
            "this folder is no study's", expected="study.json", got=repr(error), where=str(file)
        ) from error


def finished(folder: Path, cells: Sequence[Cell]) -> dict[str, Record]:
    """The records of cells that are finished, by name; a cell that failed is not.

    Raises:
        StudyError: a file is damaged, or of other settings.
    """
    found = {}
    for cell in cells:
        path = _file(folder, cell)
        if not path.exists():
            continue
        content = _read(path)
        if content["settings"] != json.loads(cell.settings.text):
            raise StudyError(
                "a cell of this name has other settings",
                expected=json.dumps(content["settings"], sort_keys=True),
                got=cell.settings.text,
                where=str(path),
                hint="another --output",
            )
        if content["status"] == "finished":
            found[cell.name] = _record(cell.name, content)
    return found


def all_records(folder: Path) -> tuple[list[Record], dict[str, str]]:
    """All cells of a folder: the records of those that are finished, and why the others failed, by name."""
    records, failed = [], {}
    for path in sorted((folder / "cells").glob("*.json")):
        content = _read(path)
        if content["status"] == "finished":
            records.append(_record(path.stem, content))
        else:
            failed[path.stem] = content["error"]
    return records, failed


def write_finished(folder: Path, cell: Cell, record: Record) -> None:
    """Keep a finished cell."""
    about = {name: value for name, value in asdict(record).items() if name != "name"}
    write_json(_file(folder, cell), {"status": "finished", **about, **_where()})


def write_failed(folder: Path, cell: Cell, error: str) -> None:
    """Keep why a cell failed; it is tried again when the study runs again."""
    about = {"axes": cell.axes, "settings": cell.settings.plain(), "error": error}
    write_json(_file(folder, cell), {"status": "failed", **about, **_where()})


def _check_own(folder: Path, study: Study, scale: str) -> None:
    if not folder.exists() or not any(path.name != ".lock" for path in folder.iterdir()):
        return
    found, expected = read_identity(folder), _identity(study, scale)
    if found != expected:
        raise StudyError(
            "this folder holds another study, scale or version",
            expected=", ".join(f"{name} {value}" for name, value in expected.items()),
            got=", ".join(f"{name} {value}" for name, value in found.items()),
            where=str(folder),
            hint="another --output; nothing was changed",
        )


def _identity(study: Study, scale: str) -> dict[str, Any]:
    return {"study": study.name, "scale": scale, "version": study.version}


def _where() -> dict[str, Any]:
    return {"hardware": hardware(cores()), "provenance": asdict(provenance())}


def _file(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.name}.json"


def _record(name: str, content: dict[str, Any]) -> Record:
    fields = ("axes", "settings", "measured", "rows", "parameters", "seconds")
    return Record(name, *(content[field] for field in fields))


def _read(path: Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        needed = ["status", "axes", "settings"]
        needed += ["measured", "rows", "parameters", "seconds"] if content["status"] == "finished" else ["error"]
        return {**content, **{name: content[name] for name in needed}}
    except (OSError, ValueError, KeyError, TypeError) as error:
        hint = "delete it: the cell runs again"
        raise StudyError("a cell is damaged", got=repr(error), where=str(path), hint=hint) from error
