"""scikit-learn classifiers: fitted anew on the context of each query."""

from typing import Any

import numpy as np
from jaxtyping import Float32, Float64, Int32, Int64, Integer, UInt32

from gpicl_bench.errors import LearnerError
from gpicl_bench.learners.adapter import Block, Labels, Scores
from gpicl_bench.learners.callable import CallableAdapter
from gpicl_bench.suite import Info


class ClassifierAdapter:
    """A classifier as a callable learner: its probabilities as scores, or else its labels.

    With no example every class is equally likely; with examples of one class only that class is predicted.
    Where a `random_state` is None it is drawn from the task's and the position's own key.
    """

    form = "scikit-learn"
    withholds_labels = True
    block = 1

    def __init__(self, estimator: Any, info: Info, name: str) -> None:
        from sklearn.base import is_classifier

        if not is_classifier(estimator):
            raise LearnerError(
                "this estimator is no classifier", expected="a scikit-learn classifier", got=repr(estimator), where=name
            )
        self._estimator, self.info, self.name, self.stochastic = estimator, info, name, False
        self._callable = CallableAdapter(self._answer, info, name, stochastic=True)

    def predict(self, block: Block, positions: Int64[np.ndarray, " P"]) -> Scores | Labels:
        return self._callable.predict(block, positions)

    def _answer(
        self,
        context_x: Float32[np.ndarray, "k D"],
        context_y: Int32[np.ndarray, " k"],
        query_x: Float32[np.ndarray, "1 D"],
        key: UInt32[np.ndarray, "2"],
    ) -> Float64[np.ndarray, "1 C"] | Integer[np.ndarray, "1"]:
        classes = np.unique(context_y)
        fitted = self._fitted(context_x, context_y, key) if len(classes) > 1 else None
        if not hasattr(self._estimator, "predict_proba"):
            if fitted is None:
                return np.append(classes, 0)[:1]
            return np.asarray(fitted.predict(query_x.copy()))
        probabilities = np.zeros((1, self.info.C))
        if fitted is not None:
            probabilities[:, fitted.classes_] = fitted.predict_proba(query_x.copy())
        elif len(classes):
            probabilities[:, classes] = 1
        else:
            probabilities[:] = 1 / self.info.C
        return smoothed(probabilities, len(context_y))

    def _fitted(
        self, context_x: Float32[np.ndarray, "k D"], context_y: Int32[np.ndarray, " k"], key: UInt32[np.ndarray, "2"]
    ) -> Any:
        from sklearn.base import clone

        fresh = clone(self._estimator)
        unset = [n for n, v in fresh.get_params().items() if n.rpartition("__")[2] == "random_state" and v is None]
        fresh.set_params(**dict.fromkeys(unset, int(key[0])))
        return fresh.fit(context_x.copy(), context_y.copy())  # copies: some estimators refuse read-only arrays


def smoothed(probabilities: Float64[np.ndarray, "Q C"], num_context: int) -> Float64[np.ndarray, "Q C"]:
    """Scores log((1-ε)p + ε/C) with ε = 1/(k+C): no probability is 0, so no log-loss is infinite."""
    num_classes = probabilities.shape[-1]
    epsilon = 1 / (num_context + num_classes)
    return np.log((1 - epsilon) * probabilities + epsilon / num_classes)
