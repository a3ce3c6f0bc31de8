"""Planted cheaters: each breaks one rule, and the audit must name it.

Most are an honest Transformer with one bug. `CHEATERS` maps a name to a maker and to the check that must fail.
"""

import tempfile
from functools import partial
from pathlib import Path

import numpy as np

import gpicl_bench
from gpicl_bench import sequence_learner
from tests.honest import make_transformer


def hot(y, num_classes):
    return np.eye(num_classes, dtype=np.float32)[y]


def after(change):
    """A maker of a Transformer whose scores are changed by `change(scores, x, y, info)`."""

    def make(info, seed=0):
        def wrap(apply):
            return lambda x, y, keys: change(np.asarray(apply(x, y, keys)), x, y, info)

        return make_transformer(info, seed, wrap=wrap)

    return make


def before(change):
    """A maker of a Transformer whose inputs are changed by `change(x, y)` before it sees them."""

    def make(info, seed=0):
        def wrap(apply):
            return lambda x, y, keys: apply(*change(x, y), keys)

        return make_transformer(info, seed, wrap=wrap)

    return make


def over_time(x, y):
    return (x - x.mean(axis=1, keepdims=True)) / x.std(axis=1, keepdims=True), y


def over_batch(x, y):
    return (x - x.mean(axis=0, keepdims=True)) / (x.std(axis=0, keepdims=True) + 1e-3), y


def chunk_means(x, y):
    chunks = x.reshape(len(x), -1, 10, x.shape[-1]) if x.shape[1] % 10 == 0 else x[:, None]
    return x + np.repeat(chunks.mean(axis=2), chunks.shape[2], axis=1), y


