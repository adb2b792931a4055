"""A model folder with random parameters."""

import jax
import pytest

from t5rank import checkpoints, model_folder
from t5rank.models import network, ranking
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.text.prompts import RANKT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

SIZES = {"emb_dim": 8, "num_heads": 1, "head_dim": 8, "mlp_dim": 8, "num_encoder_layers": 1}


@pytest.fixture(scope="session")
def model_dir(tmp_path_factory, vocabulary_file):
    folder = tmp_path_factory.mktemp("model")
    module = EncoderScorer(network.T5Config(vocab_size=1152, **SIZES), pooling="mean")
    model = ranking.RankingModel(module, EncoderHead())
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(RANKT5), 64)
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    params = model.get_initial_variables(jax.random.key(0), shapes)["params"].unfreeze()
    model_folder.save_config(folder, model, encoder)
    with checkpoints.Checkpointer(folder, keep=1) as saver:
        saver.save(1, optimizers.adamw().create(params))
    return folder
