"""The settings of a meta-training run: presets in YAML, read into frozen dataclasses, changed by options."""

import json
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field, fields, is_dataclass, replace
from difflib import get_close_matches
from pathlib import Path
from typing import Annotated, Any, Literal

import yaml
from pydantic import Field, TypeAdapter, ValidationError

from baselines.deltanet import DeltaNet
from baselines.lstm import Lstm
from baselines.maml import Maml
from baselines.model import Count, Model
from baselines.outer_product_lstm import OuterProductLstm
from baselines.sgd import Sgd
from baselines.transformer import Transformer
from baselines.vsml import Vsml
from gpicl_bench import Suite, make
from gpicl_bench.errors import InvalidArgument

MODELS: dict[str, type[Model]] = {
    model.name: model for model in (Transformer, Vsml, DeltaNet, OuterProductLstm, Lstm, Sgd, Maml)
}
PRESETS = Path(__file__).parent / "presets"

Seed = Annotated[int, Field(ge=0, lt=2**64)]
Positive = Annotated[float, Field(gt=0, allow_inf_nan=False)]
Fraction = Annotated[float, Field(ge=0, le=1)]


@dataclass(frozen=True)
class Training:
    """How to meta-train.

    Attributes:
        steps: updates of the weights.
        batch_size: B, episodes an update.
        accumulate: parts of a batch whose gradients are summed one after the other, to save memory: the same update.
        learning_rate: of Adam, after the warm-up.
        num_tasks: M, the tasks of the pool; None: every episode is of a new task.
        tasks: `exact`, those of the suite, or `implicit`, others with the same law: faster, for an unbounded pool.
        seed: of the pool, of its order and of the initial weights.
        warmup: steps over which the learning rate rises from 0.
        schedule: `cosine`, to 0 after the last step, or `constant`.
        adam_epsilon: ε of Adam: smaller, and the loss leaves its plateau earlier (Kirsch et al. 2022).
        clip: the largest global norm of a gradient.
        fixed_permutation: the fraction of each batch whose labels are the classes of the base dataset
            themselves, one permutation for all tasks: it removes the plateau (Kirsch et al. 2022).
        compute: of the model's products; weights, loss and updates are float32.
        every: steps between two looks: one call of the device, a line of metrics, validation, a checkpoint.
        validation_tasks: tasks of meta_validation in a look.
    """

    steps: Count
    batch_size: Count
    learning_rate: Positive
    accumulate: Count = 1
    num_tasks: Annotated[int, Field(ge=1, lt=2**32)] | None = None
    tasks: Literal["exact", "implicit"] = "exact"
    seed: Seed = 0
    warmup: Annotated[int, Field(ge=0, lt=2**31)] = 0
    schedule: Literal["cosine", "constant"] = "cosine"
    adam_epsilon: Positive = 1e-8
    clip: Positive = 1.0
    fixed_permutation: Fraction = 0.0
    compute: Literal["float32", "bfloat16"] = "float32"
    every: Count = 100
    validation_tasks: Count = 256

    def __post_init__(self) -> None:
        if self.warmup > self.steps:
            raise InvalidArgument("the warm-up is longer than the run", expected=f"≤ {self.steps}", got=self.warmup)
        if self.batch_size % self.accumulate:
            raise InvalidArgument(
                "a batch does not divide into equal parts",
                expected=f"batch_size a multiple of {self.accumulate}",
                got=f"batch_size = {self.batch_size}",
                hint="another --accumulate, or another --batch-size",
            )
        if self.tasks == "implicit" and self.num_tasks is not None:
            raise InvalidArgument(
                "implicit tasks have no finite pool",
                expected="num_tasks: none",
                got=f"num_tasks = {self.num_tasks}",
                hint="--num-tasks none, or --tasks exact",
            )


@dataclass(frozen=True)
class Settings:
    """Everything that determines the weights of a run.

    Attributes:
        model: a name in MODELS.
        suite: its id.
        num_examples: T.
        config: of the model, its `Config`.
        training: how.
    """

    model: str
    suite: str
    num_examples: int
    config: Any
    training: Training

    def __post_init__(self) -> None:
        if self.training.tasks == "implicit" and self.made_suite.spec.input != "proj":
            raise InvalidArgument(
                "this suite has no projections that could be implicit",
                expected="…-proj-…",
                got=self.suite,
                hint="--tasks exact",
            )

    @property
    def name(self) -> str:
        """Of the model with its token form, as files and tables have it."""
        return f"{self.model}-{self.config.tokens}"

    @property
    def made_suite(self) -> Suite:
        return make(self.suite, num_examples=self.num_examples)

    def plain(self) -> dict[str, Any]:
        """As JSON has it."""
        return asdict(self)

    @property
    def text(self) -> str:
        """The same for the same settings."""
        return json.dumps(self.plain(), sort_keys=True)


