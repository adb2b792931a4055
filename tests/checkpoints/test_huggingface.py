"""Hugging Face folders in and out; transformers, safetensors and PyTorch are the oracles."""

import json
import math
import pickle
import shutil

import flax
import jax
import numpy as np
import pytest

from t5rank import Reranker, checkpoints, model_folder
from t5rank.checkpoints import huggingface
from t5rank.checkpoints.paths import path
from t5rank.model_folder.convert import Settings, convert
from t5rank.models import network, ranking
from t5rank.models.rankt5_encoder import POOLINGS, EncoderHead, EncoderScorer
from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
safetensors = pytest.importorskip("safetensors.numpy")
safetensors_torch = pytest.importorskip("safetensors.torch")

SIZES = {"vocab_size": 1152, "d_model": 16, "d_kv": 6, "d_ff": 24, "num_heads": 2}
LAYERS = {"num_layers": 3, "num_decoder_layers": 2, "decoder_start_token_id": 0}
V1_0 = {"feed_forward_proj": "relu", "tie_word_embeddings": True}
V1_1 = {"feed_forward_proj": "gated-gelu", "tie_word_embeddings": False}
VERSIONS = {
    "1.0": ("T5", V1_0),
    "1.1": ("T5", V1_1),
    "mt5": ("MT5", V1_1),
    "relu, gated": ("T5", V1_0 | {"feed_forward_proj": "gated-relu"}),
}
QUERY = "what is a list"
DOCUMENTS = ["A list is mutable.", "The tuple is not", "raise an exception, or return the value"]


def torch_model(version: str = "1.0", seed: int = 0):
    """A random model of transformers in which every part matters to the scores."""
    kind, settings = VERSIONS[version]
    config = getattr(transformers, f"{kind}Config")(**SIZES, **LAYERS, **settings)
    torch.manual_seed(seed)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config).eval()
    if not settings["tie_word_embeddings"]:
        rows = torch.randn(SIZES["vocab_size"], SIZES["d_model"])
        model.lm_head.weight = torch.nn.Parameter(rows)
    for name, parameter in model.named_parameters():
        if "layer_norm" in name:
            parameter.data = 1 + 0.3 * torch.randn_like(parameter)
        elif "relative_attention_bias" in name:
            parameter.data = torch.randn_like(parameter)
        elif "block" in name:
            parameter.data *= 1.5
    return model


@pytest.fixture
def saved(tmp_path):
    """Saves a model of transformers; `config.json` says "untied", as the published ones do."""

    def save(version: str = "1.0", **settings):
        folder = tmp_path / f"theirs {version}"
        torch_model(version).save_pretrained(folder, **settings)
        edit(folder / "config.json", **VERSIONS[version][1])
        return folder

    return save


def edit(file, **changes) -> None:
    file.write_text(json.dumps(json.loads(file.read_text()) | changes))


def tensors(folder) -> dict:
    return {k: v for file in folder.glob("model*.safetensors") for k, v in load(file).items()}


def load(file) -> dict:
    return safetensors.load_file(file)


def values(folder) -> dict:
    source = checkpoints.open_checkpoint(folder)
    return {name: array.read() for name, array in source.arrays.items()}


def logits(model, rows) -> np.ndarray:
    start = torch.zeros((1, 1), dtype=torch.long)
    with torch.no_grad():
        ids = [torch.tensor(np.asarray(row)[None].astype(np.int64)) for row in rows]
        return np.stack(
            [model(input_ids=i, decoder_input_ids=start).logits[0, 0].numpy() for i in ids]
        )


def run_model_card(folder):
    """The function `score` of the example in a folder's README.md."""
    example = (folder / "README.md").read_text().split("```python\n")[1].split("```")[0]
    names: dict = {}
    exec(example.replace('folder = "."', f"folder = {str(folder)!r}"), names)
    return names["score"]


@pytest.mark.parametrize("head", ["rankt5", "monot5"])
@pytest.mark.parametrize("version", VERSIONS)
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


def test_shards_are_read(saved):
    expected = values(saved("1.1"))
    folder = saved("1.1", max_shard_size="30KB")
    (folder / "model.safetensors").unlink()
    assert len([*folder.glob("model-*.safetensors")]) > 2
    jax.tree.map(np.testing.assert_array_equal, values(folder), expected)


def test_shards_are_written_as_transformers_reads_them(saved, tmp_path):
    source = checkpoints.open_checkpoint(saved("1.1"))
    folder = tmp_path / "shards"
    huggingface.write_weights(path(folder), source.config, source.arrays, shard_bytes=30_000)
    assert len([*folder.glob("model-*.safetensors")]) > 2
    model = transformers.T5ForConditionalGeneration.from_pretrained(folder)
    rows = [np.arange(2, 20)]
    np.testing.assert_array_equal(logits(model, rows), logits(torch_model("1.1"), rows))


def test_bfloat16_is_read_exactly(tmp_path):
    model = torch_model().to(torch.bfloat16)
    model.save_pretrained(tmp_path)
    source = checkpoints.open_checkpoint(tmp_path)
    expected = model.shared.weight.float().detach().numpy()
    found = source.arrays["token_embedder/embedding"].as_float32().read()
    np.testing.assert_array_equal(found, expected)


