"""The command line of the baselines. Exit status 0, or 2 with one clear message."""

import argparse
import os
import shlex
import sys
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from gpicl_bench import make
from gpicl_bench.errors import GpiclBenchError, InvalidArgument

if TYPE_CHECKING:
    from baselines.settings import Settings

_TRAIN = "python -m baselines train MODEL [--preset PRESET] [--suite ID] [--output FOLDER] [--resume] [--FIELD VALUE …]"


def main(arguments: list[str]) -> int:
    """Run one command."""
    parser = _parser()
    options, rest = parser.parse_known_args(arguments)
    if rest and options.run is not reference:
        parser.error(f"unrecognized arguments: {' '.join(rest)}")
    try:
        options.run(rest if options.run is reference else options)
    except KeyboardInterrupt:
        print(
            "interrupted: `train` goes on with --resume, `reference` and `study` with the same command", file=sys.stderr
        )
        return 130
    except GpiclBenchError as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {error.strerror or error}" + (f": {error.filename}" if error.filename else ""), file=sys.stderr)
    except ModuleNotFoundError as error:
        print(f"error: {error}\n  what to do: pip install -e '.[baselines]'", file=sys.stderr)
    else:
        return 0
    return 2


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m baselines", description="Meta-train the baselines.")
    commands = parser.add_subparsers(required=True, metavar="command")
    command = commands.add_parser("train", help="meta-train a model", usage=_TRAIN)
    command.add_argument(
        "model", nargs="?", default="", help="transformer, vsml, …; `train MODEL --help` lists all options"
    )
    command.add_argument("rest", nargs=argparse.REMAINDER, help=argparse.SUPPRESS)
    command.set_defaults(run=lambda options: train(options.model, options.rest))
    command = commands.add_parser("curve", help="draw the picture of a run again")
    command.add_argument("folder", type=Path, help="of the run")
    command.set_defaults(run=lambda options: curve(options.folder))
    command = commands.add_parser("reference", help="make the reference results of presets", add_help=False)
    command.set_defaults(run=reference)
    command = commands.add_parser("diagnose", help="diagnose the weights that come with the repository")
    command.set_defaults(run=lambda options: diagnose())
    command = commands.add_parser("entries", help="submit and verify the reference entries of a leaderboard")
    command.add_argument("--suite", default="digits-proj-perm-v0", metavar="ID", help="(default: digits-proj-perm-v0)")
    command.add_argument("--names", type=_names, default=[], metavar="NAME,…", help="only these")
    command.set_defaults(run=lambda options: entries(options.suite, options.names))
    command = commands.add_parser("study", help="one of the paper's questions, as a grid of small runs")
    command.add_argument("name", metavar="NAME", help="transition, state-size, plateau, bias, transfer or length")
    command.add_argument("--scale", default="tiny", help="smoke, tiny or paper (default: tiny)")
    command.add_argument("--model", type=_names, default=[], metavar="MODEL,…", help="names, or files with a Model")
    command.add_argument("--axis", action="append", default=[], metavar="NAME=VALUE,…", help="other values; repeatable")
    command.add_argument("--output", type=Path, metavar="FOLDER", help="(default: runs/studies/NAME-SCALE)")
    command.add_argument("--dry-run", action="store_true", help="print the cells, their time and memory; write nothing")
    command.set_defaults(run=study)
    command = commands.add_parser("findings", help="write docs/findings.md from the results of studies")
    command.set_defaults(run=lambda options: findings())
    command = commands.add_parser("table", help="write baselines/README.md and the reference curves from the results")
    command.set_defaults(run=lambda options: table())
    return parser


