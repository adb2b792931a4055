"""T5s of random weights in the formats of all systems, and real pairs."""

import dataclasses
import itertools
from pathlib import Path

import jax
import numpy as np

from t5rank import model_folder
from t5rank.checkpoints import orbax_writing
from t5rank.checkpoints.paths import path
from t5rank.checkpoints.sources import LazyArray
from t5rank.lists.passages import read_passage_lists
from t5rank.model_folder.convert import convert
from t5rank.models import network, rankt5
from t5rank.models.ranking import RankingModel
from t5rank.text.encoders import Encoder
from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

Lists = list[tuple[str, tuple[str, ...]]]
_T5_1_1 = network.T5Config(vocab_size=32128, head_dim=64, mlp_activations=("gelu", "linear"))
CONFIGS = {
    "tiny": dataclasses.replace(
        _T5_1_1, emb_dim=32, num_heads=2, num_encoder_layers=2, num_decoder_layers=2, mlp_dim=64
    ),
    "small": dataclasses.replace(
        _T5_1_1, emb_dim=512, num_heads=6, num_encoder_layers=8, num_decoder_layers=8, mlp_dim=1024
    ),
    "base": dataclasses.replace(
        _T5_1_1,
        emb_dim=768,
        num_heads=12,
        num_encoder_layers=12,
        num_decoder_layers=12,
        mlp_dim=2048,
    ),
    "large": dataclasses.replace(
        _T5_1_1,
        emb_dim=1024,
        num_heads=16,
        num_encoder_layers=24,
        num_decoder_layers=24,
        mlp_dim=2816,
    ),
}
MAX_LENGTH = 256


def ranking_model(config: network.T5Config, vocabulary: Vocabulary) -> RankingModel:
    """Our network with RankT5's head."""
    return RankingModel(network.Transformer(config), rankt5.rankt5_head(vocabulary))


def random_params(model: RankingModel, seed: int = 0) -> dict:
    """Parameters as training from scratch would begin."""
    make = jax.jit(
        lambda key: model.get_initial_variables(key, {"encoder_input_tokens": (1, 1, 8)})["params"]
    )
    return make(jax.random.key(seed))


def write_ours(
    folder: Path, size: str, vocabulary_file: str, dtype: str, max_length: int = MAX_LENGTH
) -> None:
    """Writes a model folder of random weights, without an optimizer's state."""
    vocabulary = Vocabulary(vocabulary_file)
    model = ranking_model(dataclasses.replace(CONFIGS[size], dtype=dtype), vocabulary)
    write_model(folder, model, PairEncoder(vocabulary, Prompt(), max_length))


def write_model(folder: Path, model: RankingModel, encoder: Encoder) -> None:
    """Writes a model folder of random weights, without an optimizer's state."""
    model_folder.save_config(folder, model, encoder)
    arrays = {
        jax.tree_util.keystr(names, simple=True, separator="/"): _in_memory(np.asarray(leaf))
        for names, leaf in jax.tree_util.tree_leaves_with_path(random_params(model))
    }
    orbax_writing.write_orbax(path(folder), 1, arrays)


def _in_memory(array: np.ndarray) -> LazyArray:
    return LazyArray(array.shape, array.dtype, lambda: array)


def write_huggingface(ours: Path, folder: Path) -> None:
    """The same model for transformers."""
    convert(ours, folder, "huggingface")


def write_ctranslate2(huggingface: Path, folder: Path) -> None:
    """The same model for CTranslate2."""
    import ctranslate2

    class Converter(ctranslate2.converters.TransformersConverter):
        def load_model(self, *args, **kwargs):
            model = super().load_model(*args, **kwargs)
            # transformers 5 calls every T5 tied, which CTranslate2 takes for T5 1.0's scaling.
            model.config.tie_word_embeddings = False
            return model

    Converter(str(huggingface)).convert(str(folder))


def write_onnx(ours: Path, folder: Path, lists: Lists, int8: bool) -> None:
    """The same model for ONNX Runtime; int8 is calibrated on `lists`."""
    from t5rank.data.ranked_list import RankedList
    from t5rank.onnx.export import export, export_int8

    if not int8:
        export(ours, folder)
        return
    ranked = [
        RankedList(str(i), query, tuple(map(str, range(len(texts)))), texts, (0.0,) * len(texts))
        for i, (query, texts) in enumerate(lists)
    ]
    export_int8(ours, folder, ranked)


def real_lists(data: Path, pairs: int, list_size: int = 20) -> Lists:
    """Queries with `list_size` candidates each, from evenly spaced places of a run."""
    files = {name: data / f"{name}.tsv" for name in ("collection", "queries")}
    found = list(read_passage_lists(qrels=None, run=data / "run.bm25.txt", topn=list_size, **files))
    count = -(-pairs // list_size)
    chosen = itertools.islice(found, 0, None, max(1, len(found) // count))
    lists = [(item.query, item.documents) for item in itertools.islice(chosen, count)]
    query, documents = lists[-1]
    return [*lists[:-1], (query, documents[: pairs - list_size * (count - 1)])]


def lengths(lists: Lists, vocabulary_file: str) -> np.ndarray:
    """Tokens of each pair."""
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(), MAX_LENGTH)
    return np.array([len(pair.tokens) for item in lists for pair in encoder.encode(*item)])