def model_class(name: str) -> type[Model]:
    """The model of this name.

    Raises:
        InvalidArgument: there is none; the error names the nearest.
    """
    return MODELS[known("model", name, MODELS)]


@dataclass(frozen=True)
class ModelPreset:
    """What a preset says of one model: values of its Config, and of Training in place of the preset's."""

    config: Mapping[str, Any] = field(default_factory=dict)
    training: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Preset:
    """A YAML file of settings.

    Attributes:
        suite: its id.
        models: by name.
        training: values of Training.
        num_examples: T; None: the suite's.
    """

    suite: str
    models: Mapping[str, Any]
    training: Mapping[str, Any] = field(default_factory=dict)
    num_examples: Count | None = None


def read_preset(name: str) -> Preset:
    """A preset of this folder by its name, or a YAML file of yours by its path.

    Raises:
        InvalidArgument: there is none, or it is malformed.
    """
    names = sorted(path.stem for path in PRESETS.glob("*.yaml"))
    path = Path(name) if name.endswith((".yaml", ".yml")) else PRESETS / f"{known('preset', name, names)}.yaml"
    try:
        content = yaml.safe_load(path.read_text())
    except (OSError, ValueError, yaml.YAMLError) as error:
        raise InvalidArgument("the preset cannot be read", got=str(error), where=str(path)) from error
    preset: Preset = validated(Preset, content, str(path))
    models = {
        known("model", model, MODELS): validated(ModelPreset, about, f"{path}, {model}")
        for model, about in preset.models.items()
    }
    return replace(preset, models=models)


def make_settings(model: str, preset: str, options: Mapping[str, Any]) -> Settings:
    """A preset, with options in place of its values.

    Args:
        model: a name in MODELS.
        preset: a name, or the path of a YAML file.
        options: by field of Training or of the model's Config; also `suite` and `num_examples`.

    Raises:
        InvalidArgument: a name is unknown or a value is out of range.
    """
    found = read_preset(preset)
    model_class(model)
    if model not in found.models:
        raise InvalidArgument(f"the preset {preset} has no {model}", expected=", ".join(found.models), got=model)
    return settings_of(model, found, options, preset)


def settings_of(model: str, preset: Preset, options: Mapping[str, Any], where: str) -> Settings:
    """As `make_settings`, of a preset that is there already and has the model; `where` names it in errors."""
    kind, about = model_class(model), preset.models[model]
    values = {
        "config": dict(about.config),
        "training": {**preset.training, **about.training},
        "suite": {"suite": preset.suite, "num_examples": preset.num_examples},
    }
    places = {"config": _names(kind.Config), "training": _names(Training), "suite": ["suite", "num_examples"]}
    for name, value in options.items():
        known("option", name, [n for names in places.values() for n in names])
        values[next(place for place, names in places.items() if name in names)][name] = value
    suite = make(str(values["suite"]["suite"]))
    length = validated(Count | None, values["suite"]["num_examples"], "num_examples") or suite.info.T
    config = validated(kind.Config, values["config"], f"{where}, {model}")
    training = validated(Training, values["training"], f"{where}, {model}")
    return Settings(model, make(suite.id, num_examples=length).id, length, config, training)


def known(kind: str, name: Any, names: Iterable[str], where: str | None = None) -> str:
    """`name`, if it is one of `names`.

    Raises:
        InvalidArgument: it is not; the error names the nearest.
    """
    names = list(names)
    if name not in names:
        near = get_close_matches(str(name), names, n=1)
        hint = f"did you mean {near[0]}?" if near else None
        raise InvalidArgument(
            f"there is no such {kind}", expected=", ".join(names), got=repr(name), where=where, hint=hint
        )
    return str(name)


def validated(kind: Any, values: Any, where: str | None = None) -> Any:
    """`values` as `kind`; text from a command line or from YAML counts as the number that it spells.

    Raises:
        InvalidArgument: a name is unknown, a value is out of range, or something is missing.
    """
    if is_dataclass(kind):
        if not isinstance(values, Mapping):
            raise InvalidArgument(
                "a mapping is missing", expected=", ".join(_names(kind)), got=repr(values), where=where
            )
        for name in values:
            known("field", name, _names(kind), where)
    try:
        return TypeAdapter(kind).validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        own = first.get("ctx", {}).get("error")
        if isinstance(own, InvalidArgument):
            raise own from error
        name = ".".join(map(str, first["loc"])) or "a value"
        raise InvalidArgument(
            f"{name} is out of range", expected=first["msg"], got=repr(first["input"]), where=where
        ) from error


def _names(kind: Any) -> list[str]:
    return [field.name for field in fields(kind)]
