"""The reference entries of the leaderboards: every learner of this folder, submitted and verified as anyone's would be.

An entry keeps a copy of what its learner needs, so that it can be verified whatever becomes of this folder.
"""

import json
import subprocess
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path

from baselines.reference import CLASSICAL, HERE, WEIGHTS
from gpicl_bench.errors import GpiclBenchError

AUTHORS = "The gpicl_bench developers"
_IMPORTED = """
import json, sys
from gpicl_bench import load_learner, make
load_learner(sys.argv[1], make(sys.argv[2]).info, {"checkpoint": sys.argv[3]})
files = [getattr(module, "__file__", None) for name, module in sys.modules.items() if name.split(".")[0] == "baselines"]
print(json.dumps([file for file in files if file]))
"""


def submit_all(suite: str, only: Sequence[str] = (), say: Callable[[str], None] = print) -> None:
    """Submit what has no entry yet, the learners without meta-training and the shipped weights, and verify all.

    Args:
        suite: the board.
        only: names of entries; none: all.
        say: is told what happens.

    Raises:
        GpiclBenchError: a submission failed; its message has been printed.
    """
    root = HERE.parent
    for name, describe in _submissions(suite, root).items():
        place = root / "leaderboards" / suite / f"{name}.yaml"
        if only and name not in only:
            continue
        if not place.exists():
            common = ["--suite", suite, "--name", name, "--author", AUTHORS, "--licence", "MIT", "--root", "."]
            _run(["submit", *describe(), *common], root)
        _run(["verify", place.relative_to(root).as_posix()], root)
        say(f"{suite}: {name}")


def _submissions(suite: str, root: Path) -> dict[str, Callable[[], list[str]]]:
    """What `submit` is given for each entry, by its name; made when it is needed, for a learner is loaded for it."""
    untrained = {_name(learner): partial(_described, learner) for learner in CLASSICAL}
    shipped = sorted((WEIGHTS / suite).glob("*.safetensors"))
    return untrained | {_name(weights.stem): partial(_trained, weights, suite, root) for weights in shipped}


def _trained(weights: Path, suite: str, root: Path) -> list[str]:
    checkpoint = weights.relative_to(root).with_suffix("").as_posix()
    model = weights.stem.rpartition("-")[0]
    include = [*_imported(model, suite, checkpoint, root), f"{checkpoint}.json", f"{checkpoint}.safetensors"]
    search = f"settings of baselines/presets, {_preset(weights)}; the weights of the best validation loss"
    return [
        *_described(model),
        *(part for file in include for part in ("--include", file)),
        *("--learner-arg", f"checkpoint={checkpoint}", "--selection", "meta-validation", "--search", search),
    ]


def _described(learner: str) -> list[str]:
    file = HERE / f"{learner}.py"
    summary = file.read_text().removeprefix('"""').partition("\n")[0].rstrip('"')
    return [f"{HERE.name}/{learner}.py", "--description", summary]


def _name(learner: str) -> str:
    return learner.replace("_", "-")


def _preset(weights: Path) -> str:
    settings = json.loads(weights.with_suffix(".json").read_text())["settings"]
    return f"{settings['model']} with {settings['config']['tokens']} tokens, {settings['training']['steps']:,} steps"


def _imported(model: str, suite: str, checkpoint: str, root: Path) -> list[str]:
    """The modules of this folder that a learner imports, relative to `root`."""
    command = [sys.executable, "-c", _IMPORTED, f"{HERE.name}/{model}.py", suite, checkpoint]
    done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=True)
    return sorted(Path(file).relative_to(root).as_posix() for file in json.loads(done.stdout))


def _run(arguments: list[str], root: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "gpicl_bench", *arguments], cwd=root, check=False)
    if done.returncode:
        raise GpiclBenchError("a reference entry was not made", got=f"exit status {done.returncode} of {arguments[0]}")
