"""The Transformer of GPICL, with the paper's tokens and with paired tokens.

Pre-norm blocks (Vaswani et al. 2017, arXiv 1706.03762; norm first: Xiong et al. 2020, arXiv 2002.04745):

    h ← h + attention(norm(h)),   h ← h + W₂ relu(W₁ norm(h)),   logits = W norm(h).

Two forms of tokens:

- `shifted` (Kirsch et al. 2022, arXiv 2212.04458): token j is (x_j, y_{j-1}), with a learned position. The model has to
  find out first that an image and its label stand in neighbouring tokens: the loss stays on a plateau until it has.
- `paired`: example j has two tokens, the context token (x_j, y_j) and the query token x_j (no label), where the
  prediction is read. An image and its label are one token: no plateau, and no need of positions.

One attention serves both. A token attends to the *context* tokens of strictly earlier examples and to itself. The
context tokens are the shifted tokens themselves, or the tokens (x_j, y_j): so a query token attends to itself and to
earlier context only, and nothing that is read at j can depend on y_j or on anything later.
"""

import math
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from baselines.model import Count, Model, awaiting, matrix, previous, token
from gpicl_bench import Info
from gpicl_bench.errors import InvalidArgument


@dataclass(frozen=True)
class TransformerConfig:
    """The size of a Transformer.

    Attributes:
        tokens: `shifted` or `paired`.
        layers: blocks.
        heads: heads of attention in a block.
        head_size: of a key, a query and a value.
        width: of the residual stream; the MLP has 4 × width.
    """

    tokens: Literal["shifted", "paired"] = "paired"
    layers: Count = 2
    heads: Count = 2
    head_size: Count = 32
    width: Count = 64


class Cache(NamedTuple):
    """What a Transformer carries between steps: the keys and values of the context so far.

    `x` is the example before, which becomes a context token once its label is known (paired tokens only).
    """

    keys: Float[Array, "layers T heads head"]
    values: Float[Array, "layers T heads head"]
    x: Float[Array, " D"]
    t: Int[Array, ""]


class LayerNorm(eqx.Module):
    """Of one token, in float32 (Ba, Kiros, Hinton 2016, arXiv 1607.06450).

    Equinox's own makes a whole training step a tenth slower on a CPU.
    """

    weight: Float[Array, " width"]
    bias: Float[Array, " width"]

    def __init__(self, width: int):
        self.weight, self.bias = jnp.ones(width), jnp.zeros(width)

    def __call__(self, h: Float[Array, " width"]) -> Float[Array, " width"]:
        wide = h.astype(jnp.float32)
        centred = wide - wide.mean()
        normal = centred * jax.lax.rsqrt(jnp.square(centred).mean() + 1e-5)
        return normal.astype(h.dtype) * self.weight + self.bias


class Block(eqx.Module):
    """One block, for tokens that attend to a context and to themselves."""

    norm: LayerNorm
    query: Float[Array, "width inner"]
    key: Float[Array, "width inner"]
    value: Float[Array, "width inner"]
    mix: Float[Array, "inner width"]
    mlp_norm: LayerNorm
    expand: Float[Array, "width mlp"]
    contract: Float[Array, "mlp width"]
    heads: int = eqx.field(static=True)

    def __init__(self, config: TransformerConfig, key: Array):
        width, inner = config.width, config.heads * config.head_size
        keys = jax.random.split(key, 4)
        self.query, self.key, self.value = (matrix(k, width, inner) for k in keys[:3])
        self.expand = matrix(keys[3], width, 4 * width)
        # The last product of each residual branch starts at 0 (Fixup, Zhang et al. 2019, arXiv 1901.09321), so that a
        # block is the identity at first: wide models learn far sooner (docs/decisions/0004-meta-training.md).
        self.mix, self.contract = jnp.zeros((inner, width)), jnp.zeros((4 * width, width))
        self.norm, self.mlp_norm = LayerNorm(width), LayerNorm(width)
        self.heads = config.heads

    def attended(self, h: Float[Array, "T width"]) -> tuple[Array, Array, Array]:
        """Queries, keys and values `[T, heads, head]` of normalised tokens."""
        h = jax.vmap(self.norm)(h)
        return tuple((h @ w).reshape(len(h), self.heads, -1) for w in (self.query, self.key, self.value))

    def __call__(
        self, h: Float[Array, "T width"], context: tuple[Array, Array], earlier: Bool[Array, "T n"]
    ) -> Float[Array, "T width"]:
        """h after the block: every token attends to the context where `earlier`, and to itself."""
        q, k, v = self.attended(h)
        keys, values = context
        logits = jnp.einsum("thd,nhd->htn", q, keys, preferred_element_type=jnp.float32)
        own = jnp.einsum("thd,thd->ht", q, k, preferred_element_type=jnp.float32)[..., None]
        logits = jnp.concatenate([jnp.where(earlier, logits, -jnp.inf), own], axis=-1) / math.sqrt(q.shape[-1])
        weights = jax.nn.softmax(logits, axis=-1).astype(h.dtype)
        mixed = jnp.einsum("htn,nhd->thd", weights[..., :-1], values)
        mixed = mixed + weights[..., -1].T[..., None] * v
        h = h + mixed.reshape(len(h), -1) @ self.mix
        return h + jax.nn.relu(jax.vmap(self.mlp_norm)(h) @ self.expand) @ self.contract


