"""NumPy and JAX give the same bytes: any suite, split, task and episode, however JAX is asked."""

import os
import subprocess
import sys
from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax

import gpicl_bench.sampling.sampler
from gpicl_bench import SuiteSpec, errors, make, register, register_dataset, tasks
from gpicl_bench.sampling import make_sampler
from gpicl_bench.sampling.projection import chunked, drawn, normal, plane_order, product, unchunked, unfolded
from gpicl_bench.sampling.words import add64, below, draw_indices, multiply64
from gpicl_bench.streams import root_key
from tests.samples import BUNDLED, numbers64, splits

DIGITS = "digits-proj-perm-v0"


def pairs(numbers):
    return jnp.array([[n >> 32, n & 0xFFFFFFFF] for n in numbers], jnp.uint32)


def joined(pair):
    return np.asarray(pair)[..., 0].astype(np.uint64) << np.uint64(32) | np.asarray(pair)[..., 1].astype(np.uint64)


@jax.jit
def compiled(sampler, task, episode):
    return sampler.episodes(task, episode)


@jax.jit
def stepped(sampler, step):
    return sampler(step)


def assert_equal_bytes(split, tasks, episodes, batch):
    for b, (i, e) in enumerate(zip(tasks, episodes, strict=True)):
        expected = split.episode(i, e)
        assert np.asarray(batch.x)[b].tobytes() == expected.x.tobytes()
        assert np.asarray(batch.y)[b].tobytes() == expected.y.tobytes()
        assert np.asarray(batch.label_map)[b].tobytes() == split.task(i).label_map.tobytes()


@settings(max_examples=40)
@given(st.data())
def test_any_episode_of_any_bundled_suite(data):
    split = splits(make(data.draw(st.sampled_from(BUNDLED))))[data.draw(st.integers(0, 3))]
    tasks, episodes = ([data.draw(numbers64) for _ in range(3)] for _ in range(2))
    batch = compiled(make_sampler(split, 3, None), pairs(tasks), pairs(episodes))
    assert_equal_bytes(split, tasks, episodes, batch)


@settings(max_examples=20)
@given(
    st.integers(0, 2**31 - 1),
    st.sampled_from([None, 1, 5, 2**20, 2**32 - 1]),
    st.sampled_from([0, 2**40 + 1, 2**64 - 1]),
)
def test_batches(step, num_tasks, seed):
    train = make(DIGITS).meta_train
    host = train.batch(step, 5, num_tasks, seed)
    device = stepped(train.sampler(5, num_tasks, seed), step)
    for name in ("x", "y", "label_map"):
        assert np.asarray(getattr(device, name)).tobytes() == getattr(host, name).tobytes()
    assert joined(device.task).tolist() == host.task.tolist()
    assert joined(device.episode).tolist() == host.episode.tolist()


def test_steps_past_32_bits():
    train, step = make(DIGITS).meta_train, 2**40 + 5
    host = train.batch(step, 3)
    device = stepped(train.sampler(3), pairs([step])[0])
    assert joined(device.task).tolist() == host.task.tolist()
    assert np.asarray(device.x).tobytes() == host.x.tobytes()
    assert joined(train.sampler(3).numbers(step)[0]).tolist() == host.task.tolist()


