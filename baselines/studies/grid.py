"""Grids: a YAML file a study, with its scales; the cells of a scale, each with the settings of one run."""

import hashlib
import importlib.util
import re
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass, replace
from itertools import product
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from baselines.model import Count, Model
from baselines.settings import (
    MODELS,
    ModelPreset,
    Preset,
    Settings,
    Training,
    known,
    model_class,
    settings_of,
    validated,
)
from gpicl_bench.errors import InvalidArgument

GRIDS = Path(__file__).parent / "grids"
SOURCES: dict[str, str] = {}  # by name of a model of one's own: the SHA-256 of its file
LONGEST = 180  # characters of a cell's name: with what a file's name has besides, a file system takes it


@dataclass(frozen=True)
class GridModel:
    """What a scale says of one model: values of its Config and of Training, and its own axes."""

    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)
    axes: Mapping[str, list[Any]] = field(default_factory=dict)


@dataclass(frozen=True)
class Scale:
    """A grid.

    Attributes:
        suite, num_examples, training: as in a preset.
        models: by name; the first is the default.
        axes: of every model: values of Training, of its Config, `suite` or `num_examples`.
        sweeps: each with axes of its own; the grid is the union of their products.
        asked: tasks or episodes that are asked of each learner.
        together: whether all models are the default, not the first alone.
    """

    suite: str
    num_examples: Count
    training: Mapping[str, Any]
    models: Mapping[str, Any]
    axes: Mapping[str, list[Any]]
    asked: Count
    sweeps: list[Mapping[str, list[Any]]] = field(default_factory=lambda: [{}])
    together: bool = False


@dataclass(frozen=True)
class Cell:
    """A place in the grid.

    Attributes:
        name: of its file.
        axes: values by axis; `model` is one.
        settings: of the run; its T is of the suite's episodes.
    """

    name: str
    axes: dict[str, Any]
    settings: Settings


def read_scale(study: str, scale: str) -> Scale:
    """A scale of a study.

    Raises:
        InvalidArgument: there is none of this name, or the file is malformed.
    """
    path = GRIDS / f"{study}.yaml"
    scales = yaml.safe_load(path.read_text())
    found: Scale = validated(Scale, scales[known("scale", scale, scales)], f"{path.name}, {scale}")
    models = {
        known("model", name, MODELS): validated(GridModel, about or {}, f"{path.name}, {scale}, {name}")
        for name, about in found.models.items()
    }
    return replace(found, models=models)


def own_model(path: Path) -> str:
    """The name of the model in a Python file, which is one of MODELS from here on in this process.

    Raises:
        InvalidArgument: the file cannot be run, holds no one `Model`, or its name is taken or no name for a file.
    """
    spec = importlib.util.spec_from_file_location(f"own_model_{path.stem}", path)
    if spec is None or spec.loader is None or not path.is_file():
        raise InvalidArgument("there is no such file", expected="a Python file with a Model", got=str(path))
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # where dataclasses look up what an annotation names
    try:
        spec.loader.exec_module(module)
    except Exception as error:
        raise InvalidArgument("the file of the model cannot be run", got=repr(error), where=str(path)) from error
    found = [kind for kind in vars(module).values() if isinstance(kind, type) and issubclass(kind, Model)]
    own = [kind for kind in found if kind.__module__ == module.__name__ and hasattr(kind, "name")]
    if len(own) != 1:
        names = ", ".join(kind.__name__ for kind in own) or "none"
        raise InvalidArgument(
            "the file defines no one model", expected="one class of Model", got=names, where=str(path)
        )
    _check_whole(own[0], path)
    if own[0].name in MODELS:
        raise InvalidArgument("the model's name is taken", expected="another `name`", got=own[0].name, where=str(path))
    MODELS[own[0].name] = own[0]
    SOURCES[own[0].name] = hashlib.sha256(path.read_bytes()).hexdigest()
    return own[0].name


def _check_whole(kind: type[Model], path: Path) -> None:
    """A name that a file can bear, and a Config with the field that every model has."""
    if not isinstance(kind.name, str) or not re.fullmatch(r"\w{1,40}", kind.name, re.ASCII):
        what = "the model's name is none for a file"
        raise InvalidArgument(what, expected="1 to 40 of a-z, A-Z, 0-9 and _", got=repr(kind.name), where=str(path))
    config = getattr(kind, "Config", None)
    if not is_dataclass(config) or "tokens" not in {f.name for f in fields(config)}:
        what = "the model's Config is no dataclass with a field `tokens`"
        raise InvalidArgument(what, expected="as in baselines/lstm.py", got=repr(config), where=str(path))


def cells(scale: Scale, models: Sequence[str] = (), changed: Mapping[str, Sequence[Any]] | None = None) -> list[Cell]:
    """The cells of a grid.

    Args:
        scale: the grid.
        models: names in MODELS; none: the scale's own.
        changed: values by axis, in place of the scale's, or of an axis that it does not have.

    Raises:
        InvalidArgument: there is no such model, axis or value.
    """
    chosen = list(models) or list(scale.models)[: None if scale.together else 1]
    found: dict[str, Cell] = {}
    for name in chosen:
        about = scale.models.get(known("model", name, MODELS), GridModel())
        _check_axes(name, changed or {})
        for sweep in scale.sweeps:
            axes = {**about.axes, **scale.axes, **sweep}
            axes |= {axis: list(values) for axis, values in (changed or {}).items()}
            for values in product(*axes.values()):
                cell = _cell(scale, name, about, dict(zip(axes, values, strict=True)))
                found.setdefault(cell.settings.text, cell)
    return list(_named(list(found.values())))


def _cell(scale: Scale, model: str, about: GridModel, place: dict[str, Any]) -> Cell:
    preset = Preset(
        suite=scale.suite,
        models={model: ModelPreset(about.config, about.training)},
        training=scale.training,
        num_examples=scale.num_examples,
    )
    return Cell("", {"model": model, **place}, settings_of(model, preset, place, "the grid"))


def _named(found: list[Cell]) -> Iterator[Cell]:
    """Every cell with its place on all axes of the grid, so that cells of several sweeps compare."""
    axes = list(dict.fromkeys(axis for cell in found for axis in cell.axes))
    for cell in found:
        values = {axis: _value(cell.settings, axis) for axis in axes}
        values = {axis: value for axis, value in values.items() if value is not _Absent}
        name = "_".join(f"{axis}-{_text(value)}" for axis, value in values.items())
        if len(name) > LONGEST:
            name = f"{name[: LONGEST - 17]}_{hashlib.sha256(name.encode()).hexdigest()[:16]}"
        yield replace(cell, name=name, axes=values)


class _Absent:
    """Of an axis that a model does not have."""


def _value(settings: Settings, axis: str) -> Any:
    for holder in (settings, settings.training, settings.config):
        if hasattr(holder, axis):
            return getattr(holder, axis)
    return _Absent


def _text(value: Any) -> str:
    """In a file's name; another for another value."""
    short = isinstance(value, float) and float(f"{value:g}") == value
    return f"{value:g}" if short else quote(str(value), safe="+")


def _check_axes(model: str, changed: Mapping[str, Sequence[Any]]) -> None:
    names = ["suite", "num_examples"]
    names += [f.name for kind in (Training, model_class(model).Config) for f in fields(kind)]
    for axis, values in changed.items():
        known("axis", axis, names)
        if not values:
            raise InvalidArgument("an axis has no values", expected=f"{axis}=VALUE,…", got=f"{axis}=")
