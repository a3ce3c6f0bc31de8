"""The expensive proofs of the audit, the statistics and the diagnosis: `python -m tests.validation [section …]`.

Half an hour on 2 cores.

It writes tests/validation.json; `tests/test_validation.py` runs a small share of it and checks that the file belongs
to the current code.
"""

import hashlib
import json
import os
import sys
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import replace
from functools import cache, partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np

import gpicl_bench
from gpicl_bench import audit, diagnose, load_learner, make
from gpicl_bench.evaluation.statistics import ALPHA, bootstrap, mcnemar, sign_flip, t_interval, two_level, wilson
from tests.cheaters import CHEATERS
from tests.honest import make_lstm, make_transformer
from tests.planted import PLANTED, register_unequal

ROOT = Path(__file__).parents[1]
PACKAGE = Path(gpicl_bench.__file__).parent  # installed, or that of the checkout
FILE = ROOT / "tests" / "validation.json"
SUITE = "digits-proj-perm-v0"
SEEDS = {"cheaters": 3, "honest": 60, "phases": 17}
TRUTHS = 4000
_TASKS = [PACKAGE / name for name in ("streams.py", "tasks.py")]
_AUDIT = [
    *_TASKS,
    *sorted(PACKAGE.glob("auditing/*.py")),
    *sorted(PACKAGE.glob("learners/*.py")),
]
CODE = {  # what each section is about
    "statistics": [PACKAGE / "streams.py", PACKAGE / "evaluation" / "statistics.py"],
    "honest": [*_AUDIT, ROOT / "tests" / "honest.py"],
    "cheaters": [*_AUDIT, ROOT / "tests" / "honest.py", ROOT / "tests" / "cheaters.py"],
    "phases": [
        *_TASKS,
        *[PACKAGE / "diagnosing" / f"{name}.py" for name in ("asking", "cell", "phase", "seen")],
        ROOT / "tests" / "planted.py",
    ],
}


def baseline(name):
    return lambda info, seed=0: load_learner(ROOT / "baselines" / f"{name}.py", info)


HONEST = {
    "1-NN": baseline("nearest_neighbour"),
    "ridge": baseline("ridge"),
    "SVM": baseline("svm"),
    "LSTM": make_lstm,
    "Transformer": make_transformer,
    "Transformer with dropout": partial(make_transformer, dropout=0.1),
}


def code(section):
    """SHA-256 over the files that a section is about, and over what its suites give: not over how suite.py says it."""
    files = b"".join(path.read_bytes() for path in CODE[section])
    given = b"" if section == "statistics" else bits().encode()
    return hashlib.sha256(files + given).hexdigest()


@cache
def bits():
    """SHA-256 over episodes of every kind of split, of every suite that is asked about here."""
    register_unequal()
    digest = hashlib.sha256()
    for id in sorted({SUITE, *(planted[2] for planted in PLANTED.values())}):
        suite = make(id)
        splits = [suite.meta_train, suite.meta_train.at_seed(7), suite.seen(), suite.seen(7), suite.meta_validation]
        fresh = suite.at_round("5a" * 32).meta_test
        splits += [suite.meta_test, fresh, replace(fresh, images="train")]
        for split in splits:
            digest.update(f"{split.spec.id} {split.task_set} {split.images} {split.info}".encode())
            for task, episode in ((0, 0), (1, 0), (1, 3), (2**33 + 5, 0), (2**64 - 1, 2**64 - 1)):
                found = split.episode(task, episode)
                for array in (found.x, found.y, found.indices, split.label_map(task), split.labels(task, episode)):
                    digest.update(np.ascontiguousarray(array).tobytes())
            if split.name == "meta_train":
                digest.update(split.batch(3, 4).x.tobytes() + split.batch(3, 4, num_tasks=5).x.tobytes())
    return digest.hexdigest()


def audited(kind, name, seed):
    """One full audit; for a cheater whether the named check caught it, for an honest learner whether it passed."""
    maker, check = CHEATERS[name] if kind == "cheaters" else (HONEST[name], None)
    audit_seed = hashlib.sha256(f"validation {kind} {name} {seed}".encode()).hexdigest()
    found = audit(maker(make(SUITE).info, seed), SUITE, "full", seed=audit_seed)
    offences = [c.name for c in found.checks if c.status in ("failed", "not auditable")]
    return (check in offences) if kind == "cheaters" else (found.status == "passed"), found.comparisons, offences


def diagnosed(name, seed):
    """One diagnosis: whether the verdict is what was planted, and the verdict."""
    maker, verdict, suite = PLANTED[name]
    register_unequal()
    found = diagnose(maker(seed), suite, seed=seed)
    return found.verdict == verdict, found.verdict


def counted(work, jobs, what, workers=2):
    """The answers of `work` for each job, two processes at a time."""
    with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
        running = {pool.submit(work, *job): job for job in jobs}
        for count, done in enumerate(as_completed(running), 1):
            job, (right, *rest) = running[done], done.result()
            wrong = "" if right else f"  WRONG: {job}: {rest}"
            print(f"\r{count}/{len(jobs)} {what}{wrong}", end="\n" if wrong else "", file=sys.stderr, flush=True)
            yield job, right, *rest