def test_inside_scan_vmap_and_any_batch_size():
    train = make(DIGITS).meta_train
    sampler = train.sampler(4)
    expected = np.concatenate([train.batch(step, 4).x for step in range(3)])
    _, scanned = jax.jit(lambda s: lax.scan(lambda c, i: (c, s(i).x), 0, jnp.arange(3)))(sampler)
    assert np.asarray(scanned).reshape(expected.shape).tobytes() == expected.tobytes()
    mapped = jax.jit(jax.vmap(lambda s, i: s(i).x, in_axes=(None, 0)))(sampler, jnp.arange(3))
    assert np.asarray(mapped).reshape(expected.shape).tobytes() == expected.tobytes()
    for size in (1, 6, 12):
        batches = [np.asarray(stepped(train.sampler(size), step).x) for step in range(12 // size)]
        assert np.concatenate(batches).tobytes() == expected.tobytes()


@pytest.mark.parametrize("x64", [False, True])
@pytest.mark.parametrize("precision", [None, "bfloat16", "tensorfloat32", "float32", "highest"])
def test_configuration_changes_nothing(x64, precision):
    split = make("random-proj-perm-v0").meta_test
    jax.config.update("jax_enable_x64", x64)
    try:
        with jax.default_matmul_precision(precision):
            batch = jax.jit(lambda s, t, e: s.episodes(t, e))(
                make_sampler(split, 2, None), pairs([4, 5]), pairs([0, 1])
            )
        assert (batch.x.dtype, batch.y.dtype) == (jnp.float32, jnp.int32)
        assert_equal_bytes(split, [4, 5], [0, 1], batch)
    finally:
        jax.config.update("jax_enable_x64", False)


CONSUMERS = {
    "a sum": lambda x, b: x + b,
    "a product": lambda x, b: x * jnp.full_like(x, 3.3),
    "both": lambda x, b: jnp.full_like(x, 1.7) * x - b,
    "a matrix product": lambda x, b: x @ jnp.outer(b, b),
}


@pytest.mark.parametrize("consumer", CONSUMERS)
@pytest.mark.parametrize("id", ["digits-proj-perm-v0", "digits-pixperm-perm-v0", "digits-none-perm-v0"])
@pytest.mark.parametrize("size", [1, 8])
def test_nothing_merges_with_the_last_multiplication(consumer, id, size):
    split, consume = make(id).meta_test, CONSUMERS[consumer]
    x = np.stack([split.episode(i).x for i in range(size)])
    b = (
        jnp.broadcast_to(jnp.linspace(-3, 3, 64), x.shape)
        if consumer != "a matrix product"
        else jnp.linspace(-3, 3, 64)
    )
    apart = jax.jit(consume)(jnp.asarray(x), b)
    together = jax.jit(lambda sampler, b: consume(sampler(0).x, b))(make_sampler(split, size, None), b)
    assert np.asarray(together).tobytes() == np.asarray(apart).tobytes()


@pytest.mark.parametrize("id", BUNDLED)
@pytest.mark.parametrize("size", [1, 8])
def test_the_seal_holds_where_everything_is_constant(id, size):
    """Sampler and step closed over: the compiler may compute what it likes while it compiles."""
    split = make(id).meta_train
    sampler, x = split.sampler(size), split.batch(3, size).x
    v = jnp.linspace(-3, 3, x.size).reshape(x.shape)
    assert np.asarray(jax.jit(lambda v: sampler(3).x + v)(v)).tobytes() == (x + np.asarray(v)).tobytes()
    turned = jax.jit(lambda v: lax.fori_loop(3, 4, lambda i, v: sampler(i).x + v, v))(v)
    assert np.asarray(turned).tobytes() == (x + np.asarray(v)).tobytes()


@pytest.mark.parametrize("form", [np.int64, np.uint64, np.asarray, lambda step: pairs([step])[0]])
def test_steps_in_every_form(form):
    sampler = make(DIGITS).meta_train.sampler(2)
    assert joined(sampler.numbers(form(2**32 + 1))[0]).tolist() == [2**33 + 2, 2**33 + 3]


def test_wide_steps_inside_jit():
    """With x64 a step is 64 bits wide, also while it is traced."""
    train = make(DIGITS).meta_train
    jax.config.update("jax_enable_x64", True)
    try:
        sampler = train.sampler(2)
        steps = jnp.arange(2**40, 2**40 + 2)
        _, task = jax.jit(lambda s, steps: lax.scan(lambda c, i: (c, s(i).task), 0, steps))(sampler, steps)
        assert joined(task).tolist() == [[2**41, 2**41 + 1], [2**41 + 2, 2**41 + 3]]
    finally:
        jax.config.update("jax_enable_x64", False)


@pytest.mark.parametrize(
    "step",
    [
        2**63,
        jnp.int32(-1),
        2.5,
        jnp.float32(2.0),
        None,
        jnp.arange(2),
        jnp.zeros(3, jnp.uint32),
        np.zeros(2, np.uint64),
    ],
)
def test_what_is_no_step_is_refused(step):
    sampler = make(DIGITS).meta_train.sampler(4)
    with pytest.raises((errors.InvalidArgument, jaxtyping.TypeCheckError)):
        sampler(step)
    if isinstance(step, jax.Array) and step.dtype != jnp.int32:
        with pytest.raises((errors.InvalidArgument, jaxtyping.TypeCheckError)):
            jax.jit(lambda s, step: s(step))(sampler, step)


def test_without_the_seal_the_compiler_does_merge(monkeypatch):
    """The test above can fail: XLA folds x · 3.3 into the scale of x."""
    monkeypatch.setattr(gpicl_bench.sampling.sampler, "seal", lambda x, whole, key: x)
    split = make(DIGITS).meta_test
    x = np.stack([split.episode(i).x for i in range(8)])
    merged = jax.jit(lambda sampler: sampler(0).x * jnp.float32(3.3))(make_sampler(split, 8, None))
    assert np.asarray(merged).tobytes() != (x * np.float32(3.3)).tobytes()


def test_wide_projections_use_whole_numbers():
    """Past the width where float32 sums are exact, the sum is int32: worst case, every product equal."""
    dimension = gpicl_bench.tasks.EXACT_IN_FLOAT32 + 8
    weights, pixels = jnp.full((dimension, dimension), 58.0), jnp.full((1, dimension), 253.0)
    assert (product(pixels, weights) == 58 * 253 * dimension).all()


@given(st.integers(0, 2**32 - 1), st.integers(0, 2**32 - 1), numbers64)
def test_arithmetic_on_pairs(a, b, wide):
    pair = pairs([wide])[0]
    assert int(below(jnp.uint32(a), jnp.uint32(b))) == a * b >> 32
    assert int(joined(multiply64(pair, b))) == wide * b % 2**64
    assert int(joined(add64(pair, jnp.uint32(b)))) == (wide + b) % 2**64


@settings(max_examples=25)
@given(st.integers(0, 2**64 - 1), st.sampled_from([(1, 1), (2, 2), (7, 3), (40, 40), (97, 60), (1000, 100)]))
def test_doubling_follows_every_chain_of_swaps(number, sizes):
    pool, length = sizes
    key = root_key(str(number))
    draw = partial(draw_indices, pool=pool, num_examples=length, replacement=False)
    assert np.array_equal(draw(jnp.asarray(key)), tasks.draw_indices(key, pool, length, replacement=False))


def test_the_rational_form_is_the_table():
    """For every byte, under jit; and so far from every half that no rounding of float32 arithmetic can matter."""
    bytes_ = np.arange(256, dtype=np.uint8)
    assert np.array_equal(jax.jit(normal)(bytes_), tasks.TABLE)
    q = (np.arange(256) - 127.5) / 128
    value = q * (25.025988 - 32.516504 * q**2 + 8.156083 * q**4) / (1 - 1.559770 * q**2 + 0.570191 * q**4)
    assert np.array_equal(np.rint(value), tasks.TABLE)
    assert np.abs(value - np.floor(value) - 0.5).min() > 0.004


@pytest.mark.parametrize("dimension", [1, 2, 3, 8, 13, 16, 20, 64, 100, 784])
def test_planes_are_the_projection(dimension):
    key = root_key(f"planes {dimension}")
    weights = jax.jit(lambda key: unfolded(drawn(key, dimension), dimension))(key)
    assert np.array_equal(weights, tasks.projection(key, dimension).T[plane_order(dimension)])
    assert sorted(plane_order(dimension)) == list(range(dimension))


@given(st.integers(1, 300), st.integers(1, 400))
def test_chunks_hold_every_row_once_and_no_more_than_they_may(length, most):
    rows = jnp.arange(length)
    chunks = chunked(rows, most)
    assert chunks.shape[1] <= most
    assert chunks.size < length + len(chunks)
    assert 2 * chunks.shape[1] > min(most, length) or most > length  # no crowd of small chunks
    assert np.array_equal(unchunked(chunks, length), rows)


@pytest.mark.parametrize("id", [DIGITS, "random-proj-perm-v0"])
def test_a_kept_pool_gives_the_same_bits(id):
    train = make(id).meta_train
    dimension = train.info.D
    kept = train.sampler(4, 3, 5, pool_bytes=3 * dimension**2)
    assert (kept.pool.shape, kept.pool.dtype) == ((3, dimension, dimension), jnp.int8)
    for step in (0, 9):
        host = train.batch(step, 4, 3, 5)
        assert np.asarray(stepped(kept, step).x).tobytes() == host.x.tobytes()


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        ({"num_tasks": 5, "pool_bytes": 5 * 64 * 64 - 1}, r"(?s)larger than its budget.*20,479.*20,480 bytes"),
        ({"num_tasks": 2**25, "pool_bytes": 2**30}, "larger than its budget"),
        ({"pool_bytes": 2**30}, "no pool of projections to keep"),
        ({"num_tasks": 5, "pool_bytes": 0}, "pool_bytes is out of range"),
        ({"num_tasks": 5, "pool_bytes": True}, "pool_bytes"),
        ({"mesh": "cpu"}, "mesh"),
    ],
)
def test_what_cannot_be_sampled_is_refused_at_once(asked, message):
    with pytest.raises((errors.InvalidArgument, jaxtyping.TypeCheckError), match=message):
        make(DIGITS).meta_train.sampler(4, **asked)


