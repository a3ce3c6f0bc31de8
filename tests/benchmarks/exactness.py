"""Whether this device gives the bits of the NumPy reference, whatever it is told of precision."""

import jax
import jax.numpy as jnp
import numpy as np

from gpicl_bench import make, tasks
from gpicl_bench.sampling.projection import normal

SUITES = ("digits-proj-perm-v0", "random-proj-perm-v0", "random_rgb32-proj-perm-v0", "random-pixperm-perm-v0")
PRECISIONS = (None, "tensorfloat32", "bfloat16", "highest")


def measure_exactness(tasks_each=6):
    """For each suite and each default precision of products: tasks compared, and tasks whose bytes are equal."""
    found = {}
    for id in SUITES:
        train = make(id).meta_train
        host = train.batch(5, tasks_each).x
        for precision in PRECISIONS:
            with jax.default_matmul_precision(precision):
                drawn = np.asarray(jax.jit(lambda sampler: sampler(5).x)(train.sampler(tasks_each)))
            equal = sum(a.tobytes() == b.tobytes() for a, b in zip(drawn, host, strict=True))
            found[f"{id}, {precision or 'default'}"] = {"compared": tasks_each, "equal": equal}
    table = np.asarray(jax.jit(normal)(jnp.arange(256, dtype=jnp.uint8)))
    found["table of normals, 256 bytes"] = {"compared": 256, "equal": int((table == tasks.TABLE).sum())}
    return found
