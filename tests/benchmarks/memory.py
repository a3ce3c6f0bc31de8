"""The largest memory of a process, each measured in a process of its own: `python -m tests.benchmarks.memory CASE`."""

import subprocess
import sys
from pathlib import Path


def batch(kind, size, id):
    import jax
    import jax.numpy as jnp

    from tests.benchmarks.tasks import step, suite

    split = suite(id=id).meta_train
    jax.block_until_ready(step((split.sampler if kind == "exact" else split.implicit_sampler)(size), jnp.int32(0)))


def evaluation(num_tasks):
    import jax.numpy as jnp

    from gpicl_bench import evaluate, sequence_learner

    evaluate(sequence_learner(lambda x, y: jnp.zeros((*y.shape, 10))), "digits-proj-perm-v0", num_tasks, audit="off")


MNIST, COLOUR = "mnist-proj-perm-v0", "random_rgb32-proj-perm-v0"
CASES = {
    **{f"exact, {b:,} tasks, D = 784": (batch, "exact", b, MNIST) for b in (64, 1024, 4096)},
    **{f"implicit, {b:,} tasks, D = 784": (batch, "implicit", b, MNIST) for b in (64, 1024, 4096)},
    "exact, 16 tasks, D = 3072": (batch, "exact", 16, COLOUR),
    "exact, 256 tasks, D = 3072": (batch, "exact", 256, COLOUR),
    "evaluate, 1,000 tasks of digits": (evaluation, 1000),
    "evaluate, 10,000 tasks of digits": (evaluation, 10000),
}


def measure_memory():
    """Megabytes (10^6 bytes) at the peak, libraries and images included; beside them those of the batch x itself."""
    found = {}
    for name, case in CASES.items():
        done = subprocess.run(
            [sys.executable, "-m", "tests.benchmarks.memory", name], capture_output=True, text=True, check=True
        )
        found[name] = {"peak": float(done.stdout)}
        if case[0] is batch:
            found[name]["x"] = case[2] * 100 * (784 if case[3] == MNIST else 3072) * 4 / 1e6
    return found


if __name__ == "__main__":
    function, *arguments = CASES[sys.argv[1]]
    function(*arguments)
    status = Path("/proc/self/status").read_text()
    print(int(status.partition("VmHWM:")[2].split()[0]) * 1024 / 1e6)
