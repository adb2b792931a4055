"""`config.json` as versions before the registry of kinds wrote it."""

import pytest

from t5rank.model_folder import from_written_form, written_form

ARCHITECTURE = {
    "vocab_size": 1152,
    "emb_dim": 16,
    "num_heads": 2,
    "num_encoder_layers": 1,
    "num_decoder_layers": 1,
    "head_dim": 8,
    "mlp_dim": 32,
    "mlp_activations": ("gelu", "linear"),
    "logits_via_embedding": False,
    "relpos_bias_per_layer": False,
    "dropout_rate": 0.1,
    "dtype": "float32",
}
REST = {"prompt": "{query} {document}", "max_length": 64, "extra_ids": 100}
WRITTEN = {
    "rankt5": {
        "network": "Transformer",
        "head": "RankT5Head",
        "head_settings": {"token_id": 40},
    },
    "monot5": {
        "network": "Transformer",
        "head": "MonoT5Head",
        "head_settings": {"true_id": 40, "false_id": 41},
    },
    "encoder": {
        "network": "EncoderScorer",
        "head": "EncoderHead",
        "head_settings": {},
        "pooling": "mean",
    },
}


@pytest.mark.parametrize("name", WRITTEN)
def test_it_is_read_and_written_as_it_was(name, vocabulary_file):
    config = {"format": 1, "architecture": ARCHITECTURE, **WRITTEN[name], **REST}
    model, encoder = from_written_form(config, vocabulary_file, "config.json")
    assert model.kind.name == name
    assert written_form(model, encoder) == config


def test_a_head_beside_the_network_of_another_kind_is_named(vocabulary_file):
    config = {"format": 1, "architecture": ARCHITECTURE, **WRITTEN["encoder"], **REST}
    with pytest.raises(ValueError, match="has the network 'Transformer'; expected 'EncoderScorer'"):
        from_written_form(config | {"network": "Transformer"}, vocabulary_file, "config.json")
