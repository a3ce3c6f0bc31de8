"""Meta-trained baselines for gpicl_bench: one file a model, one program that trains them all.

>>> import baselines, gpicl_bench
>>> learner = baselines.load("transformer", "digits-proj-perm-v0")
>>> result = gpicl_bench.evaluate(learner, "digits-proj-perm-v0", num_tasks=64, positions=[0, 99])
>>> bool(result.accuracy_at(0) < 0.3 < 0.7 < result.accuracy_at(99))
True
"""

from typing import Any


def load(model: str, suite: str, tokens: str | None = None) -> Any:
    """A learner with the weights that come with the repository.

    Args:
        model: a name in `baselines.settings.MODELS`: `transformer`, `vsml`, `deltanet`, ….
        suite: the id of the suite that it was meta-trained on.
        tokens: `shifted` or `paired`; None: as the model's default has it.

    Returns:
        The learner, in the sequence form, with its card.

    Raises:
        InvalidArgument: there are no such weights; the error names those that there are.
    """
    from baselines.learner import restore
    from baselines.reference import WEIGHTS
    from baselines.settings import known, model_class
    from gpicl_bench import make

    kind = model_class(model)
    known("suite with weights", suite, sorted(folder.name for folder in WEIGHTS.glob("*/")))
    names = sorted(path.stem for path in (WEIGHTS / suite).glob("*.json"))
    name = known("set of weights", f"{model}-{tokens or kind.Config().tokens}", names)
    return restore(kind, make(suite).info, WEIGHTS / suite / name)
