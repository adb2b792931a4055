"""One small model of each head, and folders of them."""

import functools
from pathlib import Path

import jax

from t5rank import checkpoints, model_folder
from t5rank.models import dual_encoder, monot5, network, ranking, rankt5, retrieval
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.text.prompts import MONOT5, PairEncoder, Prompt
from t5rank.text.templates import TextPrompts
from t5rank.text.texts import TextEncoder
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

CONFIG = network.T5Config(
    vocab_size=1152,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
)
HEADS = {
    "rankt5": (network.Transformer(CONFIG), rankt5.RankT5Head(40)),
    "monot5": (network.Transformer(CONFIG), monot5.MonoT5Head(40, 41)),
    "encoder": (EncoderScorer(CONFIG, pooling="mean"), EncoderHead()),
}


@functools.cache
def make_model(head: str = "rankt5", seed: int = 0) -> tuple[ranking.RankingModel, dict]:
    """A model, and random parameters."""
    model = ranking.RankingModel(*HEADS[head])
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    return model, model.get_initial_variables(jax.random.key(seed), shapes)["params"].unfreeze()


def make_encoder(vocabulary_file: str) -> PairEncoder:
    """Inputs of up to 64 tokens."""
    return PairEncoder(Vocabulary(vocabulary_file), Prompt(MONOT5), 64)


def save_model(
    folder: Path,
    vocabulary_file: str,
    head: str = "rankt5",
    seed: int = 0,
    step: int = 1,
    scale: float = 1.0,
) -> Path:
    """A model folder, its parameters times `scale`."""
    model, params = make_model(head, seed)
    params = jax.tree.map(lambda leaf: scale * leaf, params)
    model_folder.save_config(folder, model, make_encoder(vocabulary_file))
    with checkpoints.Checkpointer(folder, keep=9) as saver:
        saver.save(step, optimizers.adamw().create(params))
    return folder


def save_dual_encoder(
    folder: Path,
    vocabulary_file: str,
    prompts: TextPrompts,
    similarity: str = "cosine",
) -> Path:
    """A model folder whose vectors have 8 numbers."""
    head = dual_encoder.VectorHead(similarity)
    model = retrieval.RetrievalModel(dual_encoder.DualEncoder(CONFIG, 8), head)
    shapes = {"encoder_input_tokens": (1, 2, 8)}
    params = model.get_initial_variables(jax.random.key(0), shapes)["params"].unfreeze()
    encoder = TextEncoder(Vocabulary(vocabulary_file), prompts, 32)  # few shapes to compile
    model_folder.save_config(folder, model, encoder)
    with checkpoints.Checkpointer(folder, keep=9) as saver:
        saver.save(1, optimizers.adamw().create(params))
    return folder
