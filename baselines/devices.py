"""Data parallelism: every visible device has the weights, and its own rows of each batch."""

import os
from typing import Any, TypeVar

import jax
import numpy as np
from jax.sharding import Mesh, NamedSharding, PartitionSpec

from baselines.settings import Training
from gpicl_bench.errors import InvalidArgument

T = TypeVar("T")


def make_mesh(training: Training) -> Mesh | None:
    """All devices that JAX sees, in one axis; None for one device, which needs none.

    Raises:
        InvalidArgument: they do not divide the batch, or its parts, equally.
    """
    count = jax.device_count()
    if count == 1:
        return None
    size, parts = training.batch_size, training.accumulate
    if size % (count * parts):
        near = max(size // (count * parts), 1) * count * parts
        devices = f"{count} devices" + (f" × --accumulate {parts}" if parts > 1 else "")
        raise InvalidArgument(
            "the devices do not divide the batch" + (" into equal parts" if parts > 1 else ""),
            expected=f"--batch-size a multiple of {count * parts}: {devices}",
            got=f"--batch-size {size}",
            hint=f"--batch-size {near}, or fewer visible devices, such as CUDA_VISIBLE_DEVICES=0",
        )
    return Mesh(np.array(jax.devices()), ("batch",))


def whole(mesh: Mesh | None) -> NamedSharding | None:
    """Of arrays that are the same on each device of the mesh."""
    return None if mesh is None else NamedSharding(mesh, PartitionSpec())


def placed(tree: T, mesh: Mesh | None) -> T:
    """Arrays that this process has whole, whole on each device of the mesh."""
    return tree if mesh is None else jax.tree.map(lambda a: jax.device_put(np.asarray(a), whole(mesh)), tree)


def here(tree: T) -> T:
    """Arrays that are the same on each device, as one device of this process has them."""
    return jax.tree.map(lambda a: a.addressable_data(0), tree)


def memory_needed(compiled: Any) -> int:
    """Bytes that a compiled program takes on a device, its arguments among them; 0 where XLA does not say."""
    wanted = compiled.memory_analysis()
    return 0 if wanted is None else wanted.temp_size_in_bytes + wanted.argument_size_in_bytes


def memory_there() -> int:
    """Bytes of a device; on a CPU those of the machine."""
    device = (jax.local_devices()[0].memory_stats() or {}).get("bytes_limit")
    return device or os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def cores() -> int | None:
    """Of the processor, as far as this process may use them."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()


def hardware(cores: Any) -> str:
    """The devices of a run in words, such as `cpu, 2 cores` or `8 × NVIDIA H100 80GB HBM3, 2 processes`."""
    count, processes = jax.device_count(), jax.process_count()
    words = (f"{count} × " if count > 1 else "") + jax.devices()[0].device_kind
    words += f", {cores} cores" if jax.default_backend() == "cpu" else ""
    return words + (f", {processes} processes" if processes > 1 else "")