def low_pass(x, y):
    spectrum = np.fft.rfft(x, axis=1)
    spectrum[:, spectrum.shape[1] // 2 :] = 0
    return np.fft.irfft(spectrum, n=x.shape[1], axis=1).astype(np.float32), y


def shifted(x, y):
    return x, np.roll(y, -1, axis=1)  # the label before, of a sequence shifted the wrong way: y_t itself


def shifted_far(x, y):
    return x, np.roll(y, -2, axis=1)  # y_{t+1}


def late(scores, x, y, info):
    scores = scores.copy()
    scores[:, 51:] += hot(y[:, 51:], info.C)
    return scores


def keyed(scores, x, y, info):
    """A leak in about 5% of the tasks, chosen by the first input."""
    chosen = np.abs(x[:, 0, 0] * 1000) % 1 < 0.05
    return scores + chosen[:, None, None] * hot(y, info.C)


class Remembers:
    """Keeps what it has been shown, across tasks: asked again, it knows."""

    __name__ = "remembers"

    def __init__(self):
        self.known = {}

    def __call__(self, context_x, context_y, query_x):
        for example, label in zip(context_x, context_y, strict=True):
            self.known[example.tobytes()] = int(label)
        return np.array([self.known.get(query_x[0].tobytes(), 0)])


class Averages:
    """Norms its inputs by statistics of all that it has seen so far."""

    __name__ = "averages"

    def __init__(self):
        self.total, self.count = 0.0, 0

    def __call__(self, context_x, context_y, query_x):
        self.total, self.count = self.total + query_x.sum(), self.count + 1
        if len(context_y) == 0:
            return np.zeros((1, 10))
        scores = np.zeros((1, 10))
        np.maximum.at(scores[0], context_y, 1 / (1 + np.square(query_x - context_x).sum(axis=1)))
        return scores * (1 + self.total / self.count)


def make_regenerates(info, seed=0, tasks=range(4096)):
    """Regenerates public tasks of the suite and looks its queries up."""
    split = gpicl_bench.make(info.id).meta_test
    answers = {}
    for i in tasks:
        episode = split.episode(i)
        answers.update(zip(map(bytes, episode.x), episode.y.tolist(), strict=True))

    def learner(context_x, context_y, query_x):
        known = answers.get(bytes(query_x[0]))
        if known is None:
            known = int(context_y[np.square(query_x - context_x).sum(axis=1).argmin()]) if len(context_y) else 0
        return np.array([known])

    return learner


def make_unkeyed(info, seed=0):
    """Dropout that is on, with a generator of its own instead of a key."""
    rng = np.random.default_rng(seed)

    def wrap(apply):
        return lambda x, y, keys: np.asarray(apply(x, y, keys)) * (rng.random((len(x), 1, 1)) > 0.1)

    return make_transformer(info, seed, wrap=wrap)


def make_writes(info, seed=0):
    honest = make_transformer(info, seed)

    @sequence_learner
    def learner(x, y):
        if x.flags.writeable:
            x[:, 0] = 0
        return honest(x, y)

    return learner


def make_transductive(info, seed=0):
    """Centres its queries by their mean: alone each is zero."""

    def learner(context_x, context_y, query_x):
        scores = np.zeros((len(query_x), info.C))
        if len(context_y):
            centred = query_x - query_x.mean(axis=0, keepdims=True) * (len(query_x) > 1)
            np.add.at(scores.T, context_y, (context_x @ centred.T) / 100)
        return scores

    return learner


def make_two_faces(info, seed=0):
    """A step form with other weights than the sequence form."""
    from tests.honest import Lstm

    class TwoFaces(Lstm):
        def __init__(self):
            super().__init__(info, seed)
            self.other = Lstm(info, seed + 1)

        def __call__(self, x, y):
            return self.other(x, y)

    return sequence_learner(TwoFaces())


def make_length(info, seed=0):
    """Divides by the length of the episode."""

    def wrap(apply):
        return lambda x, y, keys: np.asarray(apply(x, y, keys)) * (x.shape[1] / 50)

    return make_transformer(info, seed, wrap=wrap)


def make_block(info, seed=0):
    """Whole-batch scaling that depends on the number of rows."""

    def wrap(apply):
        return lambda x, y, keys: np.asarray(apply(x, y, keys)) * np.log(len(x)).astype(np.float32)

    return make_transformer(info, seed, wrap=wrap)


def make_rows(info, seed=0):
    """What it says depends on the row that a task stands in."""

    def wrap(apply):
        return lambda x, y, keys: np.asarray(apply(x, y, keys)) * (1 + np.arange(len(x)) % 7)[:, None, None]

    return make_transformer(info, seed, wrap=wrap)


def make_memorises(info, seed=0):
    """Reads y_t, and answers ever after as it did when it first saw an input."""
    known = {}

    @sequence_learner
    def learner(x, y):
        scores = np.zeros((*y.shape, info.C))
        for row in range(len(y)):
            for t in range(y.shape[1]):
                scores[row, t, known.setdefault(x[row, t].tobytes(), int(y[row, t]))] = 1
        return scores

    return learner


FREEZES = """
import gpicl_bench, numpy as np
STATS = []

def make_learner(info):
    @gpicl_bench.sequence_learner
    def learner(x, y):
        if not STATS:
            STATS.append(x.mean(axis=(0, 1)))
        similarity = np.tril((x - STATS[0]) @ (x - STATS[0]).transpose(0, 2, 1), k=-1)
        return similarity @ np.eye(info.C)[y]
    return learner
"""


def make_freezes(info, seed=0):
    """Fits its normaliser to the first batch that it meets."""
    return _file("freezes", FREEZES, info)


def make_last(info, seed=0):
    """Reads y_t at the last position only."""

    def wrap(apply):
        def leaky(x, y, keys):
            scores = np.array(apply(x, y, keys))
            scores[:, -1] += hot(y[:, -1], info.C)
            return scores

        return leaky

    return make_transformer(info, seed, wrap=wrap)


def make_small_faces(info, seed=0):
    """Two faces whose scores are so small that an absolute tolerance would not see them."""
    learner = make_two_faces(info, seed)
    whole = type(learner)

    class Small(whole):
        def step(self, state, x, y_prev):
            state, scores = super().step(state, x, y_prev)
            return state, scores * 1e-3

        def __call__(self, x, y):
            return super().__call__(x, y) * 1e-3

    learner.__class__ = Small
    return learner


HASHES = """
import numpy as np
SALT = hash("anything") % 1000003

def learner(context_x, context_y, query_x):
    return np.array([SALT // (1 + len(context_y)) % 10])
"""


def make_hashes(info, seed=0):
    """Answers by Python's own hash of a string, which is another in every process."""
    return _file("hashes", HASHES, info)


def _file(name, text, info):
    path = Path(tempfile.mkdtemp(prefix="gpicl_bench-cheater-")) / f"{name}.py"
    path.write_text(text)
    return gpicl_bench.load_learner(path, info)


CHEATERS = {
    "label read at t": (after(lambda s, x, y, info: s + hot(y, info.C)), "label at t"),
    "labels shifted the wrong way": (before(shifted), "label at t"),
    "labels shifted by two": (before(shifted_far), "later labels"),
    "norm over the sequence": (before(over_time), "later inputs"),
    "causal mask off": (lambda info, seed=0: make_transformer(info, seed, causal=False), "later labels"),
    "chunk means": (before(chunk_means), "later inputs"),
    "filter over time": (before(low_pass), "later inputs"),
    "leak after 50": (after(late), "label at t"),
    "leak of 1e-4": (after(lambda s, x, y, info: s + 1e-4 * hot(y, info.C)), "label at t"),
    "leak in 5% of tasks": (after(keyed), "label at t"),
    "batch statistics": (before(over_batch), "batch neighbours"),
    "cache across tasks": (lambda info, seed=0: Remembers(), "equal runs"),
    "running statistics": (lambda info, seed=0: Averages(), "equal runs"),
    "dropout without a key": (make_unkeyed, "equal runs"),
    "randomness from hash()": (make_hashes, "fresh process"),
    "regenerates public tasks": (make_regenerates, "public tasks"),
    "regenerates the first 1,024": (partial(make_regenerates, tasks=range(1024)), "public tasks"),
    "regenerates all but those": (partial(make_regenerates, tasks=range(1024, 4096)), "public tasks"),
    "memorises labels by input": (make_memorises, "honeypots"),
    "freezes the first batch": (make_freezes, "fresh process"),
    "leak at the last position": (make_last, "label at t"),
    "writes into its inputs": (make_writes, "inputs untouched"),
    "centres its queries": (make_transductive, "queries apart"),
    "two faces": (make_two_faces, "forms agree"),
    "two small faces": (make_small_faces, "forms agree"),
    "knows the length": (make_length, "length"),
    "knows the batch size": (make_block, "batch size"),
    "knows its row": (make_rows, "task order"),
}
