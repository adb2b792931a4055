"""A model goes to a Hugging Face folder and comes back; who reads the folder scores alike."""

import math
import shutil

import jax
import numpy as np
import pytest
from transformers_t5 import VERSIONS, logits, tensors, torch_model, transformers

from t5rank import Reranker, checkpoints, model_folder
from t5rank.checkpoints import huggingface
from t5rank.checkpoints.paths import path
from t5rank.model_folder.convert import Settings, convert
from t5rank.models import network, ranking
from t5rank.models.rankt5_encoder import POOLINGS, EncoderHead, EncoderScorer
from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

QUERY = "what is a list"
DOCUMENTS = ["A list is mutable.", "The tuple is not", "raise an exception, or return the value"]


def run_model_card(folder):
    """The function `score` of the example in a folder's README.md."""
    example = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(example.replace('folder = "."', f"folder = {str(folder)!r}"), names)
    return names["score"]


@pytest.mark.parametrize(
    ("version", "head"), [*((version, "rankt5") for version in VERSIONS), ("1.1", "monot5")]
)
def test_scores_are_those_of_transformers_and_the_way_back_is_exact(
    saved, tmp_path, vocabulary_file, version, head
):
    theirs, ours, back = saved(version), tmp_path / "ours", tmp_path / "back"
    report = convert(theirs, ours, "t5rank", Settings(head=head, vocabulary=vocabulary_file))
    assert not report.new and not report.left_over
    reranker = Reranker.from_pretrained(ours)
    rows = [pair.tokens for pair in reranker.encoder.encode(QUERY, DOCUMENTS)]
    expected = logits(torch_model(version), rows)
    if head == "rankt5":
        expected = expected[:, reranker.encoder.vocabulary.token_id("<extra_id_10>")]
    else:
        ids = [reranker.encoder.vocabulary.token_id(token) for token in ("true", "false")]
        expected = np.asarray(jax.nn.log_softmax(expected[:, ids]))[:, 0]
    scores = reranker.score(QUERY, DOCUMENTS)
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(scores, expected, atol=1e-4, rtol=0)

    convert(ours, back, "huggingface")
    before, after = tensors(theirs), tensors(back)
    assert set(before) == set(after)
    for name, value in before.items():
        np.testing.assert_array_equal(after[name], value)
    np.testing.assert_allclose(run_model_card(back)(QUERY, DOCUMENTS), scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize("pooling", POOLINGS)
def test_the_encoder_head_is_exported_with_its_tensors(tmp_path, vocabulary_file, pooling):
    config = network.T5Config(
        vocab_size=1152, emb_dim=16, num_heads=2, num_encoder_layers=2, head_dim=6, mlp_dim=24
    )
    model = ranking.RankingModel(EncoderScorer(config, pooling=pooling), EncoderHead())
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(), 48)
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    params = model.get_initial_variables(jax.random.key(0), shapes)["params"].unfreeze()
    params["score_head"]["bias"] += 0.3
    model_folder.save_config(tmp_path / "ours", model, encoder)
    with checkpoints.Checkpointer(tmp_path / "ours") as saver:
        saver.save(5, optimizers.adamw().create(params))
    convert(tmp_path / "ours", tmp_path / "theirs", "huggingface")
    scores = Reranker.from_pretrained(tmp_path / "ours").score(QUERY, DOCUMENTS)
    found = run_model_card(tmp_path / "theirs")(QUERY, DOCUMENTS)
    assert np.std(scores) > 1e-3
    np.testing.assert_allclose(found, scores, atol=1e-4, rtol=0)

    convert(tmp_path / "theirs", tmp_path / "back", "t5rank")
    back = model_folder.open_folder(tmp_path / "back")
    assert back.model.module.pooling == pooling and back.encoder.max_length == 48
    jax.tree.map(np.testing.assert_array_equal, back.params(), params)


def test_shards_are_written_as_transformers_reads_them(saved, tmp_path):
    source = checkpoints.open_checkpoint(saved("1.1"))
    folder = tmp_path / "shards"
    huggingface.write_weights(path(folder), source.config, source.arrays, shard_bytes=30_000)
    assert len([*folder.glob("model-*.safetensors")]) > 2
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
    rows = [np.arange(2, 20)]
    np.testing.assert_array_equal(logits(model, rows), logits(torch_model("1.1"), rows))


@pytest.fixture
def exported(saved, tmp_path, vocabulary_file):
    """A monoT5 model folder and what became of it."""

    def export(version: str):
        ours, theirs = tmp_path / "ours", tmp_path / "exported"
        convert(saved(version), ours, "t5rank", Settings(head="monot5", vocabulary=vocabulary_file))
        convert(ours, theirs, "huggingface")
        return Reranker.from_pretrained(ours), theirs

    return export


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_rerankers_scores_as_we_do(exported, version):
    rerankers = pytest.importorskip("rerankers", reason="needs the package rerankers")
    reranker, folder = exported(version)
    theirs = rerankers.Reranker(
        str(folder), model_type="t5", device="cpu", dtype="float32", verbose=0
    )
    probabilities = [theirs.score(QUERY, document) for document in DOCUMENTS]
    scores = reranker.score(QUERY, DOCUMENTS)
    np.testing.assert_allclose(np.log(probabilities), scores, atol=1e-4, rtol=0)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_ctranslate2_scores_as_we_do(exported, tmp_path, version):
    ctranslate2 = pytest.importorskip("ctranslate2", reason="needs the package ctranslate2")
    reranker, folder = exported(version)

    class Converter(ctranslate2.converters.TransformersConverter):
        def load_model(self, *args, **kwargs):
            model = super().load_model(*args, **kwargs)
            # transformers 5 calls every T5 tied, which CTranslate2 takes for T5 1.0's scaling.
            model.config.tie_word_embeddings = model.config.scale_decoder_outputs
            return model

    Converter(str(folder)).convert(str(tmp_path / "ct2"))
    translator = ctranslate2.Translator(str(tmp_path / "ct2"))
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    pairs = reranker.encoder.encode(QUERY, DOCUMENTS)
    texts = [tokenizer.convert_ids_to_tokens(pair.tokens.tolist()) for pair in pairs]
    log_p = {
        token: [s.log_probs[0] for s in translator.score_batch(texts, [[f"▁{token}"]] * 3)]
        for token in ("true", "false")
    }
    found = [t - math.log(math.exp(t) + math.exp(f)) for t, f in zip(*log_p.values(), strict=True)]
    np.testing.assert_allclose(found, reranker.score(QUERY, DOCUMENTS), atol=1e-4, rtol=0)


def test_settings_of_an_export_come_back(exported, tmp_path):
    reranker, folder = exported("1.0")
    shutil.copytree(folder, tmp_path / "copy")
    convert(tmp_path / "copy", tmp_path / "again", "t5rank")
    model, encoder = model_folder.load_config(tmp_path / "again")
    assert model.head == model_folder.load_config(tmp_path / "ours")[0].head
    assert (encoder.prompt, encoder.max_length) == (reranker.encoder.prompt, 512)
