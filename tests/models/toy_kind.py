"""A model kind of somebody else: the largest output of the encoder's tokens, through a gate."""

import dataclasses

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from flax.linen.partitioning import param_with_axes

from t5rank.models import heads, kinds, network


class MaxScorer(nn.Module):
    config: network.T5Config
    power: float = 1.0

    def setup(self):
        self.token_embedder = network.Embedding(self.config)
        self.encoder = network.Encoder(self.config)
        self.gate = Gate()

    def __call__(
        self, encoder_input_tokens, enable_dropout=False, encoder_segment_ids=None, slots=1
    ):
        x = self.token_embedder(encoder_input_tokens)
        real = encoder_input_tokens != network.PAD_ID
        x = self.encoder(x, real, encoder_segment_ids, not enable_dropout)
        mine = network.tokens_of_slots(encoder_input_tokens, encoder_segment_ids, slots)
        largest = jnp.where(mine[..., None], x[:, None], -jnp.inf).max(2)
        return self.power * self.gate(jnp.where(jnp.isfinite(largest), largest, 0))


class Gate(nn.Module):
    @nn.compact
    def __call__(self, x):
        init = nn.initializers.normal(1.0)
        kernel = param_with_axes("kernel", init, (x.shape[-1], 1), axes=("embed", "stack"))
        return (x @ kernel)[..., 0].astype(jnp.float32)


@dataclasses.dataclass(frozen=True)
class MaxHead(heads.Head):
    offset: float = 0.0

    def read(self, outputs):
        return outputs + self.offset

    def probability(self, scores):
        return np.tanh(np.abs(np.asarray(scores, np.float64)))


KIND = kinds.Kind(
    name="toy",
    head=MaxHead,
    network=MaxScorer,
    new_head=lambda vocabulary, offset=0.0: MaxHead(offset),
    describe=lambda model, encoder: f"the largest output, plus {model.head.offset}",
    has_decoder=False,
    prompt="{query} | {document}",
    options=(
        kinds.Option("power", "what scores are multiplied by", parse=float),
        kinds.Option("offset", "what is added to scores", parse=float),
    ),
    new_parameters={"gate/kernel": "gate"},
)
kinds.register(KIND)
