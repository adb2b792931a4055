"""`t5rank convert`: from and to every format, what it says, what it refuses, and its memory."""

import json
import re
import tracemalloc

import flax
import jax
import numpy as np
import pytest

from t5rank import Reranker, checkpoints, cli, model_folder
from t5rank.checkpoints import architecture, orbax_writing
from t5rank.checkpoints.paths import path
from t5rank.checkpoints.sources import LazyArray
from t5rank.model_folder.convert import TARGETS, Settings, convert
from t5rank.models import answer_check, monot5, network
from t5rank.models.answer_words import Words
from t5rank.models.rankt5_encoder import EncoderScorer
from t5rank.text.prompts import MONOT5, RANKT5
from t5rank.text.vocabulary import Vocabulary

SIZES = {"vocab_size": 1152, "emb_dim": 16, "num_heads": 2, "head_dim": 6, "mlp_dim": 24}
CONFIG = network.T5Config(**SIZES, num_encoder_layers=2, num_decoder_layers=1)
POOLING, TOKENS = {"pooling": "mean"}, {"tokens": Words("a", "b")}
DOCUMENTS = ["A list is mutable.", "The tuple is not", "raise an exception"]


def write_t5x(folder, module, step: int = 7) -> dict[str, np.ndarray]:
    """A checkpoint of T5X without anything beside it."""
    rng = np.random.default_rng(0)
    shapes = architecture.parameter_shapes(module)
    values = {name: 0.3 * rng.normal(size=s).astype(np.float32) for name, s in shapes.items()}
    arrays = {n: LazyArray(v.shape, v.dtype, lambda v=v: v) for n, v in values.items()}
    orbax_writing.write_orbax(path(folder), step, arrays)
    return values


def values(location) -> dict[str, np.ndarray]:
    source = checkpoints.open_checkpoint(location)
    return {name: array.read() for name, array in source.arrays.items()}


@pytest.fixture(scope="module")
def t5x_folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("source") / "t5x"  # tests read it only
    write_t5x(folder, network.Transformer(CONFIG))
    return folder


@pytest.mark.parametrize("head", ["rankt5", "monot5", "encoder"])
def test_every_way_round_is_exact_and_keeps_the_scores(tmp_path, vocabulary_file, head):
    encoder = head == "encoder"
    config = network.T5Config(**SIZES, num_encoder_layers=2, num_decoder_layers=0 if encoder else 1)
    module = EncoderScorer(config) if encoder else network.Transformer(config)
    expected = write_t5x(tmp_path / "t5x", module)
    settings = Settings(head=head, vocabulary=vocabulary_file, max_length=64)
    convert(tmp_path / "t5x", tmp_path / "ours", "t5rank", settings)
    convert(tmp_path / "ours", tmp_path / "hf", "huggingface")
    convert(tmp_path / "hf", tmp_path / "again", "t5rank")
    convert(tmp_path / "hf", tmp_path / "back", "t5x")
    for folder in ("ours", "hf", "again", "back"):
        jax.tree.map(np.testing.assert_array_equal, values(tmp_path / folder), expected)
    scores = Reranker.from_pretrained(tmp_path / "ours").score("list", DOCUMENTS)
    again = Reranker.from_pretrained(tmp_path / "again").score("list", DOCUMENTS)
    assert np.std(scores) > 1e-4
    np.testing.assert_array_equal(scores, again)


def test_the_command_says_what_it_restored_and_wrote(t5x_folder, tmp_path, vocabulary_file, capsys):
    ours = str(tmp_path / "ours")
    command = ["convert", str(t5x_folder), ours, "--to", "t5rank", "--head", "monot5"]
    assert cli.main([*command, "--vocabulary", vocabulary_file, "--max_length", "99"]) == 0
    said = capsys.readouterr().out
    assert said == (
        f"Restored 35 of 35 arrays of '{t5x_folder}/checkpoint_7', T5X orbax.\nWrote {ours}.\n"
    )
    model, encoder = model_folder.load_config(ours)
    assert isinstance(model.head, monot5.MonoT5Head)
    assert (encoder.prompt.template, encoder.max_length) == (MONOT5, 99)
    assert checkpoints.steps(ours) == [7]


