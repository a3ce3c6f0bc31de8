"""DeltaNet: blocks whose attention is a linear memory, written by the delta rule.

Fast weights (Schmidhuber 1992) with the delta rule (Widrow and Hoff 1960; Schlag, Irie, Schmidhuber 2021, arXiv
2102.11174). A head's memory S maps keys to values; example j takes what S says of its key a part β_j of the way to its
value, and query i reads before it is written:

    S_j = S_{j-1} + β_j (v_j - S_{j-1} k_j) k_jᵀ,   S_0 = 0,   o_i = S_{i-1} q_i,   |k_j| = |q_i| = 1.

In parallel form (Yang et al. 2024, arXiv 2406.06484) S_i = Σ_{j≤i} u_j k_jᵀ, where u_j = β_j (v_j - S_{j-1} k_j) solves
one unit triangular system for all positions, and the reads are two products:

    (1 + tril(β K Kᵀ, -1)) U = β V,   O = tril(Q Kᵀ, -1) U.

Blocks and tokens are those of `transformer.py` in its paired form: the context token of example j is (x_j, y_j), its
query token x_j; both read the examples strictly before j, and the context tokens are written. No position, no decay:
what it can know of an episode is S, layers × heads × head_size² numbers, however long the episode.
"""

from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import equinox as eqx
import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from baselines.model import Count, Model, matrix, token, unit
from baselines.transformer import LayerNorm
from gpicl_bench import Info


@dataclass(frozen=True)
class DeltaNetConfig:
    """The size of a DeltaNet.

    Attributes:
        tokens: `paired`.
        layers: blocks.
        heads: memories in a block.
        head_size: of a key, a query and a value.
        width: of the residual stream; the MLP has 4 × width.
    """

    tokens: Literal["paired"] = "paired"
    layers: Count = 2
    heads: Count = 2
    head_size: Count = 32
    width: Count = 64


class Memory(NamedTuple):
    """S of every block and head; `x` is the example before, which is written once its label is known."""

    S: Float[Array, "layers heads head head"]
    x: Float[Array, " D"]
    t: Int[Array, ""]


class Written(NamedTuple):
    """What tokens write: keys of length 1, values, and β in (0, 1)."""

    k: Float[Array, "T heads head"]
    v: Float[Array, "T heads head"]
    beta: Float[Array, "T heads"]


class Block(eqx.Module):
    """One block: what is read from the memory, then an MLP."""

    norm: LayerNorm
    query: Float[Array, "width inner"]
    key: Float[Array, "width inner"]
    value: Float[Array, "width inner"]
    beta: Float[Array, "width heads"]
    mix: Float[Array, "inner width"]
    mlp_norm: LayerNorm
    expand: Float[Array, "width mlp"]
    contract: Float[Array, "mlp width"]
    heads: int = eqx.field(static=True)

    def __init__(self, config: DeltaNetConfig, key: Array):
        width, inner = config.width, config.heads * config.head_size
        keys = jax.random.split(key, 5)
        self.query, self.key, self.value = (matrix(k, width, inner) for k in keys[:3])
        self.beta, self.expand = matrix(keys[3], width, config.heads), matrix(keys[4], width, 4 * width)
        self.mix, self.contract = jnp.zeros((inner, width)), jnp.zeros((4 * width, width))  # as in `transformer.py`
        self.norm, self.mlp_norm = LayerNorm(width), LayerNorm(width)
        self.heads = config.heads

    def written(self, h: Float[Array, "T width"]) -> Written:
        """Of context tokens."""
        h = jax.vmap(self.norm)(h)
        return Written(unit(self._split(h @ self.key)), self._split(h @ self.value), jax.nn.sigmoid(h @ self.beta))

    def asked(self, h: Float[Array, "T width"]) -> Float[Array, "T heads head"]:
        """Queries of length 1."""
        return unit(self._split(jax.vmap(self.norm)(h) @ self.query))

    def after(self, h: Float[Array, "T width"], o: Float[Array, "T heads head"]) -> Float[Array, "T width"]:
        """h after the block, given what was read."""
        h = h + o.reshape(len(h), -1).astype(h.dtype) @ self.mix
        return h + jax.nn.relu(jax.vmap(self.mlp_norm)(h) @ self.expand) @ self.contract

    def _split(self, a: Float[Array, "T inner"]) -> Float[Array, "T heads head"]:
        return a.reshape(len(a), self.heads, -1)


