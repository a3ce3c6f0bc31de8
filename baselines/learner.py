"""Meta-trained weights as learners of the benchmark."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import equinox as eqx
import jax
import numpy as np
from jaxtyping import Array, Float, Int32

from baselines.checkpoint import CheckpointError, read_about, read_arrays
from baselines.model import Model, skeleton
from baselines.run import best
from baselines.settings import known, validated
from baselines.training import State
from gpicl_bench import Info, sequence_learner


class MetaTrained:
    """A model with its weights: callable as a sequence learner, and a JAX step learner.

    Attributes:
        model: the model.
        card: what it says of its meta-training.
    """

    jax = True

    def __init__(self, model: Model, card: dict[str, Any]) -> None:
        self.model, self.card, self.__name__ = model, card, f"{model.name}-{model.config.tokens}"
        self.init, self.step = model.init, model.step

    def __call__(self, x: Float[np.ndarray, "B T D"], y: Int32[np.ndarray, "B T"]) -> Float[Array, "B T C"]:
        """Logits for every position."""
        return _logits(self.model, x, y)


@eqx.filter_jit
def _logits(model: Model, x: Array, y: Array) -> Array:
    return jax.vmap(model)(x, y)


def restore(kind: type[Model], info: Info, checkpoint: str | Path, form: str = "sequence") -> MetaTrained:
    """The learner of a checkpoint.

    Args:
        kind: the model.
        info: of the suite to answer on: any with the D and C that it was trained with, or simply any (`any_shape`).
        checkpoint: a file, with or without its suffix, or the folder of a run: then its best weights.
        form: `sequence` is fast and needs an audit; in the `step` form the harness withholds the labels.

    Raises:
        CheckpointError: it is missing, damaged, or of another model or shape.
        InvalidArgument: there is no such form.
    """
    path = Path(str(checkpoint))
    path = best(path) if path.is_dir() else path
    path = path.with_suffix("") if path.suffix in (".json", ".safetensors") else path
    about = read_about(path)
    try:
        name, trained, config = about["settings"]["model"], Info(**about["info"]), about["settings"]["config"]
        said = card(about)
        if name != kind.name:
            raise CheckpointError("the checkpoint is of another model", expected=kind.name, got=name, where=str(path))
        config = validated(kind.Config, config, str(path))
        longest = max_examples(kind, trained, config)
        if kind.any_shape:
            trained = replace(trained, D=info.D, C=info.C)
        weights, static = skeleton(kind, for_length(trained, longest, info.T), config)
    except (KeyError, TypeError, AttributeError) as error:
        raise CheckpointError("the checkpoint is malformed", got=repr(error), where=str(path)) from error
    if (trained.D, trained.C) != (info.D, info.C):
        raise CheckpointError(
            "the checkpoint is of another shape",
            expected=f"D = {info.D}, C = {info.C}, as in {info.id}",
            got=f"D = {trained.D}, C = {trained.C}, trained on {trained.id}",
            where=str(path),
        )
    found = read_arrays(path, State(weights, None), ignored="optimiser")
    limit = {"max_examples": longest} if longest else {}
    return in_form(MetaTrained(eqx.combine(found.weights, static), {**said, **limit}), form)


def max_examples(kind: type[Model], info: Info, config: Any) -> int | None:
    """The longest episode that a model of this kind can take; None: any length."""
    return eqx.combine(*skeleton(kind, info, config)).max_examples


def for_length(trained: Info, longest: int | None, length: int) -> Info:
    """What a model is made for: without a limit the length of an episode shows in no weight, only in the state."""
    return trained if longest else replace(trained, T=length)


def in_form(learner: MetaTrained, form: str) -> MetaTrained:
    """The learner as the harness is to take it.

    Raises:
        InvalidArgument: there is no such form.
    """
    known("form", form, ("sequence", "step"))
    return sequence_learner(learner) if form == "sequence" else learner


def card(about: dict[str, Any]) -> dict[str, Any]:
    """What weights say of their meta-training, from what their checkpoint says of itself."""
    training = about["settings"]["training"]
    met = training["num_tasks"] or about["step"] * training["batch_size"]
    licence = {"licence": about["licence"]} if "licence" in about else {}
    exact = training.get("tasks", "exact") == "exact"  # implicit tasks are those of no seed
    return {
        "meta_training": {
            "suite": about["settings"]["suite"],
            "num_tasks": met,
            **({"seed": training["seed"]} if exact else {}),
            "steps": about["step"],
            "seconds": about["seconds"],
            "hardware": about["hardware"],
        },
        "parameters": about["parameters"],
        "stochastic": False,
        **licence,
        "weights_sha256": about["sha256"],
    }
