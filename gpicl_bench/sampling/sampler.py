"""Batches of the tasks of `gpicl_bench/tasks.py`: the same bits under jit, vmap and scan, on one device or on many."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Array, Float32, Int8, Int32, Integer, UInt32

from gpicl_bench import tasks
from gpicl_bench.errors import InvalidArgument, check_integer
from gpicl_bench.sampling.projection import mapped, over_drawn, plane_order, product, seal
from gpicl_bench.sampling.words import (
    Pair,
    add64,
    below,
    child_key,
    draw_indices,
    multiply64,
    stable_argsort,
    words,
)
from gpicl_bench.suite import Batch, Split

Step = int | np.integer | np.ndarray | Integer[Array, ""] | Pair

# Bytes of the arrays that exist at once beside the batch: on a CPU a core's cache, elsewhere enough to fill the device.
_WORKSPACE = {"cpu": 2**22}
_WORKSPACE_ELSEWHERE = 2**29
_WHOLE = PartitionSpec()  # type: ignore[no-untyped-call]


@partial(
    jax.tree_util.register_dataclass,
    data_fields=["pixels", "labels", "keys", "num_tasks", "pool"],
    meta_fields=["split", "batch_size", "mesh", "platform"],
)
@dataclass(frozen=True)
class Sampler:
    """`sampler(step)` is meta-training batch number `step`: a pure function, and a pytree.

    Attributes:
        pixels: uint8 `[n, D]`, the images on the device; for projections in `plane_order`.
        labels: int32 `[n]`.
        keys: uint32 `[2]` for each stream, by name.
        num_tasks: M as uint32, or None for an unbounded pool.
        pool: int8 `[M, D, D]`, the projections of a pool that is kept, or None: they are drawn in each step.
        split, batch_size, platform: static.
        mesh: of the devices among which each batch is divided, or None.
    """

    pixels: Any  # an array each, or in its place what JAX puts into a pytree while it traces and compiles
    labels: Any
    keys: dict[str, Any]
    num_tasks: Any
    pool: Any
    split: Split
    batch_size: int
    mesh: Mesh | None
    platform: str

    def __call__(self, step: Step) -> Batch:
        """The batch of a step ≥ 0: a Python integer, a traced int32 or uint32, or a pair (high, low)."""
        return self.episodes(*self.numbers(step))

    def numbers(self, step: Step) -> tuple[UInt32[Array, "B 2"], UInt32[Array, "B 2"]]:
        """The tasks and the episodes of a step, by their numbers."""
        first = multiply64(_pair(step, self.batch_size), self.batch_size)
        slots = jax.vmap(partial(add64, first))(jnp.arange(self.batch_size, dtype=jnp.uint32))
        if self.num_tasks is None:
            return slots, jnp.zeros_like(slots)
        word = jax.vmap(lambda g: words(child_key(self.keys["slots"], g), 1)[0])(slots)
        low = below(word, self.num_tasks)
        return jnp.stack([jnp.zeros_like(low), low], axis=-1), slots

    def episodes(self, task: UInt32[Array, "B 2"], episode: UInt32[Array, "B 2"]) -> Batch:
        """Any episodes of any tasks, by their numbers; of a pool that is kept, its own tasks only."""
        if self.pool is not None and not isinstance(task, jax.core.Tracer):
            high, low = np.asarray(task, np.uint64).T
            check_integer("a task of the pool", int((high << np.uint64(32) | low).max()), 0, len(self.pool) - 1)
        return divided(Sampler._episodes, self.mesh)(self, task, episode)

    def _episodes(self, task: UInt32[Array, "B 2"], episode: UInt32[Array, "B 2"]) -> Batch:
        key, indices, y, label_map = self.examples(task, episode)
        return Batch(self._inputs(task, key, indices), y, task, episode, label_map)

    def examples(
        self, task: UInt32[Array, "B 2"], episode: UInt32[Array, "B 2"]
    ) -> tuple[UInt32[Array, "B 2"], Int32[Array, "B T"], Int32[Array, "B T"], Int32[Array, "B C"]]:
        """All but x: the key of each episode, its images, its labels, and the label map of its task."""
        spec, known = self.split.spec, self.split.dataset
        key = jax.vmap(lambda i, e: child_key(child_key(self.keys["examples"], i), e))(task, episode)
        draw = partial(
            draw_indices, pool=len(self.labels), num_examples=spec.num_examples, replacement=known.replacement
        )
        at_once = self.at_once(16 * spec.num_examples**2)
        indices = mapped(draw, at_once, key)
        label_map = jnp.broadcast_to(jnp.arange(known.num_classes, dtype=jnp.int32), (len(task), known.num_classes))
        if spec.label == "perm":
            task_key = jax.vmap(partial(child_key, self.keys["label"]))(task)
            label_map = jax.vmap(lambda key: stable_argsort(words(key, known.num_classes)))(task_key)
        return key, indices, jnp.take_along_axis(label_map, self.labels[indices], axis=1), label_map

    def at_once(self, size: int) -> int:
        """How many rows of that many bytes each may exist at once, 1 or more."""
        return max(1, _WORKSPACE.get(self.platform, _WORKSPACE_ELSEWHERE) // size)

    def _inputs(
        self, task: UInt32[Array, "B 2"], key: UInt32[Array, "B 2"], indices: Int32[Array, "B T"]
    ) -> Float32[Array, "B T D"]:
        known = self.split.dataset
        if self.split.spec.input != "proj":
            return self._standardised(task, key, indices)
        operand = jnp.float32 if self.platform == "cpu" else jnp.bfloat16
        scale = tasks.projection_scale(known.dimension, known.std)

        def project(weights: Any, index: Any, key: Any) -> Float32[Array, "T D"]:
            whole = product(self.whole(index).astype(operand), weights.astype(operand))
            return seal(whole.astype(jnp.float32) * scale, whole, key)

        at_once = self.at_once(known.dimension**2 * jnp.dtype(operand).itemsize)
        if self.pool is not None:
            return mapped(lambda i, *rows: project(self.pool[i], *rows), at_once, task[:, 1], indices, key)
        return over_drawn(self.projection_keys(task), known.dimension, at_once, project, indices, key)

    def projection_keys(self, task: UInt32[Array, "B 2"]) -> UInt32[Array, "B 2"]:
        """The key of each task's projection."""
        return jax.vmap(partial(child_key, self.keys["input"]))(task)

    def _standardised(
        self, task: UInt32[Array, "B 2"], key: UInt32[Array, "B 2"], indices: Int32[Array, "B T"]
    ) -> Float32[Array, "B T D"]:
        spec, known = self.split.spec, self.split.dataset
        scale = jnp.float32(1 / known.std)

        def standardise(i: Any, key: Any, index: Any) -> Float32[Array, "T D"]:
            whole = self.whole(index)
            if spec.input == "pixperm":
                whole = whole[:, stable_argsort(words(child_key(self.keys["input"], i), known.dimension))]
            return seal(whole.astype(jnp.float32) * scale, whole, key)

        at_once = self.at_once(spec.num_examples * known.dimension * 4)
        return mapped(standardise, at_once, task, key, indices)

    def whole(self, index: Int32[Array, " T"]) -> Int32[Array, "T D"]:
        """p − center of these images."""
        return self.pixels[index].astype(jnp.int32) - self.split.dataset.center


