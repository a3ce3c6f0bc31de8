"""Implicit tasks have the law of the tasks of record, no identity, and no trouble with repeated images."""

from functools import partial

import jax
import jax.numpy as jnp
import jaxtyping
import numpy as np
import pytest
import scipy.signal
import scipy.stats
from jax import lax

import gpicl_bench.sampling.implicit as implicit_module
from gpicl_bench import Batch, ImplicitBatch, errors, make
from gpicl_bench.sampling.implicit import implicit_inputs, standard_normals
from gpicl_bench.streams import child_key, root_key
from gpicl_bench.tasks import SIGMA, projection

TRAIN = make("digits-proj-perm-v0").meta_train
KNOWN = TRAIN.dataset
T, D, TASKS = 12, 64, 3000
PIXELS = TRAIN.part.pixels[:T].astype(np.float64)
IMAGES = ((PIXELS - KNOWN.center) / KNOWN.std).astype(np.float32)
LAW = IMAGES.astype(np.float64) @ IMAGES.T.astype(np.float64) / D  # of every column of x


@jax.jit
def stepped(sampler, step):
    return sampler(step)


@pytest.fixture(scope="module")
def implicit():
    """x of these images in 3,000 implicit tasks: [task, T, D]."""
    keys = np.stack([child_key(root_key("law"), i) for i in range(TASKS)])
    index = jnp.arange(T, dtype=jnp.int32)
    return np.asarray(jax.jit(jax.vmap(lambda key: implicit_inputs(key, jnp.asarray(IMAGES), index)))(keys), np.float64)


@pytest.fixture(scope="module")
def exact():
    """The same with projections, as the reference draws them."""
    keys = [child_key(root_key("law"), i) for i in range(TASKS)]
    return np.stack([IMAGES @ projection(key, D).T / (SIGMA * np.sqrt(D)) for key in keys])


def p_of_mean(x):
    """Σ over tasks and columns is normal with mean 0 and covariance n·LAW."""
    total = x.sum(axis=(0, 2))
    return scipy.stats.chi2.sf(total @ np.linalg.solve(LAW, total) / (len(x) * D), T)


def whitened(x):
    """Independent standard normals if the law holds."""
    return np.linalg.solve(np.linalg.cholesky(LAW), x.transpose(1, 0, 2).reshape(T, -1))


def p_of_variance(x):
    """Of whitened x."""
    return p_of_squares(whitened(x))


def p_of_squares(z):
    """Σ z² over independent standard normals follows χ²."""
    value = np.square(z).sum()
    return 2 * min(scipy.stats.chi2.cdf(value, z.size), scipy.stats.chi2.sf(value, z.size))


def p_of_covariance(x):
    """The off-diagonal sums of products of whitened rows are normal, with variance n each, and uncorrelated."""
    z = whitened(x)
    products = (z @ z.T)[np.triu_indices(T, 1)] / np.sqrt(z.shape[1])
    return scipy.stats.chi2.sf(np.square(products).sum(), len(products))


def p_of_columns(x):
    """Neighbouring columns, and the same place in neighbouring tasks, do not correlate."""
    z = whitened(x).reshape(T, len(x), D)
    values = [(z[:, :, 1:] * z[:, :, :-1]), (z[:, 1:] * z[:, :-1])]
    scores = [v.sum() / np.sqrt(v.size) for v in values]
    return scipy.stats.chi2.sf(np.square(scores).sum(), 2)


def p_of_shape(x):
    """Kolmogorov–Smirnov on the whitened first row, which is one normal times a constant."""
    return scipy.stats.kstest(whitened(x)[0], "norm").pvalue


TESTS = [p_of_mean, p_of_variance, p_of_covariance, p_of_columns]


@pytest.mark.parametrize("p", [*TESTS, p_of_shape], ids=lambda p: p.__name__)
def test_the_law(implicit, p):
    assert p(implicit) > 0.001


@pytest.mark.parametrize("p", TESTS, ids=lambda p: p.__name__)
def test_it_is_that_of_the_tasks_of_record(exact, p):
    assert p(exact) > 0.001


@pytest.mark.parametrize(
    ("p", "wrong"),
    [
        (p_of_variance, lambda x: x * 1.01),
        (p_of_variance, lambda x: x * np.sqrt(D / (D + 1))),
        (p_of_variance, lambda x: x * np.sqrt(D)),
        (p_of_mean, lambda x: x + 0.01),
        (p_of_covariance, lambda x: x + 0.1 * np.roll(x, 1, axis=1)),
        (p_of_columns, lambda x: x + 0.02 * np.roll(x, 1, axis=2)),
        (p_of_columns, lambda x: np.repeat(x[::2], 2, axis=0)),
        (p_of_shape, lambda x: np.sign(x) * np.abs(x) ** 1.05),
    ],
)
def test_the_tests_have_power(implicit, p, wrong):
    assert p(wrong(implicit)) < 1e-6