@pytest.mark.parametrize("inside", [False, True], ids=["folder", "checkpoint"])
def test_a_model_folder_brings_its_settings_and_its_best_checkpoint(
    t5x_folder, tmp_path, vocabulary_file, inside
):
    ours = tmp_path / "ours"
    settings = Settings(head="rankt5", vocabulary=vocabulary_file, prompt="{query} is {document}")
    convert(t5x_folder, ours, "t5rank", settings)
    write_t5x(ours, network.Transformer(CONFIG), step=9)
    (ours / "best.json").write_text(json.dumps({"step": 7, "metric": "mrr", "value": 1.0}))
    report = convert(ours / "checkpoint_9" if inside else ours, tmp_path / "copy", "t5rank")
    assert report.path.endswith("checkpoint_9" if inside else "checkpoint_7")
    assert checkpoints.steps(tmp_path / "copy") == [9 if inside else 7]
    _, encoder = model_folder.load_config(tmp_path / "copy")
    assert encoder.prompt.template == "{query} is {document}"
    convert(ours, tmp_path / "step", "t5x", step=9)
    assert checkpoints.steps(tmp_path / "step") == [9]


def test_another_head_takes_its_own_prompt_only_where_there_was_none(
    t5x_folder, tmp_path, vocabulary_file
):
    convert(t5x_folder, tmp_path / "a", "t5rank", Settings("rankt5", vocabulary_file))
    convert(tmp_path / "a", tmp_path / "b", "t5rank", Settings("monot5"))
    model, encoder = model_folder.load_config(tmp_path / "b")
    assert isinstance(model.head, monot5.MonoT5Head)
    assert encoder.prompt.template == RANKT5


def test_weights_alone_need_no_head(t5x_folder, tmp_path):
    convert(t5x_folder, tmp_path / "hf", "huggingface")
    names = {file.name for file in (tmp_path / "hf").iterdir()}
    assert names == {"config.json", "generation_config.json", "model.safetensors"}


def test_a_decoder_is_left_over_where_the_head_needs_none(tmp_path, vocabulary_file):
    expected = write_t5x(tmp_path / "t5x", EncoderScorer(CONFIG))
    expected |= write_t5x(tmp_path / "more", network.Transformer(CONFIG))
    arrays = {n: LazyArray(v.shape, v.dtype, lambda v=v: v) for n, v in expected.items()}
    orbax_writing.write_orbax(path(tmp_path / "both"), 1, arrays)
    settings = Settings("encoder", vocabulary_file)
    report = convert(tmp_path / "both", tmp_path / "ours", "t5rank", settings)
    assert len(report.left_over) == 16 and "Left over (16): decoder/" in str(report)


@pytest.mark.parametrize(
    ("to", "settings", "message"),
    [
        ("t5rank", {}, "has no word about its score head; .* Give --head"),
        ("t5rank", {"head": "rankt5"}, "has no vocabulary beside it; .* Give --vocabulary"),
        (
            "t5rank",
            {"head": "encoder", "vocabulary": "it"},
            "no parameter 'score_head/bias' or 'score_head/kernel'",
        ),
        ("onnx", {}, "Argument 'to' has 'onnx'; expected one of"),
        ("t5rank", {"head": "bert", "vocabulary": "it"}, "'head' has 'bert'; expected one of"),
    ],
)
def test_what_is_missing_is_named(t5x_folder, tmp_path, vocabulary_file, to, settings, message):
    if "vocabulary" in settings:
        settings = settings | {"vocabulary": vocabulary_file}
    with pytest.raises(ValueError, match=message):
        convert(t5x_folder, tmp_path / "out", to, Settings(**settings))
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("rows", "message"),
    [(1024, "has 1024 rows; expected at least the"), (2048, "Is it another model's vocabulary")],
)
def test_a_vocabulary_of_another_size_is_named(tmp_path, vocabulary_file, rows, message):
    sizes = SIZES | {"vocab_size": rows}
    config = network.T5Config(**sizes, num_encoder_layers=1, num_decoder_layers=1)
    write_t5x(tmp_path / "t5x", network.Transformer(config))
    with pytest.raises(ValueError, match=message):
        convert(tmp_path / "t5x", tmp_path / "out", "t5rank", Settings("rankt5", vocabulary_file))


