"""Checkpoints: arrays in safetensors, what they are in JSON, which is written last and names the arrays' hash."""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
from jaxtyping import PyTree
from safetensors.numpy import load, save

from gpicl_bench.errors import GpiclBenchError

FORMAT = 1
T = TypeVar("T")


class CheckpointError(GpiclBenchError):
    """A checkpoint is missing, damaged, or of something else."""


def write_file(path: Path, data: bytes) -> None:
    """The whole file or none of it, on disk before this returns.

    Raises:
        CheckpointError: it cannot be written; nothing is left behind.
    """
    scratch = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with scratch.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        scratch.replace(path)
    except OSError as error:
        scratch.unlink(missing_ok=True)
        raise CheckpointError("a file cannot be written", got=error.strerror, where=str(path)) from error


def write_json(path: Path, content: Any) -> None:
    """As `write_file`, in a form that people can read."""
    write_file(path, (json.dumps(content, indent=1, allow_nan=False) + "\n").encode())


def write_checkpoint(path: Path, arrays: PyTree[Any], about: Mapping[str, Any]) -> None:
    """Write `path`.safetensors and then `path`.json: a checkpoint without its JSON is none."""
    data = save(named_arrays(arrays))
    write_file(path.with_suffix(".safetensors"), data)
    write_json(path.with_suffix(".json"), {**about, "format": FORMAT, "sha256": hashlib.sha256(data).hexdigest()})


def read_about(path: Path) -> dict[str, Any]:
    """What a checkpoint is: the content of its JSON file.

    Raises:
        CheckpointError: there is none, or it is damaged.
    """
    file = path.with_suffix(".json")
    try:
        about = json.loads(file.read_bytes())
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or f"damaged: {error}"
        raise CheckpointError(
            "the checkpoint cannot be read", expected="a .json and a .safetensors file", got=reason, where=str(file)
        ) from error
    if not isinstance(about, dict) or about.get("format") != FORMAT or not isinstance(about.get("sha256"), str):
        raise CheckpointError("this is no checkpoint", expected=f'"format": {FORMAT}, "sha256": …', where=str(file))
    return about


def read_arrays(path: Path, template: T, ignored: str | None = None) -> T:
    """The arrays of a checkpoint in the shape of `template`, a pytree of arrays or of their shapes.

    Arrays below the name `ignored` may be there or not.

    Raises:
        CheckpointError: the file is missing or damaged, or its arrays are not those of the template.
    """
    file = path.with_suffix(".safetensors")
    try:
        data = file.read_bytes()
        found = load(data)
    except (OSError, KeyError, safetensors.SafetensorError) as error:  # KeyError: a type that NumPy does not have
        reason = getattr(error, "strerror", None) or f"damaged: {error}"
        raise CheckpointError("the weights cannot be read", got=reason, where=str(file)) from error
    sha256 = hashlib.sha256(data).hexdigest()
    if sha256 != read_about(path)["sha256"]:
        raise CheckpointError(
            "the weights are damaged, or of another checkpoint",
            expected=f"SHA-256 {read_about(path)['sha256']}",
            got=sha256,
            where=str(file),
        )
    wanted = {name: (leaf.shape, np.dtype(leaf.dtype)) for name, leaf in _paths(template)}
    shapes = {n: (a.shape, a.dtype) for n, a in found.items() if ignored is None or not n.startswith(ignored)}
    for name in sorted(wanted.keys() | shapes.keys()):
        if wanted.get(name) != shapes.get(name):
            raise CheckpointError(
                "the checkpoint is of another model",
                expected=f"{name}: {_shown(wanted.get(name))}",
                got=_shown(shapes.get(name)),
                where=str(file),
            )
    leaves = [jnp.asarray(found[name]) for name in wanted]
    return jax.tree.unflatten(jax.tree.structure(template), leaves)


def named_arrays(tree: PyTree[Any]) -> dict[str, np.ndarray]:
    """The arrays of a pytree by their paths, such as `weights.blocks[0].query`."""
    return {name: np.asarray(leaf) for name, leaf in _paths(tree)}


def _paths(tree: PyTree[Any]) -> list[tuple[str, Any]]:
    leaves = jax.tree_util.tree_flatten_with_path(tree)[0]
    return [(jax.tree_util.keystr(path).removeprefix("."), leaf) for path, leaf in leaves]


def _shown(kind: tuple[tuple[int, ...], np.dtype] | None) -> str:
    return "nothing" if kind is None else f"{kind[1]} {list(kind[0])}"
