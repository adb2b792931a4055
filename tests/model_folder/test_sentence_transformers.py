"""Folders of sentence-transformers, in and out, beside sentence-transformers itself."""

import json
import logging
import re
import shutil

import numpy as np
import pytest

from t5rank import cli, model_folder
from t5rank.checkpoints import architecture, open_checkpoint, orbax_writing
from t5rank.checkpoints.paths import path
from t5rank.checkpoints.sources import LazyArray
from t5rank.inference.embedder import Embedder
from t5rank.model_folder.convert import Settings, convert
from t5rank.model_folder.huggingface_files import write_tokenizer
from t5rank.models import network
from t5rank.models.dual_encoder import DualEncoder, VectorHead
from t5rank.models.retrieval import RetrievalModel
from t5rank.text.templates import TextPrompts
from t5rank.text.texts import TextEncoder
from t5rank.text.vocabulary import Vocabulary

WIDTH, DIM, LENGTH = 48, 24, 32
TEXTS = ["what is a list", "", "A list is mutable. " * 20, "the tuple's  items"]
CONFIG = network.T5Config(
    vocab_size=1152,
    emb_dim=WIDTH,
    num_heads=4,
    head_dim=8,
    mlp_dim=96,
    num_encoder_layers=2,
    num_decoder_layers=0,
    mlp_activations=("gelu", "linear"),
)


def write_arrays(folder, module):
    """A checkpoint of T5X without anything beside it; its values by name."""
    rng = np.random.default_rng(0)
    shapes = architecture.parameter_shapes(module)
    values = {name: 0.3 * rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    arrays = {n: LazyArray(v.shape, v.dtype, lambda v=v: v) for n, v in values.items()}
    orbax_writing.write_orbax(path(folder), 1, arrays)
    return values


def write_model(folder, vocabulary_file, similarity="cosine", **settings):
    """A model folder of a dual encoder; its parameters by name."""
    module = DualEncoder(CONFIG, **{"dim": DIM, **settings})
    encoder = TextEncoder(Vocabulary(vocabulary_file), TextPrompts("list: ", "item: ", 9), LENGTH)
    model_folder.save_config(folder, RetrievalModel(module, VectorHead(similarity)), encoder)
    return write_arrays(folder, module)


@pytest.fixture(scope="module")
def exported(tmp_path_factory, vocabulary_file):
    folder = tmp_path_factory.mktemp("exported")
    write_model(folder / "ours", vocabulary_file)
    convert(folder / "ours", folder / "theirs", "huggingface")
    return folder / "theirs"


def package():
    """The newer names of its classes."""
    pytest.importorskip("sentence_transformers", minversion="6", reason="it is not installed")
    from sentence_transformers import SentenceTransformer
    from sentence_transformers.base.modules import Dense, Normalize, Transformer
    from sentence_transformers.sentence_transformer.modules import Pooling

    return SentenceTransformer, Transformer, Pooling, Dense, Normalize


def save_theirs(folder, vocabulary_file, dim=DIM, similarity="cosine", half=False, older=False):
    """A folder that it saves, or one of the older layout; the model, in float32."""
    SentenceTransformer, Transformer, Pooling, Dense, Normalize = package()
    import torch
    from transformers import T5Config, T5EncoderModel

    torch.manual_seed(0)
    sizes = {"d_model": WIDTH, "d_kv": 8, "d_ff": 96, "num_layers": 2, "num_heads": 4}
    t5 = T5EncoderModel(T5Config(vocab_size=1152, feed_forward_proj="gated-gelu", **sizes))
    (t5.half() if half else t5).save_pretrained(folder / "t5")
    write_tokenizer(path(folder / "t5"), Vocabulary(vocabulary_file), 512)
    float32 = {"dtype": torch.float32}
    transformer = Transformer(str(folder / "t5"), max_seq_length=LENGTH, model_kwargs=float32)
    modules = [transformer, Pooling(WIDTH, pooling_mode="mean")]
    if dim is not None:
        modules.append(Dense(WIDTH, dim, bias=False, activation_function=torch.nn.Identity()))
    if similarity == "cosine":
        modules.append(Normalize())
    prompts = {"query": "list: ", "document": "item: "}
    model = SentenceTransformer(
        modules=modules, device="cpu", prompts=prompts, similarity_fn_name=similarity
    )
    if older:
        write_older(folder, [type(module).__name__ for module in modules], model, prompts)
    else:
        model.save_pretrained(str(folder / "theirs"))
    return model


def write_older(folder, names, model, prompts):
    """The layout before version 6, with the files of PyTorch."""
    import torch

    theirs = folder / "theirs"
    shutil.copytree(folder / "t5", theirs)
    (theirs / "model.safetensors").unlink()
    torch.save(model[0].auto_model.half().state_dict(), theirs / "pytorch_model.bin")
    model[0].auto_model.float()
    places = {name: f"{i}_{name}" if i else "" for i, name in enumerate(names)}
    written = {
        "modules.json": [
            {
                "idx": i,
                "name": str(i),
                "path": place,
                "type": f"sentence_transformers.models.{name}",
            }
            for i, (name, place) in enumerate(places.items())
        ],
        "sentence_bert_config.json": {"max_seq_length": LENGTH, "do_lower_case": False},
        "config_sentence_transformers.json": {"prompts": prompts},
        "1_Pooling/config.json": {
            "word_embedding_dimension": WIDTH,
            "pooling_mode_cls_token": False,
            "pooling_mode_mean_tokens": True,
        },
        "2_Dense/config.json": {
            "in_features": WIDTH,
            "out_features": DIM,
            "bias": False,
            "activation_function": "torch.nn.modules.linear.Identity",
        },
    }
    for name, value in written.items():
        (theirs / name).parent.mkdir(exist_ok=True)
        (theirs / name).write_text(json.dumps(value))
    torch.save(model[2].state_dict(), theirs / "2_Dense/pytorch_model.bin")


@pytest.mark.parametrize(
    "settings",
    [{}, {"half": True, "older": True}, {"dim": None}, {"similarity": "dot"}],
    ids=["saved", "older, float16", "no projection", "dot"],
)
def test_vectors_are_those_of_sentence_transformers(tmp_path, vocabulary_file, settings):
    model = save_theirs(tmp_path, vocabulary_file, **settings)
    convert(tmp_path / "theirs", tmp_path / "ours", "t5rank")
    ours = Embedder.from_pretrained(tmp_path / "ours")
    assert ours.similarity == settings.get("similarity", "cosine")
    expected = model.encode_query(TEXTS), model.encode_document(TEXTS)
    assert np.abs(expected[0] - expected[1]).max() > 1e-3
    found = ours.encode_queries(TEXTS), ours.encode_documents(TEXTS)
    scale = np.abs(expected).max()
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * max(1, scale))