class DeltaNet(Model):
    """See the page above."""

    name = "deltanet"
    Config = DeltaNetConfig

    embed: Float[Array, "token width"]
    blocks: list[Block]
    norm: LayerNorm
    head: Float[Array, "width C"]
    info: Info = eqx.field(static=True)
    config: DeltaNetConfig = eqx.field(static=True)

    def __init__(self, info: Info, config: DeltaNetConfig, *, key: Array):
        embed, head, blocks = jax.random.split(key, 3)
        self.info, self.config = info, config
        self.embed = matrix(embed, info.D + info.C, config.width)
        self.blocks = [Block(config, k) for k in jax.random.split(blocks, config.layers)]
        self.norm = LayerNorm(config.width)
        self.head = matrix(head, config.width, info.C) * 0.1

    @property
    def max_examples(self) -> None:
        return None

    def __call__(self, x: Float[Array, "T D"], y: Int[Array, " T"]) -> Float[Array, "T C"]:
        context, query = (token(x, shown, self.info.C) @ self.embed for shown in (y, jnp.full_like(y, -1)))
        for block in self.blocks:
            memory = solve(block.written(context))
            if block is not self.blocks[-1]:  # nobody reads what the last context tokens become
                context = block.after(context, read(*memory, block.asked(context)))
            query = block.after(query, read(*memory, block.asked(query)))
        return self._logits(jax.vmap(self.norm)(query))

    def init(self) -> Memory:
        config = self.config
        shape = config.layers, config.heads, config.head_size, config.head_size
        return Memory(jnp.zeros(shape), jnp.zeros(self.info.D), jnp.int32(0))

    def step(self, state: Memory, x: Float[Array, " D"], y_prev: Int[Array, ""]) -> tuple[Memory, Float[Array, " C"]]:
        written = self._write(state.S, token(state.x, y_prev, self.info.C) @ self.embed)
        S = jnp.where(state.t > 0, written, state.S)
        h = token(x, jnp.int32(-1), self.info.C)[None] @ self.embed
        for block, memory in zip(self.blocks, S, strict=True):
            h = block.after(h, jnp.einsum("hvk,thk->thv", memory, block.asked(h)))
        return Memory(S, x, state.t + 1), self._logits(self.norm(h[0]))

    def _write(self, S: Float[Array, "layers heads head head"], h: Float[Array, " width"]) -> Array:
        """S after one context token, which reads it first."""
        h, after = h[None], []
        for block, memory in zip(self.blocks, S, strict=True):
            k, v, beta = (a[0] for a in block.written(h))
            wrong = beta[:, None] * (v - jnp.einsum("hvk,hk->hv", memory, k))
            after.append(memory + wrong[:, :, None] * k[:, None, :])
            h = block.after(h, jnp.einsum("hvk,thk->thv", memory, block.asked(h)))
        return jnp.stack(after)

    def _logits(self, h: Float[Array, "*n width"]) -> Float[Array, "*n C"]:
        """In float32, whatever the products before were."""
        return jnp.matmul(h, self.head, preferred_element_type=jnp.float32)


@jax.default_matmul_precision("highest")  # what is inverted by halves adds its errors up
def solve(written: Written) -> tuple[Float[Array, "T heads head"], Float[Array, "T heads head"]]:
    """K, and U of the parallel form, in float32."""
    k, v, beta = (jnp.moveaxis(a.astype(jnp.float32), 1, 0) for a in written)  # heads first
    lower = jnp.tril(beta[..., None] * (k @ jnp.swapaxes(k, 1, 2)), -1)
    inverse = inverted(jax.lax.stop_gradient(lower))
    u = jax.lax.custom_linear_solve(  # its derivative is another product with the inverse
        lambda u: u + lower @ u,
        beta[..., None] * v,
        solve=lambda _, right: inverse @ right,
        transpose_solve=lambda _, right: jnp.swapaxes(inverse, 1, 2) @ right,
    )
    return jnp.moveaxis(k, 0, 1), jnp.moveaxis(u, 0, 1)


def inverted(lower: Float[Array, "heads T T"]) -> Float[Array, "heads T T"]:
    """(1 + L)⁻¹ for strictly lower L, by halves: all are products, and log T follow on one another."""
    T = lower.shape[-1]
    if T <= 8:  # the series 1 - L + L² - … ends at L⁷
        one, square = jnp.eye(T)[None], lower @ lower
        return (one - lower) @ (one + square) @ (one + square @ square)
    half = T // 2
    first, last = inverted(lower[:, :half, :half]), inverted(lower[:, half:, half:])
    below = -last @ (lower[:, half:, :half] @ first)
    return jnp.block([[first, jnp.zeros_like(jnp.swapaxes(below, 1, 2))], [below, last]])


def read(
    k: Float[Array, "T heads head"], u: Float[Array, "T heads head"], q: Float[Array, "T heads head"]
) -> Float[Array, "T heads head"]:
    """O of the parallel form."""
    seen = jnp.tril(jnp.einsum("thk,nhk->htn", q.astype(k.dtype), k), -1)
    return jnp.einsum("htn,nhv->thv", seen, u)


def make_learner(info: Info, checkpoint: str, form: str = "sequence") -> Any:
    """The learner of a checkpoint: `--learner-arg checkpoint=PATH`, and `--learner-arg form=step`."""
    from baselines.learner import restore

    return restore(DeltaNet, info, checkpoint, form)
