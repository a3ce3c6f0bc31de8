"""What is measured at each task and position, and the score of a suite."""

import numpy as np
from jaxtyping import Bool, Float64, Int32


def log_losses(
    scores: Float64[np.ndarray, "task position C"], y: Int32[np.ndarray, "task position"]
) -> Float64[np.ndarray, "task position"]:
    """-log softmax(scores)[y], in nats."""
    with np.errstate(under="ignore"):  # whatever a learner has made of NumPy's settings
        shifted = scores - scores.max(axis=-1, keepdims=True)
        chosen = np.take_along_axis(shifted, y[..., None].astype(np.int64), axis=-1)[..., 0]
        losses: Float64[np.ndarray, "task position"] = np.log(np.exp(shifted).sum(axis=-1)) - chosen
        return losses


def areas(outcome: Bool[np.ndarray, "task position"], num_classes: int) -> Float64[np.ndarray, " task"]:
    """Each task's score: (mean accuracy over the positions - 1/C) / (1 - 1/C): chance 0, perfect 1."""
    chance = 1 / num_classes
    return (outcome.mean(axis=1) - chance) / (1 - chance)
