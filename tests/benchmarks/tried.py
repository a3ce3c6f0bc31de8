"""Other forms of both paths, on the same keys and images: why the code is as it is."""

from functools import partial

import jax
import jax.numpy as jnp
from jax import lax
from jax.scipy.special import erfinv

from gpicl_bench import tasks
from gpicl_bench.sampling.implicit import factor, implicit_inputs, standard_normals
from gpicl_bench.sampling.projection import drawn, mapped, normal, over_drawn, plane_order, product, unfolded
from gpicl_bench.sampling.words import block
from tests.benchmarks.rounds import Contender, interleaved
from tests.benchmarks.tasks import BATCH, suite


def bytes_of(words):
    return (words[:, None] >> jnp.arange(0, 32, 8, dtype=jnp.uint32).reshape(1, 4, 1, 1)).astype(jnp.uint8)


def gathered(words, dimension):
    return jnp.asarray(tasks.TABLE)[bytes_of(words)].reshape(dimension, dimension)


def compared(words, dimension):
    """The table as a sum of comparisons, in whole numbers."""
    byte = bytes_of(words)
    total = jnp.full(byte.shape, tasks.TABLE[0], jnp.int8)
    for b in range(1, 256):
        jump = int(tasks.TABLE[b]) - int(tasks.TABLE[b - 1])
        if jump:
            total = total + jnp.where(byte >= b, jnp.int8(jump), jnp.int8(0))
    return total.reshape(dimension, dimension)


def rows(key, dimension):
    """A_int row by row, as the protocol has it: words interleaved, and a product with its transpose."""
    both = jnp.stack(block(key, jnp.arange(dimension * dimension // 8, dtype=jnp.uint32)), axis=-1).reshape(-1)
    shifts = jnp.arange(0, 32, 8, dtype=jnp.uint32)
    return normal((both[:, None] >> shifts[None, :]).astype(jnp.uint8)).reshape(dimension, dimension)


def exact_forms(sampler):
    """Functions (keys [B, 2], images' numbers [B, T]) -> z [B, T, D]."""
    known = sampler.split.dataset
    dimension = known.dimension

    def whole(index):
        return sampler.whole(index).astype(jnp.float32)

    def multiply(weights, index):
        return product(whole(index), weights.astype(jnp.float32))

    def multiply_int8(weights, index):
        images = (sampler.pixels[index].astype(jnp.int32) - 128).astype(jnp.int8)
        weights = weights.astype(jnp.int8)
        z = lax.dot(images, weights, preferred_element_type=jnp.int32)
        return z + (128 - known.center) * weights.astype(jnp.int32).sum(axis=0, dtype=jnp.int32)[None, :]

    def in_turn(function):
        return lambda keys, indices: mapped(function, 1, keys, indices)

    def carried(function, at_once=1):
        return lambda keys, indices: over_drawn(keys, dimension, at_once, function, indices)

    def carried_words(unfold):
        """As `over_drawn`, one task at a time, with another function from words to weights."""

        def turn(words, row):
            following, index = row
            return drawn(following, dimension), multiply(unfold(words, dimension), index)

        def run(keys, indices):
            return lax.scan(turn, drawn(keys[0], dimension), (jnp.roll(keys, -1, axis=0), indices))[1]

        return run

    original = plane_order(dimension).argsort()
    return {
        "as it is": carried(multiply),
        "two tasks at once": carried(multiply, 2),
        "words drawn where their bytes are taken": in_turn(
            lambda key, index: multiply(unfolded(drawn(key, dimension), dimension), index)
        ),
        "the table as a gather": carried_words(gathered),
        "the table as a sum of comparisons": carried_words(compared),
        "row by row, and the product transposed": in_turn(
            lambda key, index: lax.dot_general(
                whole(index)[:, original], rows(key, dimension), (((1,), (1,)), ((), ())), precision="highest"
            )
        ),
        "int8 operands, int32 sums": carried(multiply_int8),
    }


def box_muller(key, rows, columns):
    """One normal of the two words of a block."""
    row, column = (jnp.arange(n, dtype=jnp.uint32) for n in (rows, columns))
    a, b = (
        ((word >> 8).astype(jnp.int32).astype(jnp.float32) + 0.5) / 2**24
        for word in block(key, row[:, None] * columns + column[None, :])
    )
    return jnp.sqrt(-2 * jnp.log(a)) * jnp.cos(2 * jnp.pi * b)


def with_erfinv(key, rows, columns):
    row, column = (jnp.arange(n, dtype=jnp.uint32) for n in (rows, columns))
    word, _ = block(key, row[:, None] * columns + column[None, :])
    return 2**0.5 * erfinv((2 * (word >> 8).astype(jnp.int32) + (1 - 2**24)).astype(jnp.float32) / 2**24)


def of_jax(key, rows, columns):
    return jax.random.normal(jax.random.wrap_key_data(key, impl="threefry2x32"), (rows, columns))


def implicit_forms(sampler):
    """Functions (keys, images' numbers) -> x [B, T, D]."""
    known = sampler.split.dataset

    def standardised(index):
        return sampler.whole(index).astype(jnp.float32) * (1 / known.std)

    def scanned(function, unroll):
        return lambda keys, indices: mapped(function, 1, keys, indices, unroll=unroll)

    def ours(key, index):
        return implicit_inputs(key, standardised(index), index)

    def with_normals(normals, key, index):
        images = standardised(index)
        return lax.dot(factor(images, index), normals(key, *images.shape), precision="highest")

    def only_normals(key, index):
        return lax.dot(jnp.eye(len(index)), standard_normals(key, len(index), known.dimension), precision="highest")

    return {
        "as it is": scanned(ours, 4),
        "one episode at a time": scanned(ours, 1),
        "JAX's erf_inv": scanned(partial(with_normals, with_erfinv), 4),
        "Box–Muller": scanned(partial(with_normals, box_muller), 4),
        "JAX's random.normal": scanned(partial(with_normals, of_jax), 4),
        "the normals, times an identity": scanned(only_normals, 4),
    }


def measure_tried(rounds):
    """Tasks a second of every form, from keys and numbers of images that are there."""
    sampler = suite().meta_train.sampler(BATCH)
    number, episode = sampler.numbers(0)
    _, indices, _, _ = sampler.examples(number, episode)
    keys = sampler.projection_keys(number)

    def contender(function):
        run = jax.jit(function)
        return Contender(lambda round_: jax.block_until_ready(run(keys, indices)), BATCH)

    return {
        title: interleaved(f"forms of the {title} path", {n: contender(f) for n, f in forms.items()}, rounds)
        for title, forms in {"exact": exact_forms(sampler), "implicit": implicit_forms(sampler)}.items()
    }
