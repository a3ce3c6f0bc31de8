"""The benchmarks measure what they say; the page is made of their files."""

import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
import scipy.stats

from gpicl_bench import Info, make
from tests.benchmarks import environments, grid, page, tasks, together, tried
from tests.benchmarks.exactness import measure_exactness
from tests.benchmarks.record import FOLDER
from tests.benchmarks.rounds import Contender, interleaved, ratios

SUITE = make("digits-proj-perm-v0")
CPU = FOLDER / "cpu.json"


def test_rounds_take_turns_and_the_first_is_not_counted(capsys):
    asked = []
    contenders = {name: Contender(lambda number, name=name: asked.append((number, name)), 5) for name in "ab"}
    measured = interleaved("turns", contenders, 3)
    assert asked == [(number, name) for number in range(4) for name in "ab"]
    assert len(measured["a"]["rounds"]) == 3
    assert ratios({"x": {"rounds": [6, 2]}, "y": {"rounds": [2, 4]}}, "x", "y") == [0.5, 3]
    assert "round 3 of 3" in capsys.readouterr().err


@pytest.mark.parametrize("name", tried.exact_forms(SUITE.meta_train.sampler(4)))
def test_every_form_of_the_exact_path_gives_the_same_whole_numbers(name):
    """Else a comparison of their times would mean nothing."""
    sampler = SUITE.meta_train.sampler(4)
    number, episode = sampler.numbers(0)
    _, indices, _, _ = sampler.examples(number, episode)
    keys = sampler.projection_keys(number)
    known, part = SUITE.meta_train.dataset, SUITE.meta_train.part
    z = jax.jit(tried.exact_forms(sampler)[name])(keys, indices)
    for i in range(4):
        shifted = part.pixels[np.asarray(indices[i])].astype(np.int64) - known.center
        assert np.array_equal(z[i], shifted @ SUITE.meta_train.task(i).projection.T.astype(np.int64))


@pytest.mark.parametrize("normals", [tried.box_muller, tried.with_erfinv, tried.of_jax])
def test_other_normals_are_normal(normals):
    drawn = normals(jnp.array([3, 4], jnp.uint32), 100, 200)
    assert scipy.stats.kstest(np.asarray(drawn).ravel(), "norm").pvalue > 0.001


@pytest.mark.parametrize("contender", tasks.OTHERS.values(), ids=tasks.OTHERS)
def test_what_people_write_draws_tasks(contender, monkeypatch):
    monkeypatch.setattr(tasks, "BATCH", 3)
    monkeypatch.setattr(tasks, "FEW", 3)
    run, count = contender(SUITE.meta_train)
    drawn = run(1)
    assert count == 3
    x, y = drawn if len(drawn) == 2 else map(np.stack, zip(*drawn, strict=True))
    assert (x.shape, y.shape) == ((3, 100, 64), (3, 100))
    assert 0.5 < np.std(np.asarray(x)) < 2


def test_the_product_alone_is_a_product():
    sampler = SUITE.meta_train.sampler(5)
    weights = jnp.asarray(np.random.default_rng(0).integers(-58, 59, (1, 64, 64)), jnp.float32)
    _, indices, _, _ = sampler.examples(*sampler.numbers(2))
    shifted = np.asarray(sampler.pixels)[np.asarray(indices)].astype(np.int64) - 5
    assert np.array_equal(tasks.multiplied(sampler, weights, jnp.int32(2)), shifted @ np.asarray(weights[0], np.int64))
    several = jnp.concatenate([weights, weights])
    assert np.array_equal(tasks.multiplied(sampler, several, jnp.int32(2)), shifted @ np.asarray(weights[0], np.int64))


def test_the_forms_of_vsml_that_are_compared_give_the_same_gradient():
    info = Info("small", D=6, C=3, T=5)
    found = {name: contender.run(1) for name, contender in grid.contenders(info, 2).items() if "product" not in name}
    one, *others = [jax.tree.leaves(gradient) for gradient in found.values()]
    for other in others:
        assert all(jnp.allclose(a, b, atol=1e-4 * float(jnp.abs(a).max())) for a, b in zip(one, other, strict=True))


@pytest.mark.parametrize("mode", ["vector_entry_point", "sync"])
def test_environments_are_stepped_through_whole_episodes_of_new_tasks(mode, monkeypatch):
    monkeypatch.setattr(environments, "NUM_ENVS", 2)
    run, count = environments.stepping("gpicl_bench/digits-proj-perm-v0", mode)
    drawn, drawn_count = environments.drawing(SUITE.meta_train)
    assert count == drawn_count == 200
    for number in (0, 3):
        terminated, info = run(number)
        assert terminated.all()
        assert info["task"].tolist() == [2 * number, 2 * number + 1]
        assert np.array_equal(drawn(number)[1].x, SUITE.meta_train.episode(2 * number + 1).x)
    assert environments.stepping("CartPole-v1", mode).run(1)[0].shape == (2,)


def test_this_device_is_exact():
    assert all(value["equal"] == value["compared"] for value in measure_exactness(1).values())


def test_the_page_is_made_of_the_files():
    assert page.PAGE.read_text() == page.made()


def test_the_page_says_what_is_unmeasured(tmp_path, monkeypatch):
    sections = json.loads(CPU.read_text())
    (tmp_path / "cpu.json").write_text(json.dumps({name: sections[name] for name in ("tasks", "memory")}))
    monkeypatch.setattr(page, "FOLDER", tmp_path)
    made = page.made()
    assert made.count("**CPU**: unmeasured.") == len(page.SECTIONS) - 2
    assert made.count("**GPU**: unmeasured.") == len(page.SECTIONS)


def test_runs_at_once_and_in_a_row_do_the_same_steps(standard_promotion):
    """Else their times would not compare: both ways give the losses of the same runs."""
    group = [together.settings(8, 6, 2, seed) for seed in range(2)]
    group = [replace(one, training=replace(one.training, steps=2, every=2, warmup=1)) for one in group]
    ways = together.whole(group)
    assert ways["in a row"].tasks == ways["at once"].tasks == together.RUNS
    for contenders in (ways, together.steps_alone(group)):
        for contender in contenders.values():
            contender.run(0)
    result = {
        "runs": 8,
        "steps": 2,
        "sizes": {
            "small": {
                what: {
                    way: {
                        "tasks_per_second": 2.0 * (way == "at once") + 2.0,
                        "rounds": [2.0 + 2.0 * (way == "at once")],
                    }
                    for way in ways
                }
                for what in ("whole", "steps")
            }
        },
    }
    shown = "\n".join(page.together_section(result))
    assert "| 4.00 | 2.00 | 0.50 (0.50 to 0.50) | ≤ 0.5 |" in shown
