"""Tasks a second: ours, the matrix product alone, and what people write themselves."""

import importlib.util
import warnings
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jax import lax
from threadpoolctl import threadpool_limits

from gpicl_bench import make
from gpicl_bench.errors import DataUnavailable
from gpicl_bench.sampling.projection import chunked, product, unchunked
from tests.benchmarks.rounds import ONE, Contender, interleaved

ACCELERATED = jax.default_backend() != "cpu"
BATCH = 1024 if ACCELERATED else 64
FEW = 16  # tasks a round of what draws them one by one


def suite(num_examples=100, id="mnist-proj-perm-v0"):
    """MNIST's, or, where MNIST is not at hand, ten random images of the same size."""
    try:
        made = make(id, num_examples=num_examples)
        made.meta_train.part  # noqa: B018, the images, if they are here
    except DataUnavailable:
        made = make("random-proj-perm-v0", num_examples=num_examples)
    return made


@jax.jit
def step(sampler, number):
    return sampler(number)


def sampled(sampler, batch):
    return Contender(lambda number: jax.block_until_ready(step(sampler, jnp.int32(number))), batch)


@jax.jit
def multiplied(sampler, weights, number):
    """The images of a batch times matrices that are there already: the limit of every path that has a projection."""
    _, indices, _, _ = sampler.examples(*sampler.numbers(number))

    def one(index, weights):
        return product(sampler.whole(index).astype(weights.dtype), weights)

    if len(weights) == 1:
        return lax.map(partial(one, weights=weights[0]), indices)
    return unchunked(
        lax.map(lambda rows: jax.vmap(one)(rows, weights[: len(rows)]), chunked(indices, len(weights))), len(indices)
    )


def product_alone(sampler, batch):
    dimension, operand = sampler.split.dataset.dimension, jnp.bfloat16 if ACCELERATED else jnp.float32
    at_once = min(batch, sampler.at_once(dimension**2 * jnp.dtype(operand).itemsize)) if ACCELERATED else 1
    weights = np.random.default_rng(0).integers(-58, 59, (at_once, dimension, dimension)).astype(np.float32)
    weights = jnp.asarray(weights, operand)
    return Contender(lambda number: jax.block_until_ready(multiplied(sampler, weights, jnp.int32(number))), batch)


def standardised(split):
    known = split.dataset
    images = (split.part.pixels.astype(np.float32) - known.center) / np.float32(known.std)
    return images, split.part.labels.astype(np.int64)


def naive_numpy(split, threads=None):
    """One task after the other in float32, as one would write it, with so many threads for products."""
    (images, labels), info = standardised(split), split.info

    def task(rng):
        projection = rng.standard_normal((info.D, info.D), dtype=np.float32) / np.float32(info.D**0.5)
        chosen = rng.integers(len(images), size=info.T)
        return images[chosen] @ projection.T, rng.permutation(info.C)[labels[chosen]]

    def run(number):
        with threadpool_limits(threads):
            return [task(np.random.default_rng((number, i))) for i in range(FEW)]

    return Contender(run, FEW)


def naive_jax(split):
    """`vmap` and `jit` over JAX's own generator, as one would write it."""
    images, labels = map(jnp.asarray, standardised(split))
    info = split.info

    def task(key):
        one, two, three = jax.random.split(key, 3)
        projection = jax.random.normal(one, (info.D, info.D)) / info.D**0.5
        chosen = jax.random.randint(two, (info.T,), 0, len(images))
        return images[chosen] @ projection.T, jax.random.permutation(three, info.C)[labels[chosen]]

    draw, key = jax.jit(jax.vmap(task)), jax.random.key(0)
    return Contender(
        lambda number: jax.block_until_ready(draw(jax.random.split(jax.random.fold_in(key, number), BATCH))), BATCH
    )