class Transformer(Model):
    """See the page above."""

    name = "transformer"
    Config = TransformerConfig

    embed: Float[Array, "token width"]
    positions: Float[Array, "T width"] | None
    blocks: list[Block]
    norm: LayerNorm
    head: Float[Array, "width C"]
    info: Info = eqx.field(static=True)
    config: TransformerConfig = eqx.field(static=True)

    def __init__(self, info: Info, config: TransformerConfig, *, key: Array):
        embed, positions, head, blocks = jax.random.split(key, 4)
        self.info, self.config = info, config
        self.embed = matrix(embed, info.D + info.C, config.width)
        shifted = config.tokens == "shifted"
        self.positions = jax.random.normal(positions, (info.T, config.width)) if shifted else None
        self.blocks = [Block(config, k) for k in jax.random.split(blocks, config.layers)]
        self.norm = LayerNorm(config.width)
        self.head = matrix(head, config.width, info.C) * 0.1

    @property
    def max_examples(self) -> int | None:
        return None if self.positions is None else len(self.positions)

    def __call__(self, x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
        if self.positions is None:
            shown = (y, jnp.full_like(y, -1))  # of the context tokens, of the query tokens
            streams = [token(x, labels, self.info.C) @ self.embed for labels in shown]
        else:
            if len(x) > len(self.positions):
                raise InvalidArgument("an episode is too long", expected=f"T ≤ {len(self.positions)}", got=len(x))
            streams = [token(x, previous(y), self.info.C) @ self.embed + self.positions[: len(x)]]
        earlier = jnp.tri(len(x), k=-1, dtype=bool)
        for block in self.blocks:
            _, keys, values = block.attended(streams[0])
            if block is self.blocks[-1]:  # nobody reads what the context tokens become
                streams = streams[-1:]
            streams = [block(h, (keys, values), earlier) for h in streams]
        return self._logits(jax.vmap(self.norm)(streams[-1]))

    def init(self) -> Cache:
        """Empty, with room for the T examples of `info`."""
        config, info = self.config, self.info
        empty = jnp.zeros((config.layers, info.T, config.heads, config.head_size))
        return Cache(empty, empty, awaiting(jnp.zeros(info.D), config.tokens), jnp.int32(0))

    def step(self, state: Cache, x: Float[Array, " D"], y_prev: Int[Array, ""]) -> tuple[Cache, Float[Array, " C"]]:
        if self.positions is None:
            state, _ = self._append(state, token(state.x, y_prev, self.info.C) @ self.embed, state.t - 1)
            _, h = self._append(state, token(x, jnp.int32(-1), self.info.C) @ self.embed, state.t)
        else:
            h = token(x, y_prev, self.info.C) @ self.embed + self.positions[state.t]
            state, h = self._append(state, h, state.t)
        return state._replace(x=awaiting(x, self.config.tokens), t=state.t + 1), self._logits(self.norm(h))

    def _logits(self, h: Float[Array, "*n width"]) -> Float[Array, "*n C"]:
        """In float32, whatever the products before were."""
        return jnp.matmul(h, self.head, preferred_element_type=jnp.float32)

    def _append(self, state: Cache, h: Float[Array, " width"], t: Any) -> tuple[Cache, Float[Array, " width"]]:
        """One token through all blocks, its keys and values kept as context t; those at -1 are dropped."""
        h, keys, values = h[None], state.keys, state.values
        place = jnp.where(t < 0, keys.shape[1], t)
        earlier = jnp.arange(keys.shape[1])[None] < t
        for n, block in enumerate(self.blocks):
            _, key, value = block.attended(h)
            h = block(h, (keys[n], values[n]), earlier)
            keys = keys.at[n, place].set(key[0], mode="drop")
            values = values.at[n, place].set(value[0], mode="drop")
        return state._replace(keys=keys, values=values), h[0]


def make_learner(info: Info, checkpoint: str, form: str = "sequence") -> Any:
    """The learner of a checkpoint: `--learner-arg checkpoint=PATH`, and `--learner-arg form=step`."""
    from baselines.learner import restore

    return restore(Transformer, info, checkpoint, form)
