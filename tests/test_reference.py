"""Reference runs and the page that is made of them; the committed ones are what they say."""

import doctest
import json
import re
import shutil

import numpy as np
import pytest

import baselines
from baselines.reference import CLASSICAL, HERE, RESULTS, RUNS, SEEDS, WEIGHTS, classical, reference, scored
from baselines.settings import make_settings
from baselines.table import read_runs, write_readme
from gpicl_bench import evaluate, load_result, make, registry
from gpicl_bench.errors import GpiclBenchError, InvalidArgument
from tests.conftest import ROOT

TINY = {"steps": 2, "every": 1, "warmup": 1, "batch_size": 2, "validation_tasks": 4, "num_examples": 6}
TWO = (("transformer", "paired"), ("lstm", "shifted"))
COMMITTED = read_runs(RESULTS)

pytestmark = pytest.mark.usefixtures("standard_promotion")


@pytest.fixture
def two_models(monkeypatch):
    """Of each kind one is enough for the script."""
    monkeypatch.setitem(RUNS, "digits-tiny", TWO)


@pytest.fixture(scope="module")
def home(tmp_path_factory, standard_promotion):
    """A folder of baselines with reference results of its own, at a tiny size."""
    home = tmp_path_factory.mktemp("home")
    for file in HERE.glob("*.py"):
        shutil.copy(file, home)
    places = {"results": home / "results", "weights": home / "weights", "runs": home / "runs"}
    said = []
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(RUNS, "digits-tiny", TWO)
        reference("digits-tiny", 1, TINY, **places, num_tasks=8, say=said.append)
    assert sum(line.startswith("digits-proj-perm-v0: accuracy@5") for line in said) == len(TWO)
    return home


