import io
import os

import pytest
import sentencepiece

from t5rank.data.trec import read_queries
from t5rank.text.vocabulary import Vocabulary

TEXTS = [
    "",
    " ",
    "True or false?",
    "  two  spaces\tand\nlines ",
    "ﬁne Straße",
    "漢字",
]


def train(folder, **settings):
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(["a few words for a vocabulary"] * 20),
        model_writer=model,
        vocab_size=50,
        hard_vocab_limit=False,
        minloglevel=2,
        **settings,
    )
    file = folder / "trained.model"
    file.write_bytes(model.getvalue())
    return file


@pytest.fixture(scope="module")
def t5_file(shared_data):
    return shared_data / "t5_vocab" / "spiece.model"


def test_tokens_equal_those_of_seqio(vocabulary_file):
    seqio = pytest.importorskip("seqio")
    expected = seqio.SentencePieceVocabulary(vocabulary_file, extra_ids=100)
    ours = Vocabulary(vocabulary_file)
    assert [ours.encode(text) for text in TEXTS] == [expected.encode(text) for text in TEXTS]


def test_t5_tokens_equal_those_of_seqio_on_real_text(t5_file, shared_data):
    seqio = pytest.importorskip("seqio")
    expected, ours = seqio.SentencePieceVocabulary(str(t5_file), extra_ids=100), Vocabulary(t5_file)
    texts = [*read_queries(shared_data / "msmarco_passage_dev" / "collection.tsv").values(), *TEXTS]
    assert ours.encode_batch(texts) == [expected.encode(text) for text in texts]


def test_size_equals_that_of_seqio(vocabulary_file):
    seqio = pytest.importorskip("seqio")
    expected = seqio.SentencePieceVocabulary(vocabulary_file, extra_ids=100)
    assert len(Vocabulary(vocabulary_file)) == expected.vocab_size


@pytest.mark.parametrize(
    ("token", "token_id"),
    [
        ("true", 1176),
        ("false", 6136),
        ("<extra_id_0>", 32099),
        ("<extra_id_10>", 32089),
        ("<extra_id_99>", 32000),
        ("</s>", 1),
    ],
)
def test_ids_of_t5_tokens(t5_file, token, token_id):
    assert Vocabulary(t5_file).token_id(token) == token_id


def test_extra_ids_are_at_the_end_in_descending_order(vocabulary_file):
    vocabulary, plain = Vocabulary(vocabulary_file), Vocabulary(vocabulary_file, extra_ids=0)
    assert len(vocabulary) == len(plain) + 100
    ids = [vocabulary.token_id(f"<extra_id_{i}>") for i in range(100)]
    assert ids == [len(plain) + 99 - i for i in range(100)]


def test_extra_id_in_a_text_is_text(vocabulary_file):
    vocabulary = Vocabulary(vocabulary_file)
    assert vocabulary.encode("say <extra_id_10> now") == Vocabulary(vocabulary_file, 0).encode(
        "say <extra_id_10> now"
    )


@pytest.mark.parametrize("token", ["<extra_id_100>", "qzqzqz", "two words"])
def test_token_that_is_not_one_piece_is_an_error(vocabulary_file, token):
    with pytest.raises(ValueError, match=f"has no token '{token}'; expected it to be one piece"):
        Vocabulary(vocabulary_file).token_id(token)


def test_file_that_holds_extra_ids_gets_no_more(tmp_path):
    symbols = [f"<extra_id_{i}>" for i in range(3)]
    file = train(tmp_path, pad_id=0, eos_id=1, unk_id=2, bos_id=-1, user_defined_symbols=symbols)
    vocabulary = Vocabulary(file)
    assert vocabulary.extra_ids == 0
    assert not {3, 4, 5} & set(vocabulary.encode("a <extra_id_1> few<extra_id_2>"))
    assert [vocabulary.token_id(symbol) for symbol in symbols] == [3, 4, 5]


def test_encode_batch_is_encode_of_each(vocabulary_file):
    vocabulary = Vocabulary(vocabulary_file)
    assert vocabulary.encode_batch(TEXTS) == [vocabulary.encode(text) for text in TEXTS]


def test_encode_batch_of_nothing_is_nothing(vocabulary_file):
    assert Vocabulary(vocabulary_file).encode_batch([]) == []


def test_no_token_is_padding_or_end_of_sequence(vocabulary_file):
    tokens = Vocabulary(vocabulary_file).encode("a pad, <pad>, and the end </s>")
    assert not {0, 1} & set(tokens)


def test_missing_file_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"no\.model' has no readable file \(No such file"):
        Vocabulary(tmp_path / "no.model")


def test_folder_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="has no readable file"):
        Vocabulary(tmp_path)


@pytest.mark.parametrize("content", [b"", b"This is no model.", b'{"model": {}}', b"\x00" * 100])
def test_file_that_is_no_model_is_an_error(tmp_path, content):
    file = tmp_path / "text.model"
    file.write_bytes(content)
    with pytest.raises(ValueError, match="expected a SentencePiece model"):
        Vocabulary(file)


def test_model_with_other_special_ids_is_an_error(tmp_path):
    file = train(tmp_path)  # SentencePiece's defaults: unknown 0, no padding
    with pytest.raises(ValueError, match=r"has pad and end-of-sequence ids \(-1, 2\)"):
        Vocabulary(file)


def test_file_that_changes_is_read_again(vocabulary_file, tmp_path):
    file = tmp_path / "changing.model"
    file.write_bytes(b"This is no model.")
    with pytest.raises(ValueError):
        Vocabulary(file)
    with open(vocabulary_file, "rb") as source:
        file.write_bytes(source.read())
    os.utime(file, ns=(1, 1))
    assert Vocabulary(file).encode("a word") == Vocabulary(vocabulary_file).encode("a word")
