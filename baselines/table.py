"""`baselines/README.md`, made of the files in `results/`: every number stands beside its run."""

import json
from collections import defaultdict
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from baselines import diagnoses
from baselines.checkpoint import write_file
from baselines.curve import draw, draw_learning_curves
from baselines.model import state_bytes
from baselines.reference import CLASSICAL, RUNS, SEEDS, scored
from baselines.run import read_metrics
from baselines.settings import MODELS, make_settings, model_class
from gpicl_bench import Result, compare, load_result, make

PAPER = {  # arXiv 2212.04458, Table 1: accuracy@99 in percent on unseen tasks, meta-trained on MNIST tasks
    "mnist": {"transformer": 73.70, "lstm": 25.39, "vsml": 79.04, "sgd": 70.31, "maml": 53.71},
    "fashion_mnist": {"transformer": 62.24, "lstm": 28.12, "vsml": 68.49, "sgd": 50.78, "maml": 48.44},
    "kmnist": {"transformer": 53.39, "lstm": 18.10, "vsml": 54.69, "sgd": 37.89, "maml": 36.33},
    "cifar10": {"transformer": 19.40, "lstm": 12.11, "vsml": 24.09, "sgd": 14.84, "maml": 17.38},
    "svhn_cropped": {"transformer": 14.58, "lstm": 11.07, "vsml": 17.45, "sgd": 10.16, "maml": 11.33},
    "random": {"transformer": 100.00, "lstm": 58.72, "vsml": 100.00, "sgd": 100.00, "maml": 99.80},
}

HEAD = """# Baselines

This page is generated: `python -m baselines table`. One readable file a learner:

| file | what it is |
|---|---|
{files}

Learning to learn emerges on a laptop, in minutes, and the result is a learner like any other:

```bash
python -m baselines train transformer --preset digits-tiny --output runs/mine
python -m gpicl_bench.evaluate baselines/transformer.py --learner-arg checkpoint=runs/mine
```

The first draws `runs/mine/curve.png`; killed at any moment, it goes on with `--resume`, to the same bits.
`python -m baselines train transformer --help` lists every setting: the paper's interventions are `--num-tasks`,
`--batch-size`, `--adam-epsilon`, `--fixed-permutation` and `--seed`. Presets are in [presets/](presets). Weights that
come with the repository need no training:

```python
import baselines
import gpicl_bench

learner = baselines.load("transformer", "digits-proj-perm-v0")
print(gpicl_bench.evaluate(learner, "digits-proj-perm-v0", num_tasks=64, positions=[0, 10, 99]))
```

## Reference runs

`python -m baselines reference digits-tiny --models vsml` makes those of one model again,
`python -m baselines reference classical` those of the learners that are not meta-trained.

Unseen tasks, held-out images{num_tasks}. The mean over meta-training seeds, and a 95% t interval
over them; for learners without meta-training, and for fewer than three seeds, an interval over tasks. The score is the
area under the learning curve: chance 0, perfect 1. Weights were selected on `meta_validation` alone. A run is scored on
every suite of its shape: the rows `(digits-tiny)` on `mnist_8` have seen tasks of `digits` alone. State is what the
step form carries from one example to the next; learners without one are given the whole context. The paper's row was
meta-trained on MNIST and measured on images of 32 × 32 × 3.
"""


@dataclass(frozen=True)
class Run:
    """One meta-training run: what its `run.json` says, and its results by suite."""

    folder: Path
    about: dict[str, Any]
    seconds: float
    results: dict[str, Result]

    @property
    def name(self) -> str:
        return self.folder.name.rpartition("-seed")[0]

    @property
    def seed(self) -> int:
        return int(self.about["settings"]["training"]["seed"])