def test_nothing_is_written_over(t5x_folder, tmp_path):
    for to in TARGETS[1:]:
        convert(t5x_folder, tmp_path / f"to_{to}", to)
        with pytest.raises(ValueError, match=r"has files|has been written before"):
            convert(t5x_folder, tmp_path / f"to_{to}", to)


def test_a_bias_per_layer_has_no_place_in_hugging_faces_t5(tmp_path):
    config = network.T5Config(
        **SIZES, num_encoder_layers=2, num_decoder_layers=1, relpos_bias_per_layer=True
    )
    write_t5x(tmp_path / "t5x", network.Transformer(config))
    with pytest.raises(ValueError, match="relpos_bias_per_layer True; expected"):
        convert(tmp_path / "t5x", tmp_path / "out", "huggingface")


@pytest.mark.parametrize("to", ["t5x", "huggingface"])
def test_memory_stays_far_below_one_copy_of_the_weights(tmp_path, to):
    """Of numpy's memory: tensors are read and written one by one."""
    config = network.T5Config(
        vocab_size=1000, emb_dim=256, num_heads=4, num_encoder_layers=6, num_decoder_layers=6,
        head_dim=64, mlp_dim=1024,
    )  # fmt: skip
    total = sum(v.nbytes for v in write_t5x(tmp_path / "t5x", network.Transformer(config)).values())
    convert(tmp_path / "t5x", tmp_path / "hf", "huggingface")
    source = tmp_path / ("hf" if to == "t5x" else "t5x")
    tracemalloc.start()
    convert(source, tmp_path / "out", to)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert total > 40e6
    assert peak < 0.3 * total


def test_the_trees_written_nest_as_flax_does(t5x_folder, tmp_path):
    import orbax.checkpoint as ocp

    convert(t5x_folder, tmp_path / "out", "t5x")
    tree = ocp.PyTreeCheckpointer().restore(tmp_path / "out/checkpoint_7/state")
    assert set(tree["state"]) <= {"step", "param_states"} and int(tree["state"]["step"]) == 7
    found = flax.traverse_util.flatten_dict(tree["target"], sep="/")
    jax.tree.map(np.testing.assert_array_equal, found, values(t5x_folder))


def test_answers_are_given_false_first_as_words_or_ids(t5x_folder, tmp_path, vocabulary_file):
    vocabulary = Vocabulary(vocabulary_file)
    command = ["convert", str(t5x_folder), str(tmp_path / "ours"), "--to", "t5rank"]
    command += ["--head", "monot5", "--vocabulary", vocabulary_file, "--tokens", "list,7"]
    assert cli.main(command) == 0
    model, _ = model_folder.load_config(tmp_path / "ours")
    assert model.head == monot5.MonoT5Head(true_id=7, false_id=vocabulary.token_id("list"))
    convert(tmp_path / "ours", tmp_path / "hf", "huggingface")
    convert(tmp_path / "hf", tmp_path / "again", "t5rank")
    assert model_folder.load_config(tmp_path / "again")[0].head == model.head
    assert f"[7, {model.head.false_id}]" in (tmp_path / "hf" / "README.md").read_text()


@pytest.mark.parametrize(
    ("tokens", "message"),
    [
        ("no", "Option '--tokens' has 'no'; expected FALSE,TRUE"),
        ("a,b,c", "expected FALSE,TRUE"),
        ("qzqzqz,true", "has no token 'qzqzqz'.* The answers are '--tokens FALSE,TRUE'"),
        ("7,7", "has token 7 for both answers"),
        ("1,99999", "has token 99999; expected a row of the embedding"),
    ],
)
def test_answers_that_are_none_are_named(
    t5x_folder, tmp_path, vocabulary_file, capsys, tokens, message
):
    command = ["convert", str(t5x_folder), str(tmp_path / "ours"), "--to", "t5rank"]
    command += ["--head", "monot5", "--vocabulary", vocabulary_file, "--tokens", tokens]
    assert cli.main(command) == 1
    assert re.search(message, capsys.readouterr().err)
    assert not (tmp_path / "ours").exists()


