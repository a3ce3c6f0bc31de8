"""What is measured at each task and position, and the score of a suite."""

import numpy as np
from jaxtyping import Bool, Float64, Int32, Integer


def log_losses(
    scores: Float64[np.ndarray, "task position C"], y: Int32[np.ndarray, "task position"]
) -> Float64[np.ndarray, "task position"]:
    """-log softmax(scores)[y], in nats."""
    with np.errstate(under="ignore"):  # whatever a learner has made of NumPy's settings
        shifted = scores - scores.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(shifted, y[..., None].astype(np.int64), axis=-1)[..., 0]
        losses: Float64[np.ndarray, "task position"] = np.log(np.exp(shifted).sum(axis=-1)) - chosen
        return losses


def ties(
    scores: Float64[np.ndarray, "task position C"], chosen: Integer[np.ndarray, "task position"], tolerance: float
) -> Bool[np.ndarray, "task position"]:
    """Where the score of the chosen class is the largest, up to a relative difference."""
    best = scores.max(axis=2)
    own = np.take_along_axis(scores, chosen[..., None].astype(np.int64), axis=2)[..., 0]
    return best - own <= tolerance * np.maximum(np.abs(best), np.abs(own))


def areas(outcome: Bool[np.ndarray, "task position"], num_classes: int) -> Float64[np.ndarray, " task"]:
    """Each task's score: (mean accuracy over the positions - 1/C) / (1 - 1/C): chance 0, perfect 1."""
    chance = 1 / num_classes
    return (outcome.mean(axis=1) - chance) / (1 - chance)
