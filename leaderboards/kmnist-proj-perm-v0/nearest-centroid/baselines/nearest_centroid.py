"""Nearest class mean: the class whose examples have the nearest mean; a class without examples is last."""

import numpy as np


def make_learner(info):
    def learner(context_x, context_y, query_x):
        shown = np.eye(info.C)[context_y]  # [k, C]
        counts = shown.sum(axis=0)
        if not counts.any():
            return np.zeros(len(query_x), dtype=int)
        means = (shown.T @ context_x)[counts > 0] / counts[counts > 0, None]
        distances = np.square(query_x[:, None] - means).sum(axis=-1)  # [Q, classes shown]
        return np.flatnonzero(counts)[distances.argmin(axis=1)]

    learner.card = {"meta_training": "none"}
    return learner
