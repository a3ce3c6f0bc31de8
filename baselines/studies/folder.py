"""The folder of a study: what it is, one JSON file a cell, and what is drawn from them."""

import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from baselines.checkpoint import write_json
from baselines.devices import cores, hardware
from baselines.run import locked
from baselines.studies.grid import SOURCES, Cell
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
    check_own(folder, study, scale)
    with locked(folder):
        check_own(folder, study, scale)  # again: it may have been another's until now
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


def check_own(folder: Path, study: Study, scale: str) -> None:
    """Whether what is in the folder is of this study.

    Raises:
        StudyError: it is of another study, scale or version, or of something else.
    """
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


def finished(folder: Path, cells: Sequence[Cell]) -> dict[str, Record]:
    """The records of cells that are finished, by name; a cell that failed is not.

    Settings tell what a cell is: with other axes in the grid, the same cell has another name.

    Raises:
        StudyError: a file is damaged, of other settings, or of another version of a model of one's own.
    """
    contents = _contents(folder)
    known = {_key(content): (name, content) for name, content in contents.items() if content["status"] == "finished"}
    found = {}
    for cell in cells:
        same = contents.get(cell.name)
        if same and _key(same) != cell.settings.text:
            raise StudyError(
                "a cell of this name has other settings",
                expected=_key(same),
                got=cell.settings.text,
                where=str(_file(folder, cell)),
                hint="another --output",
            )
        if cell.settings.text in known:
            name, content = known[cell.settings.text]
            _check_source(cell, content, folder / "cells" / f"{name}.json")
            found[cell.name] = _record(name, content)
    return found


def all_records(folder: Path) -> tuple[list[Record], dict[str, str]]:
    """All cells of a folder: the records of those that are finished, and why the others failed, by name.

    A cell under several names counts once. Every record has its place on the axes of all grids of the folder.
    """
    contents = _contents(folder)
    records = {_key(c): _record(name, c) for name, c in contents.items() if c["status"] == "finished"}
    failed = {_key(c): (name, c["error"]) for name, c in contents.items() if c["status"] != "finished"}
    axes = list(dict.fromkeys(axis for record in records.values() for axis in record.axes))
    return (
        [_placed(record, axes) for record in records.values()],
        dict(told for key, told in failed.items() if key not in records),
    )


def write_finished(folder: Path, cell: Cell, record: Record) -> None:
    """Keep a finished cell."""
    about = {name: value for name, value in asdict(record).items() if name != "name"}
    write_json(_file(folder, cell), {"status": "finished", **about, **_where(cell)})


def write_failed(folder: Path, cell: Cell, error: str) -> None:
    """Keep why a cell failed; it is tried again when the study runs again."""
    about = {"axes": cell.axes, "settings": cell.settings.plain(), "error": error}
    write_json(_file(folder, cell), {"status": "failed", **about, **_where(cell)})


def _identity(study: Study, scale: str) -> dict[str, Any]:
    return {"study": study.name, "scale": scale, "version": study.version}


def _where(cell: Cell) -> dict[str, Any]:
    own = SOURCES.get(cell.settings.model)
    about = {"hardware": hardware(cores()), "provenance": asdict(provenance())}
    return {**about, "model_sha256": own} if own else about


def _check_source(cell: Cell, content: dict[str, Any], path: Path) -> None:
    if content.get("model_sha256") != SOURCES.get(cell.settings.model):
        raise StudyError(
            "the file of this model was another when this cell was run",
            expected=f"SHA-256 {content.get('model_sha256')}",
            got=f"SHA-256 {SOURCES.get(cell.settings.model)}",
            where=str(path),
            hint="another --output; nothing was changed",
        )


def _file(folder: Path, cell: Cell) -> Path:
    return folder / "cells" / f"{cell.name}.json"


def _contents(folder: Path) -> dict[str, dict[str, Any]]:
    """Of all cells' files, by name."""
    return {path.stem: _read(path) for path in sorted((folder / "cells").glob("*.json"))}


def _key(content: dict[str, Any]) -> str:
    """As `Settings.text`."""
    return json.dumps(content["settings"], sort_keys=True)


def _placed(record: Record, axes: Sequence[str]) -> Record:
    """With its places on these axes, as far as its model has them."""
    settings = record.settings
    values = {**settings, **settings.get("training", {}), **settings.get("config", {}), **record.axes}
    return replace(record, axes={axis: values[axis] for axis in axes if axis in values})


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