def test_there_is_no_pool_of_projections_without_projections():
    with pytest.raises(errors.InvalidArgument, match="no pool of projections to keep"):
        make("digits-pixperm-perm-v0").meta_train.sampler(4, 5, pool_bytes=2**30)


def temporary_bytes(sampler):
    lowered = stepped.lower(sampler, jnp.int32(0))
    return lowered.compile().memory_analysis().temp_size_in_bytes


@pytest.mark.parametrize("kind", ["sampler", "implicit_sampler"])
def test_memory_beside_the_batch_is_bounded(kind):
    """448 more episodes of 784 pixels: a projection is 0.6 MB in int8, and 2.5 MB in float32."""
    draw = getattr(make("random-proj-perm-v0").meta_train, kind)
    small, large = temporary_bytes(draw(64)), temporary_bytes(draw(512))
    assert small < 8e6
    assert large - small < 448 * 2000  # numbers of images, labels, keys


def test_memory_is_bounded_for_long_episodes_without_replacement():
    """The images of an episode are found by comparing its T places with each other: T² numbers, a few episodes at a time."""
    long = make("digits-none-perm-v0", num_examples=350).meta_train
    assert temporary_bytes(long.sampler(256)) < 40e6  # 256 · 350² numbers would be 125 MB


def test_a_kept_pool_has_its_own_tasks_only():
    sampler = make(DIGITS).meta_train.sampler(2, 6, pool_bytes=2**20)
    with pytest.raises(errors.InvalidArgument, match=r"(?s)a task of the pool is out of range.*6"):
        sampler.episodes(pairs([5, 6]), pairs([0, 0]))