def test_normals_are_normal_to_the_tails():
    values = np.asarray(jax.jit(partial(standard_normals, rows=2000, columns=784))(jnp.asarray(root_key("tails"))))
    assert scipy.stats.kstest(values.ravel(), "norm").statistic < 0.0006 + 1.95 / np.sqrt(values.size)
    assert np.unique(values).size > 150_000  # of 262,141
    for far in (3, 4):
        expected = values.size * 2 * scipy.stats.norm.sf(far)
        assert abs((np.abs(values) > far).sum() - expected) < 5 * np.sqrt(expected) + 0.02 * expected
    assert abs(np.square(values, dtype=np.float64).mean() - 1) < 5 * np.sqrt(2 / values.size)
    assert np.abs(values).max() < 6.65


def test_sums_of_four_uniforms_become_normal(monkeypatch):
    """Every possible sum: its distribution, of 2^64 equally likely quadruples, against that of the normal it becomes."""
    one = np.ones(2**16)
    counts = scipy.signal.fftconvolve(scipy.signal.fftconvolve(one, one), scipy.signal.fftconvolve(one, one))
    total = np.arange(counts.size)
    halves = np.stack([np.clip(total - n * 0xFFFF, 0, 0xFFFF) for n in range(4)]).astype(np.uint32)
    words = (halves[0] | halves[1] << 16, halves[2] | halves[3] << 16)
    assert len(total) == 4 * 0xFFFF + 1
    monkeypatch.setattr(implicit_module, "block", lambda key, low: tuple(jnp.asarray(w)[None, :] for w in words))
    values = np.asarray(standard_normals(jnp.zeros(2, jnp.uint32), 1, counts.size), np.float64)[0]
    share = counts / counts.sum()
    assert (np.diff(values) > 0).all()
    middle = np.cumsum(share) - share / 2
    assert np.abs(scipy.stats.norm.cdf(values) - middle).max() < 0.0006
    assert share @ values**2 == pytest.approx(1, abs=1e-5)
    assert share @ values**4 == pytest.approx(3, abs=0.01)
    common = np.abs(values) < 4
    assert np.abs(values - scipy.stats.norm.ppf(np.clip(middle, 1e-12, 1 - 1e-12)))[common].max() < 0.004


ODD = {
    "one image, often": np.repeat(IMAGES[:1], 100, axis=0),
    "blank": np.zeros((100, D), np.float32),
    "blank among others": np.concatenate([np.zeros((50, D), np.float32), IMAGES]),
    "collinear": np.outer(np.linspace(-3, 3, 100), IMAGES[0]).astype(np.float32),
    "of rank 3": (np.random.default_rng(0).normal(size=(100, 3)) @ IMAGES[:3]).astype(np.float32),
    "white": np.full((100, D), (255 - KNOWN.center) / KNOWN.std, np.float32),
    "nearly the same": np.repeat(IMAGES[:1], 100, axis=0) + np.eye(100, D, dtype=np.float32) / 100,
    "far from the others": np.concatenate([IMAGES * 1e3, IMAGES]),
    "more than inputs": np.random.default_rng(1).normal(size=(100, 4)).astype(np.float32),
}


@pytest.mark.parametrize("images", ODD.values(), ids=ODD)
def test_repeated_collinear_and_blank_images(images):
    """x is finite, and has the variances and the covariances that it should, to the ε that is added."""
    index = jnp.arange(len(images), dtype=jnp.int32)
    keys = np.stack([child_key(root_key("odd"), i) for i in range(400)])
    x = np.asarray(jax.jit(jax.vmap(lambda key: implicit_inputs(key, jnp.asarray(images), index)))(keys), np.float64)
    assert np.isfinite(x).all()
    law = images.astype(np.float64) @ images.T.astype(np.float64) / images.shape[1]
    found = np.einsum("nid,njd->ij", x, x) / (len(x) * images.shape[1])
    size = np.sqrt(np.maximum(np.diag(law), 1))
    error = np.abs(found - law) / np.outer(size, size)
    assert error.max() < 6 / np.sqrt(len(x) * images.shape[1]) + 1e-4


@pytest.mark.parametrize(("length", "dimension"), [(20, 3072), (100, 1024), (100, 3072), (400, 1), (300, 784)])
def test_grey_levels_that_float32_cannot_tell_from_a_singular_matrix(length, dimension):
    """Images of one grey level each, all multiples of one another: ε alone would not do, and NaN would come."""
    levels = ((np.arange(length) % 256 - 128) / 70).astype(np.float32)
    images = jnp.asarray(np.repeat(levels[:, None], dimension, axis=1))
    index = jnp.arange(length, dtype=jnp.int32)
    keys = jnp.asarray([child_key(root_key("grey"), i) for i in range(4)])
    x = np.asarray(jax.jit(jax.vmap(lambda key: implicit_inputs(key, images, index)))(keys))
    assert np.isfinite(x).all()
    bright = np.abs(levels) > 1
    along = x[:, bright] / levels[bright, None]  # the same projection of one image, again and again
    assert np.std(along - along.mean(axis=1, keepdims=True)) < 0.1