def write_readme(home: Path) -> Path:
    """Write README.md and the pictures into `home`, the folder of the baselines."""
    runs = read_runs(home / "results")
    classical = read_classical(home / "results" / "classical")
    parts = [_head(home, [*runs.values()])]
    for group in runs.values():
        draw(group[0].folder)
    suites = dict.fromkeys(id for group in runs.values() for run in group for id in run.results)
    for suite in suites:
        parts.append(_suite(home, suite, runs, classical.get(suite, {})))
    parts.append(diagnoses.table(home / "results"))
    parts.append(_every_run(home, runs))
    parts.append(_not_run(runs))
    write_file(home / "README.md", "\n".join(parts).encode())
    return home / "README.md"


def read_runs(folder: Path) -> dict[tuple[str, str], list[Run]]:
    """All runs by preset and name, in the order of RUNS; one that lacks its metrics or results is left out."""
    found: dict[tuple[str, str], list[Run]] = defaultdict(list)
    for preset, models in RUNS.items():
        for model, tokens in models:
            for place in sorted(folder.glob(f"{preset}/{model}-{tokens}-seed*/run.json")):
                rows = read_metrics(place.parent)
                results = {f.stem: load_result(f) for f in sorted(place.parent.glob("*.json")) if f != place}
                if rows and results:
                    run = Run(place.parent, json.loads(place.read_text()), rows[-1]["seconds"], results)
                    found[preset, f"{model}-{tokens}"].append(run)
    return dict(found)


def read_classical(folder: Path) -> dict[str, dict[str, Result]]:
    """The results of learners without meta-training, by suite and name."""
    found: dict[str, dict[str, Result]] = defaultdict(dict)
    for name in CLASSICAL:
        for file in sorted(folder.glob(f"{name}/*.json")):
            found[file.stem][name] = load_result(file)
    return dict(found)


def _head(home: Path, groups: list[list[Run]]) -> str:
    models = dict.fromkeys(model for group in RUNS.values() for model, _ in group)
    files = [home / f"{name}.py" for name in dict.fromkeys((*models, *CLASSICAL))]
    rows = [f"| [{path.name}]({path.name}) | {_first_sentence(path)} |" for path in files]
    sizes = {r.setting.num_tasks for group in groups for run in group for r in run.results.values()}
    shown = f", {' or '.join(f'{n:,}' for n in sorted(sizes))} tasks of `meta_test`" if sizes else ""
    return HEAD.format(files="\n".join(rows), num_tasks=shown)


def _first_sentence(path: Path) -> str:
    return path.read_text().split('"""')[1].split("\n\n")[0].replace("\n", " ").strip().rstrip(".")


