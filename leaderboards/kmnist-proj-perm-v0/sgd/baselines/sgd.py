"""SGD: a linear softmax classifier that learns online, one step of Adam after each example.

    p = softmax(W x + b),   g = ∇_{W, b} -log p_y = (p - e_y) (x, 1)ᵀ,
    m ← β₁ m + (1 - β₁) g,   v ← β₂ v + (1 - β₂) g²,   (W, b) ← (W, b) - η m̂ / (√v̂ + ε),

with m̂ = m / (1 - β₁ⁿ) and v̂ = v / (1 - β₂ⁿ) after n examples, β = 0.9 and 0.999, ε = 10⁻⁸ (Adam; Kingma and Ba 2015,
arXiv 1412.6980). The first row of the table of GPICL (Kirsch et al. 2022, arXiv 2212.04458), there, as recalled and not
verified, with η = 10⁻³. W and b are 0 at first. It learns in context by what it is, and nothing has to be meta-trained:

    python -m gpicl_bench.evaluate baselines/sgd.py --learner-arg step_size=0.001

Meta-training tunes its one number, log η, by the gradient through all steps of an episode. `maml.py` trains W and b.
"""

from abc import abstractmethod
from dataclasses import dataclass
from typing import Annotated, Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int
from pydantic import Field

from baselines.model import Model
from gpicl_bench import Info
from gpicl_bench.errors import InvalidArgument

StepSize = Annotated[float, Field(ge=1e-30, le=1e3)]
BETA, EPSILON = (0.9, 0.999), 1e-8


@dataclass(frozen=True)
class SgdConfig:
    """How SGD starts.

    Attributes:
        tokens: `paired`.
        step_size: η before it is tuned.
    """

    tokens: Literal["paired"] = "paired"
    step_size: StepSize = 1e-3


class Linear(NamedTuple):
    """W and b, or as many numbers for them."""

    W: Float[Array, "C D"]
    b: Float[Array, " C"]


class Online(NamedTuple):
    """A classifier in its learning: W and b, m, v, and n, the examples so far."""

    theta: Linear
    m: Linear
    v: Linear
    n: Int[Array, ""]


class State(NamedTuple):
    """What an online learner carries; `x` is the example before, whose label is yet to come."""

    online: Online
    x: Float[Array, " D"]


def begin(theta: Linear) -> Online:
    """Before the first example."""
    zero = jax.tree.map(jnp.zeros_like, theta)
    return Online(theta, zero, zero, jnp.int32(0))


def logits(theta: Linear, x: Float[Array, " D"]) -> Float[Array, " C"]:
    """Of one example, in float32."""
    return theta.W @ x.astype(jnp.float32) + theta.b


def learn(online: Online, eta: Float[Array, ""], x: Float[Array, " D"], y: Int[Array, ""]) -> Online:
    """The equations: after one example more."""
    wrong = jax.nn.softmax(logits(online.theta, x)) - jax.nn.one_hot(y, len(online.theta.b))
    g, n = Linear(jnp.outer(wrong, x.astype(jnp.float32)), wrong), online.n + 1
    m = jax.tree.map(lambda m, g: BETA[0] * m + (1 - BETA[0]) * g, online.m, g)
    v = jax.tree.map(lambda v, g: BETA[1] * v + (1 - BETA[1]) * g * g, online.v, g)
    free = [1 - jnp.power(beta, n.astype(jnp.float32)) for beta in BETA]
    theta = jax.tree.map(lambda w, m, v: w - eta * (m / free[0]) / (_root(v / free[1]) + EPSILON), online.theta, m, v)
    return Online(theta, m, v, n)


def answers(theta: Linear, eta: Float[Array, ""], x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
    """Logits for each example of an episode, before it is learned."""

    def position(online: Online, example: tuple[Array, Array]) -> tuple[Online, Array]:
        return learn(online, eta, *example), logits(online.theta, example[0])

    return jax.lax.scan(position, begin(theta), (x, y))[1]


def go_on(
    state: State, eta: Float[Array, ""], x: Float[Array, " D"], y_prev: Int[Array, ""]
) -> tuple[State, Float[Array, " C"]]:
    """The same, one example at a time: learn the one before, answer this one."""
    learned = learn(state.online, eta, state.x, y_prev)
    online = jax.tree.map(lambda new, old: jnp.where(y_prev < 0, old, new), learned, state.online)
    return State(online, x), logits(online.theta, x)


class OnlineLearner(Model):
    """What SGD and MAML share: they differ in where they start, and in which numbers are meta-trained."""

    info: eqx.AbstractVar[Info]

    @property
    @abstractmethod
    def start(self) -> Linear:
        """W and b before the first example, float32."""

    @property
    @abstractmethod
    def eta(self) -> Float[Array, ""]:
        """The step size, float32."""

    @property
    def max_examples(self) -> None:
        return None

    def __call__(self, x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
        return answers(self.start, self.eta, x, y)

    def init(self) -> State:
        return State(begin(self.start), jnp.zeros(self.info.D))

    def step(self, state: State, x: Float[Array, " D"], y_prev: Int[Array, ""]) -> tuple[State, Float[Array, " C"]]:
        return go_on(state, self.eta, x, y_prev)


class Sgd(OnlineLearner):
    """See the page above."""

    name = "sgd"
    Config = SgdConfig
    any_shape = True

    log_step_size: Float[Array, ""]
    info: Info = eqx.field(static=True)
    config: SgdConfig = eqx.field(static=True)

    def __init__(self, info: Info, config: SgdConfig, *, key: Array):
        self.info, self.config = info, config
        self.log_step_size = jnp.log(jnp.float32(config.step_size))

    @property
    def start(self) -> Linear:
        return Linear(jnp.zeros((self.info.C, self.info.D)), jnp.zeros(self.info.C))

    @property
    def eta(self) -> Float[Array, ""]:
        return jnp.exp(self.log_step_size.astype(jnp.float32))


def _root(v: Array) -> Array:
    """√v, with derivative 0 at 0: an input that is always 0 teaches nothing, and not NaN."""
    return jnp.where(v > 0, jnp.sqrt(jnp.where(v > 0, v, 1)), 0)


def make_learner(
    info: Info, checkpoint: str | None = None, form: str | None = None, step_size: float | None = None
) -> Any:
    """Without a checkpoint: not meta-trained, with this η (default: 10⁻³), in the step form if nothing else is said."""
    from baselines.learner import MetaTrained, in_form, restore
    from baselines.settings import validated

    if checkpoint is not None and step_size is not None:
        raise InvalidArgument("the checkpoint has the step size", expected="one of the two", got=repr(step_size))
    if checkpoint is not None:
        return restore(Sgd, info, checkpoint, form or "sequence")
    config = validated(SgdConfig, {} if step_size is None else {"step_size": step_size})
    model = Sgd(info, config, key=jax.random.key(0))
    return in_form(MetaTrained(model, {"meta_training": "none", "stochastic": False}), form or "step")
