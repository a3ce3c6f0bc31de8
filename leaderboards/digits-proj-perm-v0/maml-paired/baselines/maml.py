"""MAML: the online learner of `sgd.py`, whose first weights are meta-trained.

Finn, Abbeel, Levine 2017 (arXiv 1703.03400), in its online form: W and b at the start of an episode are what is
trained, by the gradient of the loss of all its positions through all its steps, second derivatives included. The inner
step is that of `sgd.py`, with a step size η that stays as it is set. In the table of GPICL (Kirsch et al. 2022, arXiv
2212.04458) it stands below SGD on MNIST, Fashion-MNIST, KMNIST and Random, above it on CIFAR10 and SVHN.
"""

from dataclasses import dataclass
from typing import Any, Literal

import equinox as eqx
import jax.numpy as jnp
from jaxtyping import Array, Float

from baselines.model import matrix
from baselines.sgd import Linear, OnlineLearner, StepSize
from gpicl_bench import Info


@dataclass(frozen=True)
class MamlConfig:
    """The inner step of MAML.

    Attributes:
        tokens: `paired`.
        step_size: η of the inner step, not trained.
    """

    tokens: Literal["paired"] = "paired"
    step_size: StepSize = 1e-3


class Maml(OnlineLearner):
    """See the page above."""

    name = "maml"
    Config = MamlConfig

    W: Float[Array, "C D"]
    b: Float[Array, " C"]
    info: Info = eqx.field(static=True)
    config: MamlConfig = eqx.field(static=True)

    def __init__(self, info: Info, config: MamlConfig, *, key: Array):
        self.info, self.config = info, config
        self.W, self.b = matrix(key, info.D, info.C).T, jnp.zeros(info.C)

    @property
    def start(self) -> Linear:
        return Linear(self.W.astype(jnp.float32), self.b.astype(jnp.float32))

    @property
    def eta(self) -> Float[Array, ""]:
        return jnp.float32(self.config.step_size)


def make_learner(info: Info, checkpoint: str, form: str = "sequence") -> Any:
    """The learner of a checkpoint: `--learner-arg checkpoint=PATH`, and `--learner-arg form=step`."""
    from baselines.learner import restore

    return restore(Maml, info, checkpoint, form)