def torch_loop(split, threads=None):
    """As the loop in NumPy; on the accelerator where torch sees one."""
    import torch

    device = "cuda" if ACCELERATED and torch.cuda.is_available() else "cpu"
    images, labels = (torch.from_numpy(array).to(device) for array in standardised(split))
    info, usual = split.info, torch.get_num_threads()

    def task():
        projection = torch.randn(info.D, info.D, device=device) / info.D**0.5
        chosen = torch.randint(len(images), (info.T,), device=device)
        return images[chosen] @ projection.T, torch.randperm(info.C, device=device)[labels[chosen]]

    def run(number):
        torch.manual_seed(number)
        torch.set_num_threads(threads or usual)
        return [task() for _ in range(FEW)][-1][0].sum().item()  # `item` waits for the device

    return Contender(run, FEW)


def learn2learn_loop(split, threads=None):
    """Its task dataset with 10 images of each of 10 classes, relabelled, and a projection for each task."""
    import torch

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        from learn2learn.data import MetaDataset, TaskDataset
        from learn2learn.data.transforms import KShots, LoadData, NWays, RemapLabels
    images, labels = map(torch.from_numpy, standardised(split))
    known = MetaDataset(torch.utils.data.TensorDataset(images, labels))
    info, usual = split.info, torch.get_num_threads()
    transforms = [NWays(known, info.C), KShots(known, info.T // info.C), LoadData(known), RemapLabels(known)]
    tasks = TaskDataset(known, transforms, num_tasks=-1)

    def task():
        x, y = tasks.sample()
        return x @ (torch.randn(info.D, info.D) / info.D**0.5).T, y

    def run(number):
        torch.set_num_threads(threads or usual)
        return [task() for _ in range(FEW)]

    return Contender(run, FEW)


OTHERS = {"naive NumPy float32": naive_numpy, "naive JAX vmap": naive_jax}
IF_INSTALLED = {"torch": torch_loop, "learn2learn": learn2learn_loop}


def measure_tasks(rounds):
    """Every path at T = 100, D = 784."""
    split = suite().meta_train
    exact, pool = split.sampler(BATCH), 64
    contenders = {
        "exact": sampled(exact, BATCH),
        "exact, pool kept": sampled(split.sampler(BATCH, pool, pool_bytes=pool * split.info.D**2), BATCH),
        "implicit": sampled(split.implicit_sampler(BATCH), BATCH),
        "product alone": product_alone(exact, BATCH),
        **{name: make_contender(split) for name, make_contender in OTHERS.items()},
        "naive NumPy float32" + ONE: naive_numpy(split, 1),
    }
    for name, make_contender in IF_INSTALLED.items():
        if importlib.util.find_spec(name):
            contenders |= {name: make_contender(split), name + ONE: make_contender(split, 1)}
    measured = interleaved("tasks", contenders, rounds)
    return {"suite": split.spec.id, "batch": BATCH, "T": split.info.T, "D": split.info.D, "measured": measured}


def measure_growth(rounds):
    """How the cost of a task grows with B, T and D, one at a time."""
    sizes = (64, 256, 1024, 4096) if ACCELERATED else (1, 16, 64, 256)
    varied = {
        "B": {size: (size, {}) for size in sizes},
        "T": {length: (BATCH, {"num_examples": length}) for length in (20, 50, 100, 200)},
        "D": {
            64: (BATCH, {"id": "digits-proj-perm-v0"}),
            784: (BATCH, {}),
            3072: (max(BATCH // 8, 1), {"id": "random_rgb32-proj-perm-v0"}),
        },
    }
    found = {}
    for name, values in varied.items():
        for value, (batch, options) in values.items():
            split = suite(**options).meta_train
            exact = split.sampler(batch)
            contenders = {
                "exact": sampled(exact, batch),
                "implicit": sampled(split.implicit_sampler(batch), batch),
                "product alone": product_alone(exact, batch),
            }
            found[f"{name} = {value}"] = interleaved(f"{name} = {value}", contenders, rounds)
    return found