def divided(function: Callable[..., Any], mesh: Mesh | None) -> Callable[..., Any]:
    """`function(sampler, *arrays)`, the rows of the arrays and of the result divided among the devices of a mesh."""
    if mesh is None:
        return function
    rows = PartitionSpec(mesh.axis_names)  # type: ignore[no-untyped-call]

    def shared(sampler: Any, *arrays: Any) -> Any:
        if AxisType.Explicit in mesh.axis_types:
            arrays = jax.sharding.reshard(arrays, NamedSharding(mesh, rows))  # type: ignore[no-untyped-call]
        specs = (_WHOLE, *[rows] * len(arrays))
        return jax.shard_map(function, mesh=mesh, in_specs=specs, out_specs=rows)(sampler, *arrays)

    return shared


def placed(array: Any, mesh: Mesh | None) -> Array:
    """An array on JAX's default device, or whole on each device of a mesh."""
    return jax.device_put(jnp.asarray(array), None if mesh is None else NamedSharding(mesh, _WHOLE))


def make_sampler(
    split: Split,
    batch_size: int,
    num_tasks: int | None,
    pool_bytes: int | None = None,
    mesh: Mesh | None = None,
) -> Sampler:
    """The sampler of a split, its images on JAX's default device or on all devices of the mesh.

    Raises:
        InvalidArgument: as `Split.sampler` does.
    """
    split.check_batch(batch_size, num_tasks)
    _check_mesh(mesh, batch_size)
    _check_pool(split, num_tasks, pool_bytes)
    part, known = split.part, split.dataset
    images = placed(part.pixels[:, plane_order(known.dimension)] if split.spec.input == "proj" else part.pixels, mesh)
    sampler = Sampler(
        pixels=images,
        labels=placed(part.labels.astype(np.int32), mesh),
        keys={stream: placed(split.key(stream), mesh) for stream in ("input", "label", "examples", "slots")},
        num_tasks=None if num_tasks is None else placed(np.uint32(num_tasks), mesh),
        pool=None,
        split=split,
        batch_size=batch_size,
        mesh=mesh,
        platform=next(iter(images.devices())).platform,
    )
    if pool_bytes is None:
        return sampler
    return replace(sampler, pool=jax.jit(_drawn_pool, static_argnames="num_tasks")(sampler, num_tasks=num_tasks))


