"""Diagnoses of the weights that come with the repository, one file a learner: which kind of learner is each?"""

from collections.abc import Callable, Iterator
from pathlib import Path

from baselines.reference import HERE, RESULTS, WEIGHTS
from gpicl_bench import Diagnosis, diagnose, load_diagnosis, load_learner, make


def diagnose_shipped(results: Path = RESULTS, num_episodes: int = 512, say: Callable[[str], None] = print) -> None:
    """Diagnose every set of weights on the suite that it was meta-trained on; run it from the repository."""
    for weights in sorted(WEIGHTS.glob("*/*.safetensors")):
        suite, name = weights.parent.name, weights.stem
        checkpoint = (weights.relative_to(HERE.parent)).with_suffix("").as_posix()
        file = HERE / f"{name.rpartition('-')[0]}.py"
        learner = load_learner(file, make(suite).info, {"checkpoint": checkpoint})
        found = diagnose(learner, suite, num_episodes)
        place = results / "diagnoses" / suite / f"{name}.json"
        place.parent.mkdir(parents=True, exist_ok=True)
        found.save(place)
        say(f"{suite}: {name}, {found.verdict}")


def table(results: Path) -> str:
    """The part of the page about them; empty where there are none."""
    found = list(_read(results))
    if not found:
        return ""
    changes = [symmetry.name for symmetry in found[0][1].symmetries]
    head = ["learner", "verdict", "unseen tasks", "seen tasks", "other base datasets", *changes]
    lines = [
        "\n## Which kind of learner is it?\n",
        "`python -m baselines diagnose`: improvement within an episode on unseen tasks, on the tasks of meta-training",
        "with held-out images, and on other base datasets; then how often predictions follow a change that tells",
        "nothing new ([diagnosis](../docs/diagnosis.md)). 95% intervals over episodes and tasks.\n",
        f"| {' | '.join(head)} |",
        "|---" * len(head) + "|",
    ]
    return "\n".join([*lines, *[_row(name, diagnosis) for name, diagnosis in found]])


def _read(results: Path) -> Iterator[tuple[str, Diagnosis]]:
    for path in sorted(results.glob("diagnoses/*/*.json")):
        yield path.stem, load_diagnosis(path)


def _row(name: str, found: Diagnosis) -> str:
    gains = {(cell.tasks, cell.images): cell.improvement for cell in found.cells if cell.tasks != "other"}
    others = "; ".join(
        f"{cell.suite.partition('-')[0]} {cell.improvement}" for cell in found.cells if cell.tasks == "other"
    )
    seen = str(gains.get(("seen", "test"), "unknown"))
    shares = [str(symmetry.share) for symmetry in found.symmetries]
    return f"| {' | '.join([name, found.verdict, str(gains['unseen', 'test']), seen, others or '–', *shares])} |"
