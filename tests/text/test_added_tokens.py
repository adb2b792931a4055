"""Tokens that were added to T5's: transformers is the oracle, of tokens and of scores."""

import json
import os
import shutil

import numpy as np
import pytest

from t5rank import Reranker, model_folder
from t5rank.model_folder.convert import Settings, convert
from t5rank.text import added_tokens
from t5rank.text.vocabulary import Vocabulary

transformers = pytest.importorskip("transformers")
torch = pytest.importorskip("torch")

Token = transformers.AddedToken
TOKENS = [
    "[TITLE]",
    Token("[B]", special=True),
    Token("new list", normalized=False, single_word=True),
    Token("ﬁle", normalized=True),
    Token("<x>", lstrip=True, rstrip=True),
    Token("[TITLE]s", normalized=False),
    "set",  # a piece of many vocabularies
]
TEXTS = [
    "[TITLE] a list [B]of words[TITLE]",
    " [title][TITLE]s  [TITLE]\n",
    "a new list, new lists, anew list, new list",
    "ﬁle files FILE profile",
    "one <x> two<x>three",
    "reset the set sets",
    "",
    "  ",
    "é[TITLE]漢new list字",
]


@pytest.fixture
def plain(tmp_path, vocabulary_file):
    """A folder with `spiece.model` alone."""
    folder = tmp_path / "plain"
    folder.mkdir()
    shutil.copy(vocabulary_file, folder / "spiece.model")
    return folder


@pytest.fixture
def tokenizer(plain):
    """transformers' tokenizer with `TOKENS`."""
    tokenizer = transformers.T5Tokenizer.from_pretrained(plain)
    for token in TOKENS:
        tokenizer.add_tokens([token])
    return tokenizer


def theirs(tokenizer) -> list[list[int]]:
    return [tokenizer(text, add_special_tokens=False)["input_ids"] for text in TEXTS]


def write(folder, name, value) -> None:
    (folder / name).write_text(json.dumps(value))


def test_what_transformers_saves_is_read_as_transformers_reads_it(tokenizer, tmp_path):
    tokenizer.save_pretrained(tmp_path / "saved")
    vocabulary = Vocabulary(tmp_path / "saved" / "tokenizer.json")
    assert vocabulary.encode_batch(TEXTS) == theirs(tokenizer)
    assert len(vocabulary) == len(tokenizer)
    assert vocabulary.token_id("[TITLE]") == tokenizer.convert_tokens_to_ids("[TITLE]")


LEGACY = {
    "added_tokens_decoder": {
        "tokenizer_config.json": {
            "added_tokens_decoder": {
                "1100": {"content": "[TITLE]", "normalized": False, "special": False},
                "1101": {"content": "new list", "single_word": True, "special": False},
            }
        }
    },
    "added_tokens": {
        "added_tokens.json": {"[TITLE]": 1100, "[B]": 1101},
        "special_tokens_map.json": {"sep_token": "[B]", "eos_token": "</s>"},
    },
    "special_tokens_map": {
        "special_tokens_map.json": {
            "cls_token": {"content": "[TITLE]", "normalized": False},
            "additional_special_tokens": [f"<extra_id_{i}>" for i in range(100)] + ["[B]"],
        }
    },
    "another name": {"tokenizer_config.json": {"title_token": "[TITLE]", "sep_token": "[B]"}},
    "extra_special_tokens": {
        "tokenizer_config.json": {"extra_special_tokens": {"a_token": "[TITLE]"}},
        "special_tokens_map.json": {"cls_token": "[B]"},
    },
    "split_special_tokens": {
        "tokenizer_config.json": {"split_special_tokens": True, "sep_token": "[B]"},
        "added_tokens.json": {"[TITLE]": 1100},
    },
}


@pytest.mark.parametrize("files", LEGACY)
def test_older_files_are_read_as_transformers_reads_them(plain, files):
    for name, value in LEGACY[files].items():
        write(plain, name, value)
    tokenizer = transformers.T5Tokenizer.from_pretrained(plain)
    vocabulary = Vocabulary(plain / "spiece.model")
    assert len(tokenizer) > 1100
    assert (len(vocabulary), vocabulary.encode_batch(TEXTS)) == (len(tokenizer), theirs(tokenizer))


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (
            {"added_tokens.json": {"[TITLE]": 1200}},
            r"token '\[TITLE\]' with id 1200; expected 1100",
        ),
        ({"tokenizer_config.json": {"eos_token": "[E]"}}, r"end of sequence '\[E\]'; expected"),
        (
            {"tokenizer.json": {"model": {"type": "BPE", "vocab": {}}}},
            "has type 'BPE'; expected T5's 'Unigram'",
        ),
        (
            {"tokenizer.json": {"model": {"unk_id": 2, "vocab": [["a", 0.0]] * 5}}},
            "has other pieces than the SentencePiece model",
        ),
        ({"tokenizer_config.json": []}, "is damaged .no object.; expected a JSON object"),
    ],
)
def test_what_cannot_be_read_so_is_refused_by_name(plain, files, message):
    for name, value in files.items():
        write(plain, name, value)
    with pytest.raises(ValueError, match=message):
        Vocabulary(plain / "spiece.model")


