"""An exported tokenizer reads texts as we do, T5's own tokens in them included."""

import json

import pytest
from etils import epath

from t5rank.model_folder import huggingface_files
from t5rank.text.tokenizer_json import read, written_form
from t5rank.text.vocabulary import Vocabulary

transformers = pytest.importorskip("transformers")

OWN = ["</s>", "<pad>", "<unk>", "<extra_id_10>", "<extra_id_0>"]
TEXTS = [
    *OWN,
    *(f"a {name} b" for name in OWN),
    *(f"a{name}b" for name in OWN),
    *(f"{name}{name.upper()} <{name}>" for name in OWN),
    "\uff1c/s\uff1e \uff1cpad\uff1e",
    "</s",
    "/s> pad> <",
    "▁<extra_id_10> ▁</s>",
    "漢</s>漢<unk> ⁇ <extra_id_100>",
    "</s><pad></s>",
    "a plain text, of  two lines\nand a ﬁne word",
]


@pytest.fixture(params=["small", "T5"])
def file(request, vocabulary_file):
    if request.param == "small":
        return vocabulary_file
    return str(request.getfixturevalue("shared_data") / "t5_vocab" / "spiece.model")


def test_no_text_holds_a_token_of_t5s_own(file):
    vocabulary = Vocabulary(file)
    special = {0, 1, *(vocabulary.token_id(f"<extra_id_{i}>") for i in range(100))}
    assert not special & {token for row in vocabulary.encode_batch(TEXTS) for token in row}


def test_autotokenizer_reads_an_export_as_we_do(file, tmp_path):
    vocabulary = Vocabulary(file)
    huggingface_files.write_tokenizer(epath.Path(tmp_path), vocabulary, 99)
    tokenizer = transformers.AutoTokenizer.from_pretrained(tmp_path)
    expected = [[*row, 1] for row in vocabulary.encode_batch(TEXTS)]
    assert tokenizer(TEXTS)["input_ids"] == expected
    assert [tokenizer(text)["input_ids"] for text in TEXTS] == expected
    ids = (tokenizer.pad_token_id, tokenizer.eos_token_id, tokenizer.unk_token_id)
    assert (len(tokenizer), tokenizer.model_max_length, *ids) == (len(vocabulary), 99, 0, 1, 2)
    assert [tokenizer.convert_tokens_to_ids(name) for name in OWN[3:]] == [
        vocabulary.token_id(name) for name in OWN[3:]
    ]


def test_an_export_is_read_back_from_either_file(file, tmp_path):
    vocabulary = Vocabulary(file)
    huggingface_files.write_tokenizer(epath.Path(tmp_path), vocabulary, 99)
    assert Vocabulary(tmp_path / "spiece.model") == vocabulary
    (tmp_path / "spiece.model").unlink()
    assert Vocabulary(tmp_path / "tokenizer.json").encode_batch(TEXTS) == vocabulary.encode_batch(
        TEXTS
    )


def test_a_tokenizer_that_cuts_words_otherwise_is_refused(vocabulary_file, tmp_path):
    data = written_form(Vocabulary(vocabulary_file).model, 100, {})
    data["pre_tokenizer"] = {"type": "Whitespace"}
    file = epath.Path(tmp_path) / "tokenizer.json"
    file.write_text(json.dumps(data))
    assert read(file).pieces
    with pytest.raises(ValueError, match=r"has pre_tokenizer .*; expected T5's"):
        read(file, whole=True)


def test_a_name_that_cannot_be_cut_is_told(vocabulary_file, caplog):
    model = Vocabulary(vocabulary_file).model
    for piece in ("</", "/s", "s>"):
        model.pieces.add(piece=piece, score=-1.0)
    written_form(model, 100, {})
    assert "Hugging Face's tokenizer reads it in a text as the token" in caplog.text
    assert "'</s>'" in caplog.text and "'<pad>'" not in caplog.text
