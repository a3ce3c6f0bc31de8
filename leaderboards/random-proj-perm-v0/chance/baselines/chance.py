"""Every class is equally likely: the floor. Score 0, accuracy 1/C, log-loss log C."""

import numpy as np


def make_learner(info):
    def learner(context_x, context_y, query_x):
        return np.zeros((len(query_x), info.C))

    learner.card = {"meta_training": "none"}
    return learner