def train(model: str, rest: list[str]) -> None:
    """`train MODEL`: every field of its Config and of Training is an option."""
    from baselines.agreement import ending_at_once
    from baselines.hosts import Hosts, make_hosts
    from baselines.meeting import start
    from baselines.settings import PRESETS, Training, make_settings, model_class

    presets = ", ".join(sorted(path.stem for path in PRESETS.glob("*.yaml")))
    parser = argparse.ArgumentParser(prog=f"python -m baselines train {model}", allow_abbrev=False)
    parser.add_argument("--preset", default="digits-tiny", help=f"{presets}, or a YAML file (default: digits-tiny)")
    parser.add_argument("--output", type=Path, metavar="FOLDER", help="of the run (default: by its settings, in runs/)")
    parser.add_argument("--resume", action="store_true", help="go on from the last checkpoint")
    parser.add_argument("--deterministic", action="store_true", help="on a GPU: the same bits in every run, slower")
    several = parser.add_argument_group("several hosts: the same command on each, but for --process")
    for name, about in _documented(Hosts).items():
        several.add_argument(f"--{name}", metavar="VALUE", dest=f"hosts.{name}", help=about)
    options = argparse.Namespace()
    given = _given(parser, rest, (Training, model_class(model).Config), options)
    asked = {name: getattr(options, f"hosts.{name}") for name in _documented(Hosts)}
    hosts = make_hosts({name: value for name, value in asked.items() if value is not None})
    if options.deterministic:  # read when XLA starts
        os.environ["XLA_FLAGS"] = f"{os.environ.get('XLA_FLAGS', '')} --xla_gpu_deterministic_ops=true".strip()
    settings = make_settings(model, options.preset, given)
    name = f"{Path(options.preset).stem}-{settings.name}-{settings.suite}-seed{settings.training.seed}"
    folder = options.output or Path("runs") / name
    if hosts is None or hosts.processes == 1:
        _train(settings, folder, options.resume)
        return
    with ending_at_once():
        start(hosts, {**settings.plain(), "deterministic": options.deterministic})
        _train(settings, folder, options.resume)


def _train(settings: "Settings", folder: Path, resume: bool) -> None:
    from baselines.agreement import is_first
    from baselines.curve import PictureError, draw
    from baselines.display import display
    from baselines.run import run

    if not is_first():  # process 0 shows and draws
        run(settings, folder, resume)
        return
    title, steps = f"{settings.name} on {settings.suite}", settings.training.steps
    print(f"{title}, {steps:,} steps into {folder}", file=sys.stderr)
    with display(title, steps) as report:
        trained = run(settings, folder, resume, report)
    if not trained:
        print(f"this run had finished at step {steps:,}: nothing was trained", file=sys.stderr)
    try:
        print(draw(folder))
    except PictureError as error:  # the weights are what matters: `curve` draws it later
        print(error, file=sys.stderr)
    if settings.num_examples == make(settings.suite).info.T:
        learner = ["baselines/" + settings.model + ".py", "--suite", settings.suite]
        command = ["python", "-m", "gpicl_bench.evaluate", *learner, "--learner-arg", f"checkpoint={folder}"]
        print(f"score it: {shlex.join(command)}")


def curve(folder: Path) -> None:
    """`curve RUN`: the picture of a run."""
    from baselines.curve import draw

    print(draw(folder))


def reference(rest: list[str]) -> None:
    """`reference PRESET …`: train, score, keep."""
    from baselines.reference import HERE, chosen, classical, reference
    from baselines.settings import Training

    parser = argparse.ArgumentParser(prog="python -m baselines reference", allow_abbrev=False)
    parser.add_argument("presets", nargs="+", metavar="PRESET", help="or `classical`: the learners not meta-trained")
    parser.add_argument("--seeds", type=int, help="runs of each model (default: as the page has it)")
    parser.add_argument("--models", type=_names, default=[], metavar="MODEL,…", help="only these of each preset")
    parser.add_argument("--scored-tasks", type=int, default=1024, help="of meta_test (default: 1024)")
    parser.add_argument("--output", type=Path, help="of results, weights and runs (default: this repository)")
    options = argparse.Namespace()
    given = _given(parser, rest, (Training,), options)
    trial = [name for name in given if (name, set(options.presets)) != ("suite", {"classical"})]
    if trial and options.output is None:
        raise InvalidArgument("a trial would replace the reference results", got=", ".join(trial), hint="add --output")
    for preset in options.presets:  # before anything takes its time
        chosen(preset, options.models)
    home, runs = options.output or HERE, (options.output or Path()) / "runs"
    for preset in options.presets:
        if preset == "classical":
            suite = given.get("suite", "digits-proj-perm-v0")
            classical(suite, home / "results", options.scored_tasks, only=options.models)
            continue
        places = {"results": home / "results", "weights": home / "weights", "runs": runs}
        reference(preset, options.seeds, given, **places, num_tasks=options.scored_tasks, only=options.models)


def diagnose() -> None:
    """`diagnose`: which kind of learner are the shipped weights?"""
    from baselines.diagnoses import diagnose_shipped

    diagnose_shipped()


def entries(suite: str, names: list[str]) -> None:
    """`entries`: the reference entries of a leaderboard."""
    from baselines.entries import submit_all

    submit_all(suite, names)