def hugging_face_folder(folder, tokenizer):
    """A model with rows for the tokens, in which these matter."""
    config = transformers.T5Config(
        vocab_size=1152, d_model=16, d_kv=6, d_ff=24, num_heads=2, num_layers=1
    )
    torch.manual_seed(0)
    model = transformers.T5ForConditionalGeneration(config).eval()
    model.resize_token_embeddings(len(tokenizer))
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return model


def logits(model, tokenizer, texts) -> np.ndarray:
    start = torch.zeros((1, 1), dtype=torch.long)
    with torch.no_grad():
        rows = [tokenizer(text, return_tensors="pt")["input_ids"] for text in texts]
        return np.stack([model(input_ids=r, decoder_input_ids=start).logits[0, 0] for r in rows])


def test_a_converted_and_an_exported_folder_score_as_transformers(tokenizer, tmp_path):
    model = hugging_face_folder(tmp_path / "theirs", tokenizer)
    convert(tmp_path / "theirs", tmp_path / "ours", "t5rank", Settings("rankt5"))
    reranker = Reranker.from_pretrained(tmp_path / "ours")
    prompts = [f"Query: [TITLE] list Document: {text}" for text in TEXTS]
    token = tokenizer.convert_tokens_to_ids("<extra_id_10>")
    expected = logits(model, tokenizer, prompts)[:, token]
    scores = reranker.score("[TITLE] list", TEXTS)
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(scores, expected, atol=1e-4, rtol=0)

    convert(tmp_path / "ours", tmp_path / "exported", "huggingface")
    exported = transformers.AutoTokenizer.from_pretrained(tmp_path / "exported")
    assert theirs(exported) == theirs(tokenizer)
    convert(tmp_path / "exported", tmp_path / "again", "t5rank")
    _, encoder = model_folder.load_config(tmp_path / "again")
    assert encoder.vocabulary.encode_batch(TEXTS) == theirs(tokenizer)


def test_a_vocabulary_from_elsewhere_takes_the_folders_added_tokens(
    tokenizer, tmp_path, vocabulary_file
):
    hugging_face_folder(tmp_path / "theirs", tokenizer)
    settings = Settings("rankt5", vocabulary_file)
    convert(tmp_path / "theirs", tmp_path / "ours", "t5rank", settings)
    _, encoder = model_folder.load_config(tmp_path / "ours")
    assert encoder.vocabulary.encode_batch(TEXTS) == theirs(tokenizer)


def test_tasks_tokenize_as_we_do(tokenizer, tmp_path):
    pytest.importorskip("seqio")
    from t5rank.tasks.seqio_vocabulary import TextVocabulary

    tokenizer.save_pretrained(tmp_path)
    tasks = TextVocabulary(tmp_path / "tokenizer.json")
    assert tasks.encode_tf(TEXTS).to_list() == theirs(tokenizer)
    assert tasks.encode_tf(TEXTS[0]).numpy().tolist() == theirs(tokenizer)[0]
    assert tasks.vocab_size == len(tokenizer)


@pytest.mark.parametrize("character", ["a", "é", "٣", "_", "\u0301", "Ⅷ", "ⓐ", "\u200d", "-", "²"])
def test_what_touches_a_single_word_is_what_touches_it_to_tokenizers(character):
    tokenizers = pytest.importorskip("tokenizers")
    token = added_tokens.AddedToken("[W]", single_word=True, normalized=False)
    text = f"[W]{character}"
    found = [part for part in added_tokens.Splitter({7: token}, str)(text) if part]
    other = tokenizers.Tokenizer(tokenizers.models.WordLevel({"?": 0}, "?"))
    other.add_tokens([tokenizers.AddedToken("[W]", single_word=True, normalized=False)])
    assert (7 in found) == ("[W]" in other.encode(text).tokens)


def test_files_of_a_folder_without_a_tokenizer_add_nothing(plain):
    assert not Vocabulary(plain / "spiece.model").added_tokens
    assert os.listdir(plain) == ["spiece.model"]
