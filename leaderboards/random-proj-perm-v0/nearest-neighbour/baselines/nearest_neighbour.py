"""1-NN: the label of the nearest example, by squared Euclidean distance."""

import numpy as np


def learner(context_x, context_y, query_x):
    if len(context_y) == 0:
        return np.zeros(len(query_x), dtype=int)
    distances = np.square(query_x[:, None] - context_x).sum(axis=-1)  # [Q, k]
    return context_y[distances.argmin(axis=1)]


learner.card = {"meta_training": "none"}