def study(options: argparse.Namespace) -> None:
    """`study NAME`: what is not finished yet, then the page."""
    from baselines.settings import known
    from baselines.studies import studies
    from baselines.studies.folder import finished
    from baselines.studies.grid import cells, own_model, read_scale
    from baselines.studies.page import write_page
    from baselines.studies.progress import filling
    from baselines.studies.running import run_study
    from baselines.studies.study import StudyError

    chosen = studies()[known("study", options.name, studies())]
    scale = read_scale(chosen.name, options.scale)
    models = [own_model(Path(name)) if name.endswith(".py") else name for name in options.model]
    grid = cells(scale, models, _axes(options.axis))
    if options.dry_run:
        _estimate(grid)
        return
    folder = options.output or Path("runs") / "studies" / f"{chosen.name}-{options.scale}"
    title = f"{chosen.name}, {options.scale}"
    print(f"{title}: {len(grid)} cells into {folder}", file=sys.stderr)
    with filling(title, grid) as report:
        run_study(chosen, options.scale, grid, scale.asked, folder, report)
    for path in write_page(folder, chosen):
        print(path)
    failed = len(grid) - len(finished(folder, grid))
    if failed:
        what, hint = f"{failed} of {len(grid)} cells failed", "the same command tries them again"
        raise StudyError(what, where=str(folder / "README.md"), hint=hint)


def findings() -> None:
    """`findings`: the generated page, and those of the studies."""
    from baselines.reference import RESULTS
    from baselines.settings import known
    from baselines.studies import studies
    from baselines.studies.findings import write_findings
    from baselines.studies.folder import read_identity
    from baselines.studies.page import write_page

    for folder in sorted((RESULTS / "studies").glob("*/")):
        write_page(folder, studies()[known("study", read_identity(folder)["study"], studies(), str(folder))])
    print(write_findings())


def _estimate(grid: Any) -> None:
    """Print the cells with what they take."""
    from baselines.studies.estimate import estimates

    seconds = 0.0
    for group in estimates(grid):
        each = group.seconds / len(group.cells)
        told = group.trouble or f"about {each:,.1f} s, {group.memory / 1e6:,.0f} MB with its group"
        for cell in group.cells:
            print(f"{cell.name}  {told}", flush=True)
        seconds += group.seconds
    print(f"{len(grid)} cells, about {seconds / 60:,.1f} minutes of training")


def _axes(given: list[str]) -> dict[str, list[Any]]:
    """Values by axis, from NAME=VALUE,…; `none` is an unbounded pool."""
    axes: dict[str, list[Any]] = {}
    for text in given:
        name, equals, values = text.partition("=")
        if not equals:
            raise InvalidArgument("--axis is malformed", expected="NAME=VALUE,…", got=text)
        if name in axes:
            raise InvalidArgument("an axis is given twice", expected=f"one --axis {name}=VALUE,…", got=text)
        axes[name] = [None if value == "none" else value for value in values.split(",") if value]
    return axes


def table() -> None:
    """`table`: the generated page, and the curves that the package carries."""
    from baselines.reference import HERE, RESULTS
    from baselines.references import write_references
    from baselines.table import read_classical, write_readme

    print(write_references(read_classical(RESULTS / "classical")))
    print(write_readme(HERE))


def _given(
    parser: argparse.ArgumentParser, rest: list[str], kinds: tuple[type, ...], options: argparse.Namespace | None = None
) -> dict[str, Any]:
    """The settings among the arguments `rest`, by name; what `parser` knows besides goes to `options`."""
    from baselines.settings import known

    names = {"suite": "its id (default: the preset's)", "num_examples": "T (default: the suite's)"}
    for kind in kinds:
        names |= _documented(kind)
    settings = parser.add_argument_group("settings, in place of the preset's")
    for name, about in names.items():
        settings.add_argument(_flag(name), metavar="VALUE", dest=f"settings.{name}", help=about.replace("%", "%%"))
    found, unknown = parser.parse_known_args(rest, options)
    flags = [flag for action in parser._actions for flag in action.option_strings]
    for text in unknown:
        known("option", text.partition("=")[0], flags)
    values = {name: getattr(found, f"settings.{name}") for name in names}
    return {name: None if value == "none" else value for name, value in values.items() if value is not None}


def _names(text: str) -> list[str]:
    return text.split(",")


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"


def _documented(kind: type) -> dict[str, str]:
    """The fields of a dataclass with their lines in its docstring."""
    lines = (kind.__doc__ or "").splitlines()
    found = {field.name: "" for field in fields(kind)}
    current = None
    for line in lines:
        name, colon, about = line.strip().partition(":")
        if colon and name in found:
            current, found[name] = name, about.strip()
        elif current and line.strip():
            found[current] += f" {line.strip()}"
    return found