class TestPyTorchsOwnFiles:
    def test_they_are_read_like_safetensors(self, saved):
        folder = saved("1.0")
        expected = values(folder)
        (folder / "model.safetensors").unlink()
        state = torch_model("1.0").state_dict()  # with copies of the embedding, as old files have
        torch.save(state, folder / "pytorch_model.bin")
        jax.tree.map(np.testing.assert_array_equal, values(folder), expected)
        assert checkpoints.open_checkpoint(folder).others == ()

    def test_strides_offsets_and_half_precision(self, tmp_path):
        from t5rank.checkpoints import torch_files

        base = torch.arange(24.0).reshape(4, 6)
        state = {"t": base.T, "part": base[1:3, 2:], "half": base.half(), "b": base.bfloat16()}
        torch.save({**state, "p": torch.nn.Parameter(base)}, tmp_path / "x.bin")
        read = torch_files.read(path(tmp_path / "x.bin"))
        for name, value in state.items():
            np.testing.assert_array_equal(
                read[name].read().astype(np.float32), value.float().numpy()
            )
        np.testing.assert_array_equal(read["p"].read(), base.numpy())

    def test_nothing_in_them_is_run(self, saved, tmp_path):
        class Harmful:
            def __reduce__(self):
                return (open, (str(tmp_path / "harm"), "w"))

        folder = saved()
        (folder / "model.safetensors").unlink()
        torch.save({"shared.weight": Harmful()}, folder / "pytorch_model.bin")
        with pytest.raises(ValueError, match=r"'\w*io.open', which is no tensor"):
            checkpoints.open_checkpoint(folder)
        assert not (tmp_path / "harm").exists()

    def test_older_files_say_what_to_do(self, saved):
        folder = saved()
        (folder / "model.safetensors").unlink()
        (folder / "pytorch_model.bin").write_bytes(pickle.dumps({"a": 1}))
        with pytest.raises(ValueError, match="Save the model again with transformers"):
            checkpoints.open_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"vocab_size": 1100}, r"'shared.weight' of shape \(1152, 16\); expected \(1100, 16\)"),
        ({"num_layers": 4}, r"no tensor 'encoder.block.3.layer.0.*'; expected it by config.json"),
        ({"feed_forward_proj": "gated-gelu"}, "no tensor '.*wi_0.weight'; expected it"),
        ({"feed_forward_proj": "gated-silu"}, "feed_forward_proj 'gated-silu'; expected one of"),
        ({"model_type": "bart"}, r"model_type 'bart'; expected one of \('t5', 'mt5'\)"),
        ({"relative_attention_num_buckets": 64}, "num_buckets 64; expected one of"),
    ],
)
def test_tensors_that_do_not_fit_the_configuration_are_named(saved, changes, message):
    folder = saved()
    edit(folder / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        checkpoints.open_checkpoint(folder)


def test_a_configuration_cut_short_is_named(saved):
    file = saved() / "config.json"
    file.write_bytes(file.read_bytes()[:100])
    with pytest.raises(
        ValueError, match=r"File '.*config.json' is damaged .*; expected a JSON object"
    ):
        checkpoints.open_checkpoint(file.parent)


@pytest.mark.parametrize("left", [5, 5_000])
def test_a_file_cut_short_is_named(saved, left):
    file = saved() / "model.safetensors"
    file.write_bytes(file.read_bytes()[:left])
    with pytest.raises(ValueError, match=r"Safetensors file '.*' has .*Is it cut short\?"):
        checkpoints.open_checkpoint(file.parent)


def test_a_folder_without_weights_and_a_missing_shard_are_named(saved):
    folder = saved("1.1", max_shard_size="30KB")
    next(folder.glob("model-00002*")).unlink()
    with pytest.raises(ValueError, match=r"has no file 'model-00002.*'; its index names it"):
        checkpoints.open_checkpoint(folder)
    (folder / "model.safetensors.index.json").unlink()
    with pytest.raises(ValueError, match="has no weights; expected one of"):
        checkpoints.open_checkpoint(folder)


def test_what_is_no_parameter_of_t5_is_left_over(saved):
    folder = saved()
    state = load(folder / "model.safetensors") | {"classifier.weight": np.ones((2, 2), np.float32)}
    safetensors.save_file(state, folder / "model.safetensors")
    assert checkpoints.open_checkpoint(folder).others == ("classifier.weight",)


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


EMBEDDINGS = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")


def renamed(folder, name):
    state = load(folder / "model.safetensors")
    state[name] = state.pop("shared.weight")
    safetensors.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


def their_logits(folder, rows):
    kind = json.loads((folder / "config.json").read_text()).get("model_type", "t5").upper()
    kind = getattr(transformers, f"{kind}ForConditionalGeneration")
    return logits(kind.from_pretrained(folder, dtype="float32").eval(), rows)


def our_logits(folder, rows):
    source = checkpoints.open_checkpoint(folder)
    arrays = {name: array.as_float32().read() for name, array in source.arrays.items()}
    params = {"params": flax.traverse_util.unflatten_dict(arrays, sep="/")}
    module, ids = network.Transformer(source.config), np.arange(source.config.vocab_size)
    return np.stack([module.apply(params, row[None], ids)[0, 0] for row in rows])


ROWS = [np.arange(2, 20, dtype=np.int32)]


@pytest.mark.parametrize("version", ["1.0", "1.1", "mt5"])
@pytest.mark.parametrize("name", EMBEDDINGS)
def test_an_embedding_under_another_name_is_read_as_transformers_reads_it(saved, version, name):
    folder = saved(version)
    if name == "lm_head.weight" and version != "1.0":
        pytest.skip("has an output of its own under that name")
    renamed(folder, name)
    expected = their_logits(folder, ROWS)
    np.testing.assert_allclose(our_logits(folder, ROWS), expected, atol=1e-4, rtol=0)
    assert checkpoints.open_checkpoint(folder).others == ()


@pytest.mark.parametrize("scaled", [True, False])
def test_an_output_of_its_own_under_tied_embeddings_is_read_as_transformers_reads_it(saved, scaled):
    folder = saved("1.1")
    edit(folder / "config.json", tie_word_embeddings=True, scale_decoder_outputs=scaled)
    expected = their_logits(folder, ROWS)
    np.testing.assert_allclose(our_logits(folder, ROWS), expected, atol=1e-4, rtol=0)


def test_two_embeddings_are_refused_by_name(saved):
    folder = saved("1.0")
    state = load(folder / "model.safetensors")
    state["decoder.embed_tokens.weight"] = state["shared.weight"] + 1
    safetensors.save_file(state, folder / "model.safetensors")
    with pytest.raises(ValueError, match=r"'decoder.embed_tokens.weight' other than 'shared"):
        checkpoints.open_checkpoint(folder)


@pytest.mark.parametrize("kind", ["T5", "MT5"])
def test_what_a_configuration_lacks_is_transformers_default(tmp_path, kind):
    """Every key that transformers has a default for is left out; the sizes are its defaults."""
    sizes = {"vocab_size": 128, "d_model": 8}
    config = getattr(transformers, f"{kind}Config")(**sizes)
    torch.manual_seed(0)
    model = getattr(transformers, f"{kind}ForConditionalGeneration")(config)
    model.save_pretrained(tmp_path, max_shard_size="1MB")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": kind.lower(), **sizes}))
    expected = their_logits(tmp_path, ROWS)
    np.testing.assert_allclose(our_logits(tmp_path, ROWS), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("dtype", ["float16", "bfloat16"])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_half_precision_is_read_from_shards(saved, file, dtype):
    folder = saved("1.1", max_shard_size="30KB")
    index = json.loads((folder / "model.safetensors.index.json").read_text())
    for shard in folder.glob("model-*.safetensors"):
        state = {k: torch.tensor(v).to(getattr(torch, dtype)) for k, v in load(shard).items()}
        if file == "model.safetensors":
            safetensors_torch.save_file(state, shard, metadata={"format": "pt"})
        else:
            torch.save(state, shard.with_suffix(".bin"))
            shard.unlink()
    if file != "model.safetensors":
        (folder / "model.safetensors.index.json").unlink()
        where = {k: v.replace(".safetensors", ".bin") for k, v in index["weight_map"].items()}
        (folder / f"{file}.index.json").write_text(json.dumps(index | {"weight_map": where}))
    expected = their_logits(folder, ROWS)
    np.testing.assert_allclose(our_logits(folder, ROWS), expected, atol=1e-4, rtol=0)


@pytest.mark.parametrize("index", [{}, {"weight_map": {}}, {"weight_map": ["a"]}])
@pytest.mark.parametrize("file", ["model.safetensors", "pytorch_model.bin"])
def test_an_index_without_its_map_is_named(saved, file, index):
    folder = saved("1.1")
    (folder / "model.safetensors").unlink()
    (folder / f"{file}.index.json").write_text(json.dumps(index))
    with pytest.raises(ValueError, match=rf"File '.*{file}.index.json' has no 'weight_map'"):
        checkpoints.open_checkpoint(folder)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"num_layers": "3"}, "has num_layers '3'; expected a whole number from 1"),
        ({"d_kv": None}, "has d_kv None; expected a whole number"),
        ({"num_heads": 0}, "has num_heads 0; expected a whole number"),
    ],
)
def test_sizes_that_are_none_are_named(saved, changes, message):
    folder = saved()
    edit(folder / "config.json", **changes)
    with pytest.raises(ValueError, match=message):
        checkpoints.open_checkpoint(folder)


def test_an_adapter_says_what_to_do(saved):
    folder = saved()
    (folder / "model.safetensors").rename(folder / "adapter_model.safetensors")
    (folder / "adapter_config.json").write_text("{}")
    with pytest.raises(ValueError, match="It is an adapter: merge it"):
        checkpoints.open_checkpoint(folder)