@pytest.mark.parametrize("bias", [0.0, 90.0], ids=["another word", "its words"])
def test_a_model_that_answers_with_other_words_is_told(tmp_path, vocabulary_file, caplog, bias):
    """The logits are read off the embedding: a row along the decoder's norm is the answer."""
    vocabulary = Vocabulary(vocabulary_file)
    module = network.Transformer(CONFIG)
    values = write_t5x(tmp_path / "t5x", module)
    token = vocabulary.token_id("true" if bias else "list")
    kernel = values["decoder/logits_dense/kernel"]
    values["decoder/decoder_norm/scale"][:] = 0
    values["decoder/decoder_norm/scale"][0] = 1
    kernel[:] = 0
    sign = answer_sign(module, values, vocabulary)
    kernel[0, token] = 90.0 * sign
    arrays = {n: LazyArray(v.shape, v.dtype, lambda v=v: v) for n, v in values.items()}
    orbax_writing.write_orbax(path(tmp_path / "sure"), 1, arrays)
    with caplog.at_level("WARNING", logger="t5rank"):
        convert(tmp_path / "sure", tmp_path / "ours", "t5rank", Settings("monot5", vocabulary_file))
    told = "reads the answers 'false' and 'true', which get" in caplog.text
    assert told == (not bias)
    assert ("The likeliest are 'list' (1)" in caplog.text) == told


def answer_sign(module, values, vocabulary) -> float:
    """The sign of the decoder's first number on the pair of the probe."""
    from t5rank.text.prompts import PairEncoder, Prompt

    ones = values | {
        "decoder/logits_dense/kernel": np.ones_like(values["decoder/logits_dense/kernel"])
    }
    params = flax.traverse_util.unflatten_dict(ones, sep="/")
    encoder = PairEncoder(vocabulary, Prompt(MONOT5), 512)
    tokens = encoder.encode(answer_check.QUERY, [answer_check.DOCUMENT])[0].tokens
    logit = module.apply({"params": params}, tokens[None], np.arange(1))
    return float(np.sign(logit[0, 0, 0]))


@pytest.mark.parametrize(
    ("to", "settings", "message"),
    [
        (
            "t5rank",
            {"head": "rankt5", "options": POOLING},
            "'--pooling' has no effect on the head",
        ),
        (
            "t5rank",
            {"head": "rankt5", "options": TOKENS},
            "'--tokens' has no effect on",
        ),
        ("t5x", {"max_length": 9}, "'--max_length' have no effect: weights alone"),
        ("t5x", {"head": "rankt5", "prompt": MONOT5}, "'--prompt' have no effect: T5X's layout"),
        ("huggingface", {"prompt": MONOT5, "max_length": 9}, "'--prompt', '--max_length' have no"),
    ],
)
def test_settings_without_an_effect_are_refused(
    t5x_folder, tmp_path, vocabulary_file, to, settings, message
):
    settings = Settings(**settings, vocabulary=vocabulary_file if to == "t5rank" else None)
    with pytest.raises(ValueError, match=message):
        convert(t5x_folder, tmp_path / "out", to, settings)
    assert not (tmp_path / "out").exists()


def test_another_vocabulary_than_that_beside_a_checkpoint_is_named(
    t5x_folder, tmp_path, vocabulary_file
):
    convert(t5x_folder, tmp_path / "ours", "t5rank", Settings("rankt5", vocabulary_file))
    model = Vocabulary(vocabulary_file).model
    model.pieces[500].piece = "another"
    (tmp_path / "other.model").write_bytes(model.SerializeToString())
    settings = Settings(vocabulary=tmp_path / "other.model")
    with pytest.raises(ValueError, match="has another vocabulary beside it"):
        convert(tmp_path / "ours", tmp_path / "again", "t5rank", settings)


def test_a_step_of_what_has_none_is_refused(t5x_folder, tmp_path):
    convert(t5x_folder, tmp_path / "hf", "huggingface")
    for source in (tmp_path / "hf", t5x_folder / "checkpoint_7"):
        with pytest.raises(
            ValueError, match="is no folder of checkpoints; expected no step, not 7"
        ):
            convert(source, tmp_path / "out", "t5x", step=7)
