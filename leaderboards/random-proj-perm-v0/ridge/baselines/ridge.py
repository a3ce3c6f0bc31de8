"""Ridge regression on one-hot labels, in its dual form: f(x) = x·Xᵀ (X·Xᵀ + αI)⁻¹ Y, Y centred by 1/C.

Hoerl and Kennard (1970). The largest f(x) is the predicted class; f is no logit, so labels are returned.
An example has about squared length D, so α is given in units of D.
"""

import numpy as np


def make_learner(info, alpha=1 / 8):
    def learner(context_x, context_y, query_x):
        targets = np.eye(info.C)[context_y] - 1 / info.C  # [k, C]
        x, query = context_x.astype(np.float64), query_x.astype(np.float64)
        weights = np.linalg.solve(x @ x.T + alpha * info.D * np.eye(len(x)), targets)
        return (query @ x.T @ weights).argmax(axis=1)

    learner.card = {"meta_training": "none"}
    return learner