@pytest.mark.parametrize("dim", [DIM, None])
def test_what_is_written_opens_there_and_comes_back(tmp_path, vocabulary_file, dim, monkeypatch):
    package()
    similarity = "cosine" if dim else "dot"
    settings = {"dim": dim, "similarity": similarity, "learn_temperature": bool(dim)}
    values = write_model(tmp_path / "ours", vocabulary_file, **settings)
    convert(tmp_path / "ours", tmp_path / "theirs", "huggingface")
    convert(tmp_path / "theirs", tmp_path / "again", "t5rank")
    for name, array in open_checkpoint(tmp_path / "again").arrays.items():
        np.testing.assert_array_equal(array.read(), values.pop(name))
    assert not values
    assert all(
        (tmp_path / "again" / name).read_bytes() == (tmp_path / "ours" / name).read_bytes()
        for name in ("config.json", "vocabulary.model")
    )
    (code,) = re.findall(r"```python\n(.*?)```", (tmp_path / "theirs/README.md").read_text(), re.S)
    monkeypatch.chdir(tmp_path / "theirs")
    names: dict = {}
    exec(code, names)
    model, ours = names["model"], Embedder.from_pretrained(tmp_path / "ours")
    assert model.similarity_fn_name == similarity
    documents = ours.encode_documents(TEXTS)
    scale = max(1, np.abs(documents).max())
    theirs = model.encode(TEXTS, prompt_name="document")
    np.testing.assert_allclose(theirs, documents, rtol=0, atol=1e-5 * scale)
    model.max_seq_length = 9  # as the card says
    theirs = model.encode(TEXTS, prompt_name="query")
    np.testing.assert_allclose(theirs, ours.encode_queries(TEXTS), rtol=0, atol=1e-5 * scale)


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("1_Pooling", {"pooling_mode_cls_token": True}, r"pooling_mode \['cls', 'mean'\]"),
        ("1_Pooling", {"include_prompt": False}, "has include_prompt False"),
        ("2_Dense", {"bias": True}, "has bias True"),
        ("2_Dense", {"activation_function": "torch.nn.Tanh"}, "has activation_function"),
        ("sentence_bert_config.json", {"do_lower_case": True}, "has do_lower_case True"),
        ("config_sentence_transformers.json", {"similarity_fn_name": "euclidean"}, "euclidean"),
        ("config_sentence_transformers.json", {"model_type": "SparseEncoder"}, "SparseEncoder"),
        ("modules.json", "LayerNorm", "has the modules .*LayerNorm; expected those of"),
    ],
)
def test_what_is_not_computed_is_refused_by_name(exported, tmp_path, file, change, message):
    shutil.copytree(exported, tmp_path / "theirs")
    (tmp_path / "theirs/t5rank.json").unlink()
    whole = tmp_path / "theirs" / file
    whole = whole / "config.json" if whole.is_dir() else whole
    value = json.loads(whole.read_text())
    if isinstance(change, str):
        kind = f"sentence_transformers.models.{change}"
        value.append({"idx": 4, "name": "4", "path": "4", "type": kind})
    else:
        value |= change
    whole.write_text(json.dumps(value))
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "theirs", tmp_path / "ours", "t5rank")