def _drawn_pool(sampler: Sampler, num_tasks: int) -> Int8[Array, "M D D"]:
    """The projections of the pool, by number."""
    low = jnp.arange(num_tasks, dtype=jnp.uint32)
    keys = sampler.projection_keys(jnp.stack([jnp.zeros_like(low), low], axis=-1))
    dimension = sampler.split.dataset.dimension
    return over_drawn(keys, dimension, sampler.at_once(4 * dimension**2), lambda weights: weights.astype(jnp.int8))


def _check_mesh(mesh: object, batch_size: int) -> None:
    if mesh is None:
        return
    if not isinstance(mesh, Mesh):
        raise InvalidArgument(
            "this is no mesh",
            expected="a jax.sharding.Mesh",
            got=type(mesh).__name__,
            hint="jax.make_mesh((jax.device_count(),), ('batch',))",
        )
    if set(mesh.axis_types) not in ({AxisType.Auto}, {AxisType.Explicit}):
        raise InvalidArgument(
            "the axes of the mesh are not of one type",
            expected="all Auto, or all Explicit",
            got=", ".join(map(str, mesh.axis_types)),
        )
    if batch_size % mesh.size:
        raise InvalidArgument(
            "the mesh does not divide the batch",
            expected=f"batch_size a multiple of {mesh.size}, the devices of the mesh",
            got=batch_size,
            hint="another batch size, or fewer devices",
        )


def _check_pool(split: Split, num_tasks: int | None, pool_bytes: int | None) -> None:
    if pool_bytes is None:
        return
    pool_bytes = check_integer("pool_bytes", pool_bytes, 1, 2**63 - 1)
    if num_tasks is None or split.spec.input != "proj":
        raise InvalidArgument(
            "there is no pool of projections to keep",
            expected="num_tasks=M, and a suite with projections",
            got=f"num_tasks={num_tasks}, {split.spec.id}",
            hint="leave pool_bytes away",
        )
    needed = num_tasks * split.dataset.dimension**2
    if needed > pool_bytes:
        raise InvalidArgument(
            "the pool is larger than its budget",
            expected=f"at most {pool_bytes:,} bytes",
            got=f"{num_tasks:,} projections of {split.dataset.dimension**2:,} bytes: {needed:,} bytes",
            hint="a larger pool_bytes; or leave it away, and projections are drawn in each step",
        )


def _pair(step: Step, batch_size: int) -> Pair:
    """A step as (high, low). What is known now is checked now; a traced step must be an integer ≥ 0."""
    if not isinstance(step, jax.core.Tracer) and np.ndim(step) == 0:
        value = check_integer("step", step, 0, 2**64 // batch_size - 1)
        return jnp.array([value >> 32, value & 0xFFFFFFFF], jnp.uint32)
    if np.shape(step) == (2,) and getattr(step, "dtype", None) == np.uint32:
        return jnp.asarray(step)
    step = jnp.asarray(step)
    if step.shape != () or not jnp.issubdtype(step.dtype, jnp.integer):
        raise InvalidArgument(
            "this is no step", expected="an integer, or uint32 [2]: (high, low)", got=f"{step.dtype} {step.shape}"
        )
    high = (step >> 32).astype(jnp.uint32) if step.dtype.itemsize == 8 else jnp.zeros((), jnp.uint32)
    return jnp.stack([high, step.astype(jnp.uint32)])
