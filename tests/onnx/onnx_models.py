"""Random models in which every part changes the score."""

import jax
import numpy as np

from t5rank.models import monot5, network, ranking, rankt5
from t5rank.models.dual_encoder import DualEncoder, VectorHead
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer

MODULES = {
    "rankt5": (network.Transformer, {}, rankt5.RankT5Head(40)),
    "monot5": (network.Transformer, {}, monot5.MonoT5Head(40, 41)),
    "first": (EncoderScorer, {"pooling": "first"}, EncoderHead()),
    "mean": (EncoderScorer, {"pooling": "mean"}, EncoderHead()),
    "cosine": (DualEncoder, {"dim": 24}, VectorHead("cosine")),
    "dot": (DualEncoder, {"dim": None}, VectorHead("dot")),
}
ACTIVATIONS = {"1.0": ("relu",), "1.1": ("gelu", "linear")}


def random_model(head: str, version: str, **config) -> tuple[ranking.RankingModel, dict]:
    sizes = {"emb_dim": 48, "num_heads": 4, "head_dim": 8, "mlp_dim": 96, "vocab_size": 130}
    layers = {"num_encoder_layers": 2, "num_decoder_layers": 2}
    versions = {
        "mlp_activations": ACTIVATIONS[version],
        "logits_via_embedding": version == "1.0",
    }
    kind, settings, chosen = MODULES[head]
    architecture = network.T5Config(**{**sizes, **layers, **versions, **config})
    model = ranking.model_of(kind(architecture, **settings), chosen)
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    shaped = jax.eval_shape(lambda: model.get_initial_variables(jax.random.key(0), shapes))
    rng = np.random.default_rng(0)

    def leaf(path, shape):
        name = path[-1].key
        values = rng.normal(size=shape.shape).astype(np.float32)
        if name == "scale":
            return 1 + 0.3 * values
        return values if name != "kernel" else values / np.sqrt(shape.shape[0])

    return model, jax.tree_util.tree_map_with_path(leaf, shaped["params"].unfreeze())


def random_tokens(vocabulary: int = 130) -> np.ndarray:
    """Rows of many lengths. The longest exceeds T5's farthest distance, and one is all padding."""
    tokens = np.random.default_rng(0).integers(3, vocabulary, (6, 150)).astype(np.int32)
    for row, length in enumerate((150, 149, 60, 2, 1, 0)):
        tokens[row, length:] = 0
    return tokens