def test_the_longest_input_may_be_the_tokenizers(exported, tmp_path):
    shutil.copytree(exported, tmp_path / "theirs")
    for name in ("t5rank.json", "sentence_bert_config.json"):
        (tmp_path / "theirs" / name).unlink()
    file = tmp_path / "theirs/tokenizer_config.json"
    file.write_text(json.dumps(json.loads(file.read_text()) | {"model_max_length": 17}))
    assert open_checkpoint(tmp_path / "theirs").settings["max_length"] == 17


def test_other_prompts_are_named(exported, tmp_path, caplog):
    shutil.copytree(exported, tmp_path / "theirs")
    (tmp_path / "theirs/t5rank.json").unlink()
    file = tmp_path / "theirs/config_sentence_transformers.json"
    prompts = {"query": "q: ", "passage": "p: ", "cluster": "c: "}
    file.write_text(json.dumps(json.loads(file.read_text()) | {"prompts": prompts}))
    with caplog.at_level(logging.WARNING, logger="t5rank"):
        settings = open_checkpoint(tmp_path / "theirs").settings
    assert settings["prompt"] == {"query": "q: ", "document": "p: "}
    assert "prompts ['cluster'], which are left out" in caplog.text


def test_the_command_takes_the_prompts_of_a_dual_encoder(exported, tmp_path, capsys):
    command = ["convert", str(exported), str(tmp_path / "ours"), "--to=t5rank"]
    assert cli.main([*command, "--prompt={query} {document}"]) == 1
    said = capsys.readouterr().err
    assert "'--prompt' have no effect on the head 'dual_encoder'" in said
    changed = ["--query_prompt=", "--document_prompt=x: ", "--query_length=5"]
    assert cli.main([*command, *changed, "--similarity=dot"]) == 0
    model, encoder = model_folder.load_config(tmp_path / "ours")
    assert encoder.prompt == TextPrompts("", "x: ", 5) and model.head.similarity == "dot"


def test_a_folder_that_is_not_converted_says_how(exported):
    with pytest.raises(ValueError, match=r"of sentence-transformers; .* NEW_FOLDER --to t5rank`"):
        Embedder.from_pretrained(exported)


def test_t5x_names_need_no_head_and_no_size(tmp_path, vocabulary_file):
    values = write_arrays(tmp_path / "t5x", DualEncoder(CONFIG, 20))
    convert(tmp_path / "t5x", tmp_path / "ours", "t5rank", Settings(vocabulary=vocabulary_file))
    model, encoder = model_folder.load_config(tmp_path / "ours")
    assert model.dim == 20 and encoder.prompt == TextPrompts()
    found = open_checkpoint(tmp_path / "ours").arrays
    np.testing.assert_array_equal(
        found["projection_layer/kernel"].read(), values["projection_layer/kernel"]
    )


def test_a_t5_that_was_not_trained_as_one_has_no_projection(tmp_path, vocabulary_file, caplog):
    write_arrays(tmp_path / "t5x", DualEncoder(CONFIG, None))
    settings = Settings("dual_encoder", vocabulary_file)
    with pytest.raises(ValueError, match=r"no parameter 'projection_layer/kernel'; .* --dim none"):
        convert(tmp_path / "t5x", tmp_path / "ours", "t5rank", settings)
    settings = Settings("dual_encoder", vocabulary_file, options={"dim": None})
    with caplog.at_level(logging.WARNING, logger="t5rank"):
        convert(tmp_path / "t5x", tmp_path / "ours", "t5rank", settings)
    assert "A T5 that was not finds nothing: train it first" in caplog.text


def test_t5x_retrievals_own_checkpoint_opens(shared_data, tmp_path, vocabulary_file):
    """Its test model has 4 buckets of relative positions; every published T5 has 32."""
    folder = shared_data / "t5x_retrieval_tiny"
    if not folder.is_dir():
        pytest.skip(f"no folder {folder}: the real data lack t5x_retrieval's test checkpoint")
    source = open_checkpoint(folder)
    assert len(source.arrays) == 20
    assert (
        source.shapes["projection_layer/kernel"][0] == source.shapes["token_embedder/embedding"][1]
    )
    assert all(np.isfinite(array.read()).all() for array in source.arrays.values())
    with pytest.raises(ValueError, match=r"relative positions of shape \(\d, 4\).*\(heads, 32\)"):
        convert(folder, tmp_path / "ours", "t5rank", Settings(vocabulary=vocabulary_file))


def test_the_page_runs(exported, pytestconfig, tmp_path, monkeypatch, capsys):
    """Its model is one of the tests' own."""
    page = pytestconfig.rootpath / "docs/pages/how_to/sentence_transformers.md"
    convert(exported, tmp_path / "models/gtr", "t5rank")
    monkeypatch.chdir(tmp_path)
    (code,) = re.findall(r"```python\n(.*?)```", page.read_text(), re.S)
    exec(code, {})
    assert re.fullmatch(r"\[\[\S+ +\S+\]\]\n", capsys.readouterr().out)
