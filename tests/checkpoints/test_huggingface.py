"""What is read of Hugging Face folders; transformers, safetensors and PyTorch are the oracles."""

import json
import pickle

import jax
import numpy as np
import pytest
from transformers_t5 import (
    edit,
    load,
    our_logits,
    safetensors,
    their_logits,
    torch,
    torch_model,
    transformers,
    values,
)

from t5rank import checkpoints
from t5rank.checkpoints.paths import path

safetensors_torch = pytest.importorskip("safetensors.torch")
ROWS = [np.arange(2, 20, dtype=np.int32)]


def test_shards_are_read(saved):
    expected = values(saved("1.1"))
    folder = saved("1.1", max_shard_size="30KB")
    (folder / "model.safetensors").unlink()
    assert len([*folder.glob("model-*.safetensors")]) > 2
    jax.tree.map(np.testing.assert_array_equal, values(folder), expected)


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


EMBEDDINGS = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight", "lm_head.weight")


def renamed(folder, name):
    state = load(folder / "model.safetensors")
    state[name] = state.pop("shared.weight")
    safetensors.save_file(state, folder / "model.safetensors", metadata={"format": "pt"})


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
