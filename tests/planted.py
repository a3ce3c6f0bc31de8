"""Planted learners: what each of them is, is known by construction. For the diagnosis."""

import hashlib

import numpy as np

from gpicl_bench import make, register, register_dataset, sequence_learner, tasks
from gpicl_bench.datasets import DATASETS, load_part

SUITE = "digits-proj-perm-v0"
UNEQUAL = "unequal"  # digits of which six in ten are of one class
OTHER_SUITE = f"{UNEQUAL}-proj-perm-v0"
IMPROVEMENT = 0.78  # of 1-NN on digits
BOUNDARY = 0.15  # between absent and present


def register_unequal():
    """Images of digits, most of them zeros: a learner of labels alone improves here."""
    if UNEQUAL in DATASETS:
        return
    parts = {}
    for name in ("train", "test"):
        part = load_part("digits", name)
        zeros = np.flatnonzero(part.labels == 0)
        chosen = np.concatenate([np.arange(len(part)), np.tile(zeros, 12)])
        parts[name] = part.images[chosen], part.labels[chosen].astype(np.int64)
    register_dataset(UNEQUAL, **parts)
    register(OTHER_SUITE)


def card(num_tasks, seed, suite=SUITE):
    return {"meta_training": {"suite": suite, "num_tasks": num_tasks, "seed": seed, "steps": 1000}}


def instances(num_tasks, seed, suite=SUITE):
    """Every training image of every seen task: inputs [M, n, D] and labels [M, n], as an episode has them."""
    split = make(suite).meta_train.at_seed(seed)
    known, part = split.dataset, split.part
    scale = tasks.projection_scale(known.dimension, known.std)
    drawn = [split.task(i) for i in range(num_tasks)]
    flat = part.pixels
    x = np.stack([tasks.project(task.projection, flat, known.center).astype(np.float32) * scale for task in drawn])
    return x, np.stack([task.label_map[part.labels] for task in drawn])


def coin(x, share, salt=0):
    """For each input whether it is among a share of all, by its bytes: no state, no order."""
    rows = x.reshape(-1, x.shape[-1])
    drawn = [int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8, key=bytes([salt])).digest()) for row in rows]
    return (np.array(drawn) < share * 2.0**64).reshape(x.shape[:-1])


def labels_as_scores(labels):
    return np.eye(10, dtype=np.float32)[labels]


def guesses(x):
    """A class for each input, by its bytes."""
    rows = x.reshape(-1, x.shape[-1])
    drawn = [int.from_bytes(hashlib.blake2b(row.tobytes(), digest_size=8, key=b"guess").digest()) % 10 for row in rows]
    return np.array(drawn).reshape(x.shape[:-1])


def look_up_table(num_tasks, seed, share=1.0):
    """The label of an input that was seen, by its bytes; a guess for all others. The context is never read."""
    x, y = instances(num_tasks, seed)
    table = {row.tobytes(): label for row, label in zip(x.reshape(-1, x.shape[-1]), y.ravel().tolist(), strict=True)}

    @sequence_learner
    def learner(x, y):
        found = guesses(x)
        kept = coin(x, share)
        for index in np.ndindex(found.shape):
            if kept[index]:
                found[index] = table.get(x[index].tobytes(), found[index])
        return labels_as_scores(found)

    learner.card = card(num_tasks, seed)
    return learner


