"""A support vector machine with a Gaussian kernel, as scikit-learn has it (Cortes and Vapnik, 1995)."""

from sklearn.svm import SVC


def make_learner(info, C=10.0, gamma="scale"):
    learner = SVC(C=C, gamma=gamma)
    learner.card = {"meta_training": "none"}
    return learner