def test_one_pixel(forget):
    """A product over one pixel becomes a multiplication, and 0 · -3 is -0 there; the reference has no -0."""
    images = np.arange(200, dtype=np.uint8).reshape(-1, 1)
    labels = np.arange(200) % 2
    register_dataset("onepixel", train=(images, labels), test=(images, labels))
    register(SuiteSpec("onepixel-proj-perm-v0", num_examples=150))
    split = make("onepixel-proj-perm-v0").meta_train
    for size in (1, 5):
        assert np.asarray(stepped(split.sampler(size), 0).x).tobytes() == split.batch(0, size).x.tobytes()


@pytest.mark.parametrize("dimension", [3, 1135, 3080])
def test_any_width(dimension, forget):
    """Not divided by 8, and past the width where sums are float32."""
    images = np.random.default_rng(dimension).integers(0, 256, (40, dimension), dtype=np.uint8)
    labels = np.arange(40) % 4
    register_dataset(f"wide{dimension}", train=(images, labels), test=(images, labels))
    register(SuiteSpec(f"wide{dimension}-proj-perm-v0", num_examples=7))
    split = make(f"wide{dimension}-proj-perm-v0").meta_train
    assert np.asarray(stepped(split.sampler(3), 0).x).tobytes() == split.batch(0, 3).x.tobytes()


PROGRAM = """
import hashlib, sys
import jax, numpy as np
from jax.sharding import Mesh
import gpicl_bench
from gpicl_bench.errors import InvalidArgument

train = gpicl_bench.make("digits-proj-perm-v0").meta_train
devices = np.array(jax.devices())
assert len(devices) == 8
step = jax.jit(lambda sampler, step: sampler(step))
asked = {"unbounded": {}, "pool": {"num_tasks": 6}, "kept": {"num_tasks": 6, "pool_bytes": 6 * 64 * 64}}
for name, options in asked.items():
    host = train.batch(3, 16, options.get("num_tasks"))
    meshes = [None, Mesh(devices[:1], "b"), Mesh(devices[:2], "b"), Mesh(devices, "b"), Mesh(devices.reshape(2, 4), ("b", "c"))]
    for mesh in [*meshes, jax.make_mesh((8,), ("b",)), jax.make_mesh((2, 4), ("b", "c"))]:
        batch = step(train.sampler(16, mesh=mesh, **options), 3)
        for field in ("x", "y", "label_map"):
            assert np.asarray(getattr(batch, field)).tobytes() == getattr(host, field).tobytes(), (name, mesh)
        used = 1 if mesh is None else mesh.size
        assert len(batch.x.sharding.device_set) == used
        assert {shard.data.shape for shard in batch.x.addressable_shards} == {(16 // used, 100, 64)}
one = np.asarray(step(train.implicit_sampler(16), 3).x)
eight = np.asarray(step(train.implicit_sampler(16, mesh=Mesh(devices, "b")), 3).x)
assert np.abs(one - eight).max() < 1e-3
explicit = jax.make_mesh((8,), ("b",))
with jax.set_mesh(explicit):
    x = step(train.sampler(16, mesh=explicit), 3).x
    assert np.asarray(x).tobytes() == train.batch(3, 16).x.tobytes()
for size in (4, 12):
    for draw in (train.sampler, train.implicit_sampler):
        try:
            draw(size, mesh=Mesh(devices, "b"))
        except InvalidArgument as error:
            assert "does not divide the batch" in str(error)
        else:
            raise SystemExit("a mesh that does not divide the batch was taken")
print("the same")
"""


def test_the_same_bits_on_1_2_and_8_devices():
    environment = {**os.environ, "XLA_FLAGS": "--xla_force_host_platform_device_count=8", "JAX_PLATFORMS": "cpu"}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (0, "the same\n"), done.stderr