def nearest_instance(num_tasks, seed):
    """The label of the nearest input that was seen: it knows held-out images of seen tasks too. No context."""
    known_x, known_y = instances(num_tasks, seed)
    known_x, known_y = known_x.reshape(-1, known_x.shape[-1]), known_y.ravel()
    squared = np.square(known_x).sum(axis=1)

    @sequence_learner
    def learner(x, y):
        rows = x.reshape(-1, x.shape[-1])
        parts = np.array_split(rows, max(1, len(rows) // 400))
        found = np.concatenate([known_y[(squared - 2 * part @ known_x.T).argmin(axis=1)] for part in parts])
        return labels_as_scores(found.reshape(x.shape[:-1]))

    learner.card = card(num_tasks, seed)
    return learner


def nearest_seen_task(num_tasks, seed, share=1.0):
    """Which seen task explains the labels so far best? Its nearest class mean answers."""
    known_x, known_y = instances(num_tasks, seed)
    of_class = np.eye(10, dtype=np.float32)[known_y]  # [M, n, C]
    means = of_class.transpose(0, 2, 1) @ known_x / of_class.sum(axis=1)[..., None]  # [M, C, D]
    squared = np.square(means).sum(axis=2)

    @sequence_learner
    def learner(x, y):
        answers = (squared[:, None, None] - 2 * np.einsum("btd,mcd->mbtc", x, means, optimize=True)).argmin(axis=3)
        right = (answers == y).cumsum(axis=2) - (answers == y)  # before t
        found = np.take_along_axis(answers, right.argmax(axis=0)[None], axis=0)[0]
        return labels_as_scores(np.where(coin(x, share), found, guesses(x)))

    learner.card = card(num_tasks, seed)
    return learner


def nearest(share=1.0, about=None):
    """1-NN on a share of the queries, and a guess on the others."""

    @sequence_learner
    def learner(x, y):
        distances = np.square(x).sum(axis=2)[:, None, :] - 2 * x @ x.transpose(0, 2, 1)
        length = x.shape[1]
        distances[:, np.triu(np.ones((length, length), bool))] = np.inf
        found = np.take_along_axis(y, distances.argmin(axis=2), axis=1)
        found[:, 0] = 0
        return labels_as_scores(np.where(coin(x, share), found, guesses(x)))

    learner.card = {"meta_training": "none"} if about is None else about
    return learner


def centroid():
    """The class whose mean is nearest."""

    @sequence_learner
    def learner(x, y):
        shown = np.eye(10, dtype=np.float32)[y]
        before = shown.cumsum(axis=1) - shown  # [B, T, C], of each class before t
        sums = (shown[..., None] * x[:, :, None]).cumsum(axis=1) - shown[..., None] * x[:, :, None]
        means = sums / np.maximum(before, 1)[..., None]
        scores = -np.square(x[:, :, None] - means).sum(axis=3)
        return np.where(before > 0, scores, -1e6).astype(np.float32)

    learner.card = {"meta_training": "none"}
    return learner


def constant(about):
    @sequence_learner
    def learner(x, y):
        return labels_as_scores(np.full(y.shape, 3))

    learner.card = about
    return learner


def prior_only(about):
    """The most frequent label so far."""

    @sequence_learner
    def learner(x, y):
        shown = np.eye(10, dtype=np.float32)[y]
        return shown.cumsum(axis=1) - shown

    learner.card = about
    return learner


def rare_first(about):
    """The label that was shown least: images are drawn without replacement, and so it is a little likelier."""

    @sequence_learner
    def learner(x, y):
        shown = np.eye(10, dtype=np.float32)[y]
        return shown - shown.cumsum(axis=1)

    learner.card = about
    return learner


NONE = {"meta_training": "none"}
PLANTED = {  # name: (the learner of a seed, verdict, suite)
    "1-NN": (lambda seed: nearest(), "general learning", SUITE),
    "1-NN without a card": (lambda seed: nearest(about={}), "general learning (seen tasks unknown)", SUITE),
    "1-NN on half of the queries": (lambda seed: nearest(0.5), "general learning", SUITE),
    "nearest centroid": (lambda seed: centroid(), "general learning", SUITE),
    "look-up table, 4 tasks": (lambda seed: look_up_table(4, seed), "instance memorisation", SUITE),
    "look-up table, 64 tasks": (lambda seed: look_up_table(64, seed), "instance memorisation", SUITE),
    "nearest instance, 2 tasks": (lambda seed: nearest_instance(2, seed), "instance memorisation", SUITE),
    "nearest seen task, 8": (lambda seed: nearest_seen_task(8, seed), "task identification", SUITE),
    "nearest seen task, 16": (lambda seed: nearest_seen_task(16, seed), "task identification", SUITE),
    "nearest seen task, 64": (lambda seed: nearest_seen_task(64, seed), "task identification", SUITE),
    "constant": (lambda seed: constant(card(1000, seed)), "no learning", SUITE),
    "constant without a card": (lambda seed: constant({}), "undetermined (seen tasks unknown)", SUITE),
    "prior only": (lambda seed: prior_only(card(1000, seed)), "no learning", SUITE),
    "prior only, unequal classes": (lambda seed: prior_only(card(1000, seed, OTHER_SUITE)), "no learning", OTHER_SUITE),
    "rarest label, unequal classes": (lambda seed: rare_first(NONE), "no learning", OTHER_SUITE),
    "boundary of 1-NN": (lambda seed: nearest(BOUNDARY / IMPROVEMENT), "undetermined", SUITE),
    "boundary of a look-up table": (lambda seed: look_up_table(16, seed, BOUNDARY), "undetermined", SUITE),
    "boundary of a seen task": (lambda seed: nearest_seen_task(16, seed, 0.48), "undetermined", SUITE),
}