def _suite(home: Path, suite: str, runs: dict[tuple[str, str], list[Run]], classical: dict[str, Result]) -> str:
    """The table of a suite, best first, and the picture of its learning curves."""
    groups = {f"{name} ({preset})": [r for r in group if suite in r.results] for (preset, name), group in runs.items()}
    by_name = {name: [run.results[suite] for run in group] for name, group in groups.items() if group}
    everyone = {**by_name, **{name: [result] for name, result in classical.items()}}
    last = next(iter(everyone.values()))[0].setting.num_examples - 1
    accuracy, score = compare(everyone, at=last), compare(everyone)
    scores = {learner.name: learner for learner in score.learners}
    lines = [
        f"\n### {suite}\n",
        f"| learner (preset) | accuracy@{last} | score | seeds | parameters | bytes of state | meta-training | paper |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for learner in accuracy.learners:
        group = groups.get(learner.name, [])
        about = _about(group, suite) if group else _untrained(suite, everyone[learner.name][0], learner.name)
        shown = _interval(learner.mean, learner.run_interval or learner.task_interval)
        area = scores[learner.name]
        lines.append(
            f"| {learner.name} | {shown} | {_interval(area.mean, area.run_interval or area.task_interval)} | {about} |"
        )
    picture = home / "results" / f"{suite}.png"
    draw_learning_curves(everyone, picture)
    return "\n".join([*lines, f"\n![Learning curves on {suite}](results/{picture.name})"])


def _about(group: list[Run], suite: str) -> str:
    """The last five columns."""
    first, minutes = group[0].about, [run.seconds / 60 for run in group]
    times = dict.fromkeys(f"{value:.1f}" for value in (min(minutes), max(minutes)))
    settings = first["settings"]
    steps, batch = (settings["training"][name] for name in ("steps", "batch_size"))
    kind = model_class(settings["model"])
    state = state_bytes(
        kind, make(suite, num_examples=settings["num_examples"]).info, kind.Config(**settings["config"])
    )
    return (
        f"{len(group)} | {first['parameters']:,} | {state:,} | {steps:,} × {batch} episodes, "
        f"{' to '.join(times)} min, {first['hardware']} | {_paper(suite, settings['model'])}"
    )


def _untrained(suite: str, result: Result, name: str) -> str:
    """The same of a learner that is not meta-trained."""
    state = "–"
    if name in MODELS:
        kind = MODELS[name]
        state = f"{state_bytes(kind, make(suite, num_examples=result.setting.num_examples).info, kind.Config()):,}"
    return f"– | – | {state} | none | {_paper(suite, name)}"


def _paper(suite: str, model: str) -> str:
    """What the paper has for this model on this base dataset."""
    found = PAPER.get(suite.partition("-")[0].removesuffix("_rgb32"), {}).get(model)
    return f"{found / 100:.3f}" if found else "–"


def _interval(mean: float, interval: tuple[float, float]) -> str:
    return f"{mean:.3f} ({interval[0]:.3f} to {interval[1]:.3f})"


def _every_run(home: Path, runs: dict[tuple[str, str], list[Run]]) -> str:
    lines = [
        "\n## Every run\n",
        "Accuracy after the last labelled example, with its Wilson interval over tasks.\n",
        "| preset | suite | accuracy | score | evidence | selected step | commit | run |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for (preset, _), group in runs.items():
        for run in group:
            for suite, result in run.results.items():
                low, high = result.accuracy_interval[-1]
                columns = (
                    preset,
                    suite,
                    _interval(float(result.accuracy[-1]), (float(low), float(high))),
                    "–" if result.score is None else f"{result.score:.3f}",
                    result.evidence.partition(" (")[0],
                    f"{run.about['step']:,}",
                    _short(str(run.about["provenance"]["commit"])),
                    f"[{run.folder.name}]({run.folder.relative_to(home)})",
                )
                lines.append(f"| {' | '.join(columns)} |")
    return "\n".join(lines)


def _short(commit: str) -> str:
    hexadecimal, _, dirty = commit.partition("-")
    return hexadecimal[:10] + ("-dirty" if dirty else "")


def _not_run(runs: dict[tuple[str, str], list[Run]]) -> str:
    """What RUNS names and `results/` lacks: runs, and suites of runs, with the command."""
    rows = []
    for preset, models in RUNS.items():
        for model, tokens in models:
            group = runs.get((preset, f"{model}-{tokens}"), [])
            missing = [f"seed {seed}" for seed in range(SEEDS[preset]) if seed not in [run.seed for run in group]]
            suites = [suite.id for suite in scored(make_settings(model, preset, {"tokens": tokens}))]
            missing += [text for id in suites if (text := _lacking(id, group))]
            if missing:
                command = f"python -m baselines reference {preset}"
                rows.append(f"| {preset} | {model}-{tokens} | {', '.join(missing)} | `{command}` |")
    if not rows:
        return ""
    head = ["| preset | model | missing | command |", "|---|---|---|---|"]
    about = "`paper`, `paper-rgb32` and `best` are for one GPU, but for SGD and MAML. What is missing is unmeasured.\n"
    return "\n".join(["\n## Not run\n", about, *head, *rows]) + "\n"


def _lacking(suite: str, group: list[Run]) -> str:
    """The suite, if runs have no result on it, and which runs if others have one."""
    seeds = [run.seed for run in group if suite not in run.results]
    if not seeds or len(seeds) == len(group):
        return suite if seeds else ""
    return f"{suite} of seed {' and '.join(str(seed) for seed in seeds)}"