def audits(kind, seeds):
    """How often each cheater was caught by its check, or each honest learner passed."""
    names = CHEATERS if kind == "cheaters" else HONEST
    table = {name: {"right": 0, "of": 0, "comparisons": 0} for name in names}
    jobs = [(kind, name, seed) for name in names for seed in range(seeds)]
    for (_, name, _), right, comparisons, _ in counted(audited, jobs, "audits"):
        row = table[name]
        row["right"], row["of"] = row["right"] + right, row["of"] + 1
        row["comparisons"] += comparisons
    if kind == "cheaters":
        for name, (_, check) in CHEATERS.items():
            table[name]["check"] = check
    return table


def phases(seeds):
    """How often each planted learner was diagnosed right."""
    table = {name: {"right": 0, "of": 0, "verdict": verdict} for name, (_, verdict, _) in PLANTED.items()}
    jobs = [(name, seed) for name in PLANTED for seed in range(seeds)]
    for (name, _), right, _ in counted(diagnosed, jobs, "diagnoses"):
        table[name]["right"] += right
        table[name]["of"] += 1
    return table


def covered(interval, truth):
    low, high = np.asarray(interval).T
    return float(((low <= truth) & (truth <= high)).mean())


def coverage_over_tasks(num_tasks, truths, rng):
    """Wilson for accuracies, BCa for areas: shares of simulated truths inside their 95% interval."""
    p = rng.uniform(0.05, 0.95, truths)
    right = rng.binomial(num_tasks, p)
    wide = rng.beta(p * 8, (1 - p) * 8, (num_tasks, truths))  # tasks differ in difficulty
    areas = rng.binomial(99, wide) / 99
    near = rng.beta(0.995 * 50, 0.005 * 50, (num_tasks, truths))
    return {
        "accuracy, Wilson": covered(wilson(right, num_tasks), p),
        "area, BCa": covered(bootstrap(areas), p),
        "area near 1, BCa (published, not gated)": covered(bootstrap(rng.binomial(99, near) / 99), 0.995),
    }


def coverage_over_runs(runs, truths, rng):
    """Student's t on run means, with Gaussian run effects and with bimodal ones."""
    gaussian = rng.normal(0.5, 0.1, (truths, runs))
    bimodal = rng.choice([0.15, 0.65], (truths, runs), p=[0.3, 0.7]) + rng.normal(0, 0.02, (truths, runs))
    return {
        "run means, t": covered([t_interval(row) for row in gaussian], 0.5),
        "bimodal runs, t (published, not gated)": covered(
            [t_interval(row) for row in bimodal], 0.3 * 0.15 + 0.7 * 0.65
        ),
    }


def false_positives(truths, rng):
    """How often each test calls two equal learners different, at 5%."""
    shares = {}
    for num_tasks in (32, 256):
        scale = rng.uniform(0.02, 0.2, truths)
        differences = rng.normal(0, 1, (truths, num_tasks)) * scale[:, None] + rng.exponential(
            0.05, (truths, num_tasks)
        ) * rng.choice([-1, 1], (truths, num_tasks))
        shares[f"sign flips, {num_tasks} tasks"] = float(np.mean([sign_flip(row) < ALPHA for row in differences]))
    p = rng.uniform(0.05, 0.95, (truths, 256))
    pairs = [rng.random((truths, 256)) < p for _ in range(2)]
    shares["McNemar, 256 tasks"] = float(np.mean([mcnemar(a, b) < ALPHA for a, b in zip(*pairs, strict=True)]))
    for runs in (2, 3, 5, 10):
        for trained in (1, 2):  # sides; an untrained one has a single run
            sides = [simulated(rng, truths, runs), simulated(rng, truths, runs if trained == 2 else 1)]
            tasks = rng.normal(0, 0.1, (truths, 1, 64))
            found = [
                two_level(a.mean(axis=0) - b.mean(axis=0), a.mean(axis=1), b.mean(axis=1))[1]
                for a, b in zip(sides[0] + tasks, sides[1] + tasks, strict=True)
            ]
            name = f"t over runs and tasks, {runs} runs of {'both' if trained == 2 else 'one'}"
            shares[name] = float(np.mean(np.array(found) < ALPHA))
    return shares


def simulated(rng, truths, runs):
    """Scores [truth, run, task] of mean 0.5: effects of the run, if it is one of several, and of run and task."""
    effect = rng.normal(0, 0.05 * (runs > 1), (truths, runs, 1))
    return 0.5 + effect + rng.normal(0, 0.1, (truths, runs, 64))


def statistics(truths):
    rng = np.random.default_rng(2212_04458)
    return {
        "coverage over tasks": {str(n): coverage_over_tasks(n, truths, rng) for n in (256, 1024)},
        "coverage over runs": {str(n): coverage_over_runs(n, truths, rng) for n in (3, 5, 10)},
        "false positives": false_positives(truths, rng),
        "truths": truths,
    }


def _rows(section):
    if section == "statistics":
        return statistics(TRUTHS)
    return phases(SEEDS[section]) if section == "phases" else audits(section, SEEDS[section])


def main(sections):
    """Run the given sections, or all; the file keeps the others, each with the hash of the code that it was run on."""
    found = json.loads(FILE.read_text()) if FILE.exists() else {}
    for section in sections or CODE:
        before = code(section)
        rows = _rows(section)
        found[section] = {"code": before, "command": f"python -m tests.validation {section}", **rows}
        scratch = FILE.with_suffix(f".{os.getpid()}")
        scratch.write_text(json.dumps(found, indent=1) + "\n")
        scratch.replace(FILE)
    print(json.dumps(found, indent=1))


if __name__ == "__main__":
    main(sys.argv[1:])