@pytest.mark.usefixtures("two_models")
def test_the_script_leaves_results_weights_and_a_page(home):
    for model, tokens in TWO:
        folder = home / "results" / "digits-tiny" / f"{model}-{tokens}-seed0"
        result = load_result(folder / "digits-proj-perm-v0.json")
        about = json.loads((folder / "run.json").read_text())
        assert result.learner.card["meta_training"]["seed"] == about["settings"]["training"]["seed"] == 0
        assert result.learner.card["weights_sha256"] == about["sha256"]
        assert result.evidence.startswith("audit passed")
        assert (home / "weights" / "digits-proj-perm-v0" / f"{model}-{tokens}.safetensors").exists()
    text = write_readme(home).read_text()
    for model, tokens in TWO:
        assert re.search(rf"^\| {model}-{tokens} \(digits-tiny\) \| 0\.\d{{3}} \(", text, re.MULTILINE)
    assert "`python -m baselines reference paper`" in text
    assert (home / "results" / "digits-proj-perm-v0.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.usefixtures("two_models")
def test_a_second_time_nothing_is_trained(home):
    places = {"results": home / "results", "weights": home / "weights", "runs": home / "runs"}
    before = (home / "runs" / "digits-tiny" / "lstm-shifted-seed0" / "metrics.jsonl").stat().st_mtime_ns
    said = []
    reference("digits-tiny", 1, TINY, **places, num_tasks=8, say=said.append)
    assert not any(line.startswith("step ") for line in said)
    said.clear()
    reference("digits-tiny", 1, TINY, **places, num_tasks=8, say=said.append, only=["lstm"])
    assert {line.split()[1] for line in said if line.startswith("digits-tiny: ")} == {"lstm-shifted-seed0,"}
    assert (home / "runs" / "digits-tiny" / "lstm-shifted-seed0" / "metrics.jsonl").stat().st_mtime_ns == before


def test_the_papers_table_is_whole():
    """arXiv 2212.04458, Table 1, column by column as it stands there."""
    from baselines.table import PAPER

    names = ("sgd", "maml", "vsml", "lstm", "transformer")
    columns = {
        "mnist": (70.31, 53.71, 79.04, 25.39, 73.70),
        "fashion_mnist": (50.78, 48.44, 68.49, 28.12, 62.24),
        "kmnist": (37.89, 36.33, 54.69, 18.10, 53.39),
        "random": (100.00, 99.80, 100.00, 58.72, 100.00),
        "cifar10": (14.84, 17.38, 24.09, 12.11, 19.40),
        "svhn_cropped": (10.16, 11.33, 17.45, 11.07, 14.58),
    }
    assert {name: dict(zip(names, column, strict=True)) for name, column in columns.items()} == PAPER


def test_every_file_is_named_once_and_every_state_is_counted():
    page = (HERE / "README.md").read_text()
    for name in {model for models in RUNS.values() for model, _ in models} | set(CLASSICAL):
        assert page.count(f"| [{name}.py]({name}.py) |") == 1
    row = re.search(r"^\| sgd \|.*$", page, re.MULTILINE)[0]
    assert "| 8,060 | none |" in row, "W, b and two moments of each, the example whose label is to come, a counter"


def test_a_run_is_scored_on_every_suite_of_its_shape():
    for preset, own, others in (
        ("paper", "mnist-proj-perm-v0", {"fashion_mnist-proj-perm-v0", "random-proj-perm-v0"}),
        ("digits-tiny", "digits-proj-perm-v0", {"mnist_8-proj-perm-v0", "random_8-proj-perm-v0"}),
    ):
        ids = [suite.id for suite in scored(make_settings("transformer", preset, {}))]
        infos = {id: make(id).info for id, spec in registry.items() if (spec.input, spec.label) == ("proj", "perm")}
        same = {id for id, info in infos.items() if (info.D, info.C) == (infos[own].D, infos[own].C)}
        assert ids[0] == own
        assert set(ids) == same >= others


def test_a_suite_without_data_is_left_out_and_named(tmp_path, monkeypatch, own_cache):
    from baselines.run import run

    monkeypatch.setenv("TFDS_DATA_DIR", str(tmp_path / "nothing"))
    settings = make_settings("lstm", "paper", {**TINY, "suite": "random-proj-perm-v0", "hidden": 8})
    run(settings, tmp_path / "run")
    from baselines.reference import score

    said, own = [], settings.made_suite
    score(settings, make("mnist-proj-perm-v0", num_examples=6), tmp_path / "run", tmp_path, 4, said.append)
    assert len(said) == 1
    assert "mnist-proj-perm-v0: left out" in said[0]
    score(settings, own, tmp_path / "run", tmp_path, 4, said.append)
    assert load_result(tmp_path / "random-proj-perm-v0.json").setting.num_tasks == 4


def test_learners_without_meta_training_are_scored_too(tmp_path):
    classical("digits-proj-perm-v0", tmp_path, num_tasks=2, say=lambda line: None)
    assert {path.parent.name for path in tmp_path.rglob("digits-proj-perm-v0.json")} == set(CLASSICAL)


def test_some_learners_alone_are_scored(tmp_path):
    from baselines.commands import main

    assert main(["reference", "classical", "--models", "chance", "--scored-tasks", "2", "--output", str(tmp_path)]) == 0
    assert [path.parent.name for path in tmp_path.rglob("digits-proj-perm-v0.json")] == ["chance"]


def test_the_page_is_that_of_the_committed_results(tmp_path):
    home = tmp_path / "home"
    shutil.copytree(HERE, home, ignore=shutil.ignore_patterns("__pycache__", "weights"))
    assert write_readme(home).read_text() == (HERE / "README.md").read_text(), "run `python -m baselines table`"


def test_every_reference_run_is_there_or_listed_as_not_run():
    page = (HERE / "README.md").read_text()
    for preset, models in RUNS.items():
        for model, tokens in models:
            group = COMMITTED.get((preset, f"{model}-{tokens}"), [])
            missing = [f"seed {seed}" for seed in range(SEEDS[preset]) if seed not in [run.seed for run in group]]
            row = re.search(rf"^\| {preset} \| {model}-{tokens} \| ([^|]*) \| `python -m", page, re.MULTILINE)
            named = row[1].split(", ") if row else []
            assert [name for name in named if name.startswith("seed ")] == missing
            for suite in scored(make_settings(model, preset, {"tokens": tokens})) if group else ():
                without = [run.seed for run in group if suite.id not in run.results]
                some = "" if len(without) == len(group) else f" of seed {' and '.join(map(str, without))}"
                assert (f"{suite.id}{some}" in named) == bool(without)
    assert len(COMMITTED["digits-tiny", "transformer-paired"]) == 3


@pytest.mark.parametrize(("preset", "name"), COMMITTED)
def test_every_committed_run_is_what_its_preset_says(preset, name):
    """With the preset's settings, audited, of a known commit, and with no path of a machine."""
    for run in COMMITTED[preset, name]:
        settings = run.about["settings"]
        for name, usual in {"tasks": "exact", "accumulate": 1}.items():  # of runs from before there was a choice
            settings["training"].setdefault(name, usual)
        options = {"tokens": settings["config"]["tokens"], "seed": run.seed}
        assert make_settings(settings["model"], preset, options).plain() == settings
        assert re.fullmatch("[0-9a-f]{40}", run.about["provenance"]["commit"])
        for suite, result in run.results.items():
            assert result.setting.suite == suite
            assert result.setting.of_record in ("quick", "record")
            assert result.evidence.startswith("audit passed")
            assert result.learner.card["weights_sha256"] == run.about["sha256"]
            assert not str(result.learner.args["checkpoint"]).startswith("/")


def test_the_paired_transformer_learns_to_learn_in_five_minutes():
    runs = COMMITTED["digits-tiny", "transformer-paired"]
    assert np.mean([run.results["digits-proj-perm-v0"].accuracy_at(99) for run in runs]) >= 0.88
    assert max(run.seconds for run in runs) <= 300


@pytest.mark.parametrize(
    ("model", "accuracy", "minutes"), [("vsml", 0.80, 20), ("outer_product_lstm", 0.60, 10), ("deltanet", 0.60, 10)]
)
def test_the_recurrent_ones_with_a_large_state_learn_to_learn_in_minutes(model, accuracy, minutes):
    runs = COMMITTED["digits-tiny", f"{model}-paired"]
    assert min(run.results["digits-proj-perm-v0"].accuracy_at(99) for run in runs) >= accuracy
    assert max(run.seconds for run in runs) <= 60 * minutes


@pytest.mark.parametrize("weights", sorted(WEIGHTS.glob("*/*.json")), ids=lambda path: path.stem)
def test_the_weights_that_come_with_the_repository_are_those_of_seed_0(weights):
    model, tokens = weights.stem.split("-")
    suite = weights.parent.name
    run = next(
        r
        for group in COMMITTED.values()
        for r in group
        if r.about["sha256"] == json.loads(weights.read_text())["sha256"]
    )
    assert (run.name, run.seed) == (weights.stem, 0)
    found = evaluate(baselines.load(model, suite, tokens), suite, num_tasks=64, audit="off")
    same = found.prediction == run.results[suite].prediction[:64]
    assert same.mean() > 0.99  # another processor may round another way


def test_the_example_in_the_docstring_runs():
    found = doctest.testmod(baselines)
    assert found.attempted > 0
    assert found.failed == 0


def test_weights_over_the_budget_are_not_copied(home, tmp_path, monkeypatch):
    from baselines import reference as module

    monkeypatch.setattr(module, "BUDGET", 1000)
    with pytest.raises(GpiclBenchError, match="too large"):
        module.ship(home / "runs" / "digits-tiny" / "lstm-shifted-seed0", tmp_path, "suite/lstm-shifted")
    assert not list(tmp_path.rglob("*.safetensors"))


def test_the_weights_are_small():
    assert 0 < sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) < 25e6


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("transfromer", "digits-proj-perm-v0"), r"did you mean transformer\?"),
        (("transformer", "digit-proj-perm-v0"), r"did you mean digits-proj-perm-v0\?"),
        (("transformer", "digits-proj-perm-v0", "pared"), r"did you mean transformer-paired\?"),
    ],
)
def test_weights_that_are_not_there(arguments, message):
    with pytest.raises(InvalidArgument, match=message):
        baselines.load(*arguments)


def test_the_command_names_unknown_presets(capsys):
    from baselines.commands import main

    assert main(["reference", "digits-tyni"]) == 2
    assert "did you mean digits-tiny?" in capsys.readouterr().err
    for presets, names in ((["digits-tiny"], "sgd,vmsl"), (["digits-tiny", "best"], "vsml"), (["classical"], "svn")):
        assert main(["reference", *presets, "--models", names]) == 2, "nothing is trained before all names are checked"
        assert "there is no such learner in" in capsys.readouterr().err
    assert str(ROOT) not in (HERE / "README.md").read_text()
