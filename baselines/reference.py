"""Reference runs: a preset's models, several seeds each, scored on every suite that they can answer on.

`results/<preset>/<model>-<tokens>-seed<n>/` keeps what stands behind a number: `run.json` (settings, versions, device,
commit, time), `metrics.jsonl`, and a result file for each suite. The selected weights of seed 0 become those that
`baselines.load` gives.
"""

import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from baselines.checkpoint import read_about, write_json
from baselines.run import Row, best, run
from baselines.settings import Settings, known, make_settings
from gpicl_bench import Suite, evaluate, load_learner, make, registry
from gpicl_bench.errors import DataUnavailable, GpiclBenchError, check_integer

HERE = Path(__file__).parent
RESULTS, WEIGHTS = HERE / "results", HERE / "weights"

RUNS: dict[str, tuple[tuple[str, str], ...]] = {  # preset: model and tokens
    "digits-tiny": (
        ("transformer", "paired"),
        ("transformer", "shifted"),
        ("vsml", "paired"),
        ("deltanet", "paired"),
        ("outer_product_lstm", "paired"),
        ("lstm", "shifted"),
        ("lstm", "paired"),
        ("sgd", "paired"),
        ("maml", "paired"),
    ),
    "paper": (
        ("transformer", "shifted"),
        ("vsml", "paired"),
        ("deltanet", "paired"),
        ("outer_product_lstm", "shifted"),
        ("lstm", "shifted"),
        ("sgd", "paired"),
        ("maml", "paired"),
    ),
    "paper-rgb32": (("transformer", "shifted"),),
    "best": (("transformer", "paired"),),
}
SEEDS = {"digits-tiny": 3, "paper": 3, "paper-rgb32": 1, "best": 1}  # of a complete set of reference runs
SHIPPED = ("digits-tiny", "best")  # presets whose weights come with the repository
BUDGET = 25_000_000  # bytes, of all of them
CLASSICAL = ("svm", "nearest_neighbour", "ridge", "nearest_centroid", "sgd", "chance")  # nothing is meta-trained


def reference(
    preset: str,
    seeds: int | None = None,
    options: Mapping[str, Any] | None = None,
    results: Path = RESULTS,
    weights: Path = WEIGHTS,
    runs: Path = Path("runs"),
    num_tasks: int = 1024,
    say: Callable[[str], None] = print,
    only: Sequence[str] = (),
) -> None:
    """Train what is not trained yet, and score it.

    Args:
        preset: a name in RUNS.
        seeds: of meta-training, 0 … seeds - 1; None: as many as SEEDS says.
        options: settings in place of the preset's.
        results: where the result files go.
        weights: where the weights of seed 0 go.
        runs: where the runs are; those that were interrupted go on.
        num_tasks: to score on.
        say: is told what happens.
        only: of these models; none: of all.
    """
    wanted, models = chosen(preset, only), RUNS[preset]
    seeds = check_integer("seeds", SEEDS[preset] if seeds is None else seeds, 1, 1000)
    check_integer("num_tasks", num_tasks, 1, 2**32)
    for model, tokens in [pair for pair in models if pair[0] in wanted]:
        for seed in range(seeds):
            settings = make_settings(model, preset, {**(options or {}), "tokens": tokens, "seed": seed})
            name = f"{settings.name}-seed{seed}"
            folder, kept = runs / preset / name, results / preset / name
            say(f"{preset}: {name}, {settings.training.steps:,} steps")
            run(settings, folder, resume=True, report=lambda row: say(shown(row)))
            keep(folder, kept)
            for suite in scored(settings):
                score(settings, suite, folder, kept, num_tasks, say)
            if seed == 0 and preset in SHIPPED:
                ship(folder, weights, f"{settings.suite}/{settings.name}")


def classical(
    suite: str,
    results: Path = RESULTS,
    num_tasks: int = 1024,
    say: Callable[[str], None] = print,
    only: Sequence[str] = (),
) -> None:
    """Score the learners without meta-training on a suite: these, or all."""
    for name in chosen("classical", only):
        result = evaluate(load_learner(HERE / f"{name}.py", make(suite).info), suite, num_tasks=num_tasks)
        (results / "classical" / name).mkdir(parents=True, exist_ok=True)
        result.save(results / "classical" / name / f"{suite}.json")
        say(f"{suite}: {name}, accuracy@{result.setting.num_examples - 1} {result.accuracy[-1]:.3f}")


def chosen(preset: str, only: Sequence[str] = ()) -> list[str]:
    """The learners of a preset, or of `classical`, in their order: these, or all.

    Raises:
        InvalidArgument: there is no such preset, or it has no such learner.
    """
    names = list(CLASSICAL if preset == "classical" else dict(RUNS[known("preset", preset, [*RUNS, "classical"])]))
    for name in only:
        known(f"learner in {preset}", name, names)
    return [name for name in names if name in only or not only]


def shown(row: Row) -> str:
    """A line of metrics, short."""
    return f"step {row['step']:,}: loss {row['loss']:.3f}, validation accuracy {row['validation_accuracy']:.3f}"


def keep(folder: Path, kept: Path) -> None:
    """Copy what a run says of itself; `run.json` is of the selected weights."""
    kept.mkdir(parents=True, exist_ok=True)
    write_json(kept / "run.json", read_about(best(folder)))
    shutil.copyfile(folder / "metrics.jsonl", kept / "metrics.jsonl")


def scored(settings: Settings) -> Iterator[Suite]:
    """The suites with the transforms and the shape of that of the run, itself first."""
    own = make(settings.suite, num_examples=settings.num_examples)
    yield own
    for id, spec in registry.items():
        if id != own.id and (spec.input, spec.label) == (own.spec.input, own.spec.label):
            other = make(id, num_examples=settings.num_examples)
            if (other.info.D, other.info.C) == (own.info.D, own.info.C):
                yield other


def score(
    settings: Settings, suite: Suite, folder: Path, kept: Path, num_tasks: int, say: Callable[[str], None]
) -> None:
    """One result file, audited; a suite whose images are not on this machine is named and left out."""
    learner = load_learner(HERE / f"{settings.model}.py", suite.info, {"checkpoint": str(folder)})
    try:
        result = evaluate(learner, suite, num_tasks=num_tasks, audit="quick")
    except DataUnavailable as error:
        say(f"{suite.id}: left out, {error.what}")
        return
    result.save(kept / f"{suite.id}.json")
    last = suite.info.T - 1
    say(f"{suite.id}: accuracy@{last} {result.accuracy_at(last):.3f}, {result.evidence}")


def ship(folder: Path, weights: Path, name: str) -> None:
    """The selected weights of a run, where `baselines.load` finds them, within the budget."""
    source, place = best(folder).with_suffix(".safetensors"), weights / f"{name}.safetensors"
    others = [path for path in weights.rglob("*.safetensors") if path != place]
    total = sum(path.stat().st_size for path in (source, *others))
    if total > BUDGET:
        raise GpiclBenchError(
            "the weights are too large to come with the repository", expected=f"≤ {BUDGET}", got=total
        )
    place.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(source, place)
    write_json(place.with_suffix(".json"), {**read_about(best(folder)), "licence": "MIT"})
