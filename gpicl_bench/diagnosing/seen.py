"""What a learner has seen, by its card: which tasks they are, and whether this learner can have seen them."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np

from gpicl_bench.datasets import DATASETS, dataset
from gpicl_bench.diagnosing.phase import Seen
from gpicl_bench.errors import (
    DataUnavailable,
    GpiclBenchError,
    InvalidArgument,
    LearnerError,
    MalformedId,
    SuiteNotFound,
)
from gpicl_bench.learners import Adapter, Block, LoadedLearner, adapt, load_learner
from gpicl_bench.registration import make, registry
from gpicl_bench.suite import Split, Suite

_NEEDED = ("suite", "num_tasks", "seed")


@dataclass(frozen=True)
class SeenTasks:
    """The tasks of a meta-training: 0 … num_tasks - 1 of the card's suite at its seed.

    A pool of fewer tasks than are asked is asked in several episodes each. Episode 0 of an unbounded pool's task is the
    one that it was trained on; of a finite pool's, another draw of the same images.
    """

    split: Split
    num_tasks: int

    def on(self, images: Literal["train", "test"]) -> Split:
        """These tasks on training images, `train`, or on held-out ones, `test`."""
        return replace(self.split, images=images)

    def episodes(self, count: int, rng: np.random.Generator) -> list[tuple[int, int]]:
        """`count` pairs of a task and an episode: other tasks where there are so many, else all in turn."""
        if self.num_tasks >= count:
            pool = min(self.num_tasks, 2**62)  # as far as the generator goes
            return [(int(i), 0) for i in rng.choice(pool, count, replace=False)]
        return [(row % self.num_tasks, row // self.num_tasks) for row in range(count)]


def seen_tasks(card: dict[str, Any], suite: Suite, name: str) -> tuple[Seen, SeenTasks | None, str]:
    """Whether the seen tasks are known, which they are, and if not, why not.

    Raises:
        LearnerError: the card names a suite that does not exist.
    """
    training = card.get("meta_training")
    if training == "none":
        return "none", None, "nothing was meta-trained"
    if not isinstance(training, dict):
        return "unknown", None, "its card does not say what it was meta-trained on"
    missing = [field for field in _NEEDED if field not in training]
    if missing:
        return "unknown", None, f"its card does not give {', '.join(missing)} of its meta-training"
    try:
        own = make(training["suite"], num_examples=suite.info.T)
    except InvalidArgument as error:  # it exists, but has not enough images for such episodes
        return "unknown", None, error.what
    except (SuiteNotFound, MalformedId) as error:
        raise LearnerError(
            "the card contradicts the learner: its suite does not exist",
            expected="the id of a suite",
            got=training["suite"],
            where=f"{name}.card",
            hint=getattr(error, "hint", None) or "a suite of your own: register it in this process first",
        ) from error
    split = own.meta_train.at_seed(training["seed"])
    try:
        _ = split.part, replace(split, images="test").part
    except DataUnavailable as error:
        return "unknown", None, error.what
    return "known", SeenTasks(split, training["num_tasks"]), ""


def adapter_for(split: Split, adapter: Adapter, loaded: LoadedLearner) -> Adapter:
    """The learner as it answers on the card's suite: itself where the shapes agree, else its file, loaded anew.

    Raises:
        LearnerError: the card contradicts the learner, which does not answer there.
    """
    there, here = split.info, adapter.info
    if (there.D, there.C, there.T) == (here.D, here.C, here.T):
        return adapter
    try:
        again = loaded if loaded.path is None else load_learner(loaded.path, there, loaded.args)
        other = adapt(again.learner, there, loaded.name)
        episode = split.episode(0)
        _probe(other, episode.x[None], episode.y[None])
    except GpiclBenchError as error:
        raise LearnerError(
            "the card contradicts the learner",
            expected=f"a learner of D = {here.D}, C = {here.C} was meta-trained on such a suite",
            got=f"{there.id}, D = {there.D}, C = {there.C}, where it fails: {error.what}: {error.got}",
            where=f"{loaded.name}.card",
            hint="mend the card; a learner for several shapes is diagnosed as a file, which is loaded anew for each",
        ) from error
    return other


def _probe(adapter: Adapter, x: np.ndarray, y: np.ndarray) -> None:
    adapter.predict(Block([0], x, y, np.zeros((1, 2), np.uint32)), np.array([x.shape[1] - 1]))


def other_suites(suite: Suite) -> Sequence[str]:
    """The ids of all suites with the same transforms, D and C over another base dataset, whether here or not."""
    found = []
    for id, spec in registry.items():
        same = (spec.input, spec.label) == (suite.spec.input, suite.spec.label) and spec.deprecated is None
        if same and spec.dataset != suite.spec.dataset and spec.dataset in DATASETS:
            known = dataset(spec.dataset)
            if (known.dimension, known.num_classes) == (suite.info.D, suite.info.C):
                found.append(id)
    return found