@pytest.fixture(scope="module")
def sampled():
    """x of 64 episodes of 20 examples, as the sampler gives them, whitened by the law of each episode's images."""
    train = make("digits-proj-perm-v0", num_examples=20).meta_train
    sampler = train.implicit_sampler(64, seed=2)
    x = np.asarray(stepped(sampler, 11).x, np.float64)
    numbers = sampler.examples.numbers(11)[0]
    _, indices, _, _ = sampler.examples.examples(numbers, jnp.zeros_like(numbers))
    images = (train.part.pixels[np.asarray(indices)].astype(np.float64) - KNOWN.center) / KNOWN.std
    lower = np.linalg.cholesky(images @ images.transpose(0, 2, 1) / D + 1e-4 * np.eye(20))
    return np.linalg.solve(lower, x)


def test_the_sampler_gives_that_law(sampled):
    assert p_of_squares(sampled) > 0.001
    assert scipy.stats.kstest(sampled.ravel(), "norm").pvalue > 0.001


def test_a_wrong_scale_of_the_sampler_would_fail(sampled):
    for wrong in (KNOWN.std, 1 / KNOWN.std, 1.02):
        assert p_of_squares(sampled * wrong) < 1e-4


def test_episodes_share_no_normals(sampled):
    flat = sampled.reshape(64, -1)
    together = np.corrcoef(flat)[np.triu_indices(64, 1)]
    assert np.abs(together).max() < 6 / np.sqrt(flat.shape[1])


def test_images_and_labels_are_its_own_too():
    """So nothing of an implicit task is of a task of record."""
    batch, record = stepped(TRAIN.implicit_sampler(64), 0), TRAIN.batch(0, 64)
    assert (np.asarray(batch.y) == record.y).mean() < 0.2
    assert (np.asarray(batch.label_map) == record.label_map).all(axis=1).sum() == 0


def test_an_image_that_comes_again_has_the_same_x_again():
    sampler = make("random-proj-perm-v0").meta_train.implicit_sampler(3)
    x = np.asarray(stepped(sampler, 4).x)
    _, indices, _, _ = sampler.examples.examples(*sampler.examples.numbers(4))
    for episode, index in zip(x, np.asarray(indices), strict=True):
        assert len(np.unique(index)) == len(np.unique(episode, axis=0)) == 10
        for row, image in zip(episode, index, strict=True):
            assert row.tobytes() == episode[list(index).index(image)].tobytes()


def test_labels_follow_the_label_map():
    sampler = TRAIN.implicit_sampler(5)
    batch = stepped(sampler, 7)
    _, indices, _, _ = sampler.examples.examples(*sampler.examples.numbers(7))
    classes = TRAIN.part.labels[np.asarray(indices)]
    assert np.array_equal(np.take_along_axis(np.asarray(batch.label_map), classes, axis=1), batch.y)


def test_a_batch_is_a_pure_function_of_seed_and_step():
    first = np.asarray(stepped(TRAIN.implicit_sampler(4), 2).x)
    again = np.asarray(stepped(TRAIN.implicit_sampler(4), jnp.int32(2)).x)
    _, scanned = jax.jit(lambda s: lax.scan(lambda c, i: (c, s(i).x), 0, jnp.arange(2, 4)))(TRAIN.implicit_sampler(4))
    assert first.tobytes() == again.tobytes()
    assert np.asarray(scanned)[0] == pytest.approx(first, abs=1e-3)
    for other in (stepped(TRAIN.implicit_sampler(4), 3), stepped(TRAIN.implicit_sampler(4, seed=1), 2)):
        assert np.abs(np.corrcoef(np.asarray(other.x).ravel(), first.ravel())[0, 1]) < 0.3


def test_nobody_takes_it_for_a_task_of_record():
    batch = stepped(TRAIN.implicit_sampler(2), 0)
    assert isinstance(batch, ImplicitBatch)
    assert not isinstance(batch, Batch)
    assert not {"task", "episode"} & set(dir(batch))
    assert abs(np.corrcoef(np.asarray(batch.x).ravel(), TRAIN.batch(0, 2).x.ravel())[0, 1]) < 0.3


@pytest.mark.parametrize(
    ("draw", "message"),
    [
        (lambda: TRAIN.implicit_sampler(4, 2**16), r"(?s)no finite pool.*num_tasks=65536"),
        (lambda: make("digits-proj-perm-v0").meta_test.implicit_sampler(4), r"(?s)meta-training alone.*meta_test"),
        (lambda: make("digits-proj-perm-v0").meta_validation.implicit_sampler(4), "meta-training alone"),
        (lambda: make("digits-proj-perm-v0").seen().implicit_sampler(4), "meta-training alone"),
        (lambda: make("digits-none-perm-v0").meta_train.implicit_sampler(4), "no projections that could be implicit"),
        (lambda: TRAIN.implicit_sampler(0), "batch_size is out of range"),
        (lambda: TRAIN.implicit_sampler(4, seed=-1), "seed is out of range"),
        (lambda: TRAIN.implicit_sampler(4)(-1), "step is out of range"),
        (lambda: TRAIN.implicit_sampler(4, mesh="cpu"), "mesh"),
    ],
)
def test_what_has_no_implicit_tasks_is_refused(draw, message):
    with pytest.raises((errors.InvalidArgument, jaxtyping.TypeCheckError), match=message):
        draw()
