"""What is cut before it is tokenized has the tokens of the whole."""

import os
import random
from pathlib import Path

import pytest

from t5rank.text.cutting import Cutter
from t5rank.text.vocabulary import Vocabulary

SHARED = Path(os.environ.get("T5RANK_SHARED_DATA", Path(__file__).parents[2] / "../shared/data"))
T5 = SHARED / "t5_vocab" / "spiece.model"
ALPHABET = ["a", "ab", " ", "  ", "\t", "\n", "?", "??", "_", "the", "list", "1", ".", "x" * 40]
ALPHABET += [
    "\u00a0",
    "\u3000",
    "\u0301",
    "e\u0301",
    "\ufb01",
    "\ufdfa",
    "\u4e2d",
    "\u6587",
    "\u2581",
]
ALPHABET += ["\u200b", "\U0001f600", "\u1100\u1161", "\uff21", "\u00b4", "<extra_id_1>", "</s>"]


@pytest.fixture(scope="module", params=["own", "t5"])
def vocabulary(request, vocabulary_file):
    if request.param == "t5" and not T5.is_file():
        pytest.skip("needs T5's vocabulary")
    return Vocabulary(vocabulary_file if request.param == "own" else T5)


class Counting:
    """A vocabulary that counts the letters that are tokenized."""

    def __init__(self, vocabulary):
        self.letters = 0
        self._vocabulary = vocabulary

    def __getattr__(self, name):
        return getattr(self._vocabulary, name)

    def encode(self, text):
        self.letters += len(text)
        return self._vocabulary.encode(text)

    def encode_batch(self, texts):
        self.letters += sum(map(len, texts))
        return self._vocabulary.encode_batch(texts)


def adversarial(count: int):
    draw = random.Random(0)
    for _ in range(count):
        letters = draw.sample(ALPHABET, draw.randint(1, 5))
        yield "".join(draw.choices(letters, k=draw.choice([30, 300, 3000])))


@pytest.mark.parametrize("want", [1, 8, 33])
def test_beginnings_of_adversarial_texts(vocabulary, want):
    cutter = Cutter(vocabulary)
    texts = list(adversarial(300))
    for text, tokens in zip(texts, cutter.beginnings(texts, want), strict=True):
        whole = vocabulary.encode(text)
        assert tokens == whole[: len(tokens)] and len(tokens) >= min(want, len(whole)), text


@pytest.mark.skipif(not T5.is_file(), reason="needs ../shared/data")
def test_beginnings_of_passages():
    lines = (SHARED / "msmarco_passage_dev" / "collection.tsv").read_text().splitlines()
    texts = [line.split("\t")[1] for line in lines]
    texts = ["".join(texts[i : i + 9]) for i in range(0, len(texts), 9)]  # long ones
    vocabulary = Counting(Vocabulary(T5))
    found = Cutter(vocabulary).beginnings(texts, 65)
    looked_at = vocabulary.letters
    for text, tokens in zip(texts, found, strict=True):
        assert tokens == vocabulary.encode(text)[: len(tokens)] and len(tokens) >= 65
    assert looked_at < 0.25 * sum(map(len, texts))


@pytest.mark.parametrize("letters", ["the list of ", "\u4e2d\u6587\u3002\u5b57list", "ab"])
def test_little_of_a_long_text_is_tokenized(vocabulary, letters):
    counting = Counting(vocabulary)
    text = letters * 40_000
    (tokens,) = Cutter(counting).beginnings([text], 20)
    assert len(tokens) >= 20 and counting.letters < len(text) / 4


def test_ends_are_those_of_the_whole(vocabulary):
    counting = Counting(vocabulary)
    text = "a list of int and the string " * 2000 + "is returned"
    (tokens,) = Cutter(counting).ends([text], 20)
    assert len(tokens) >= 20 and counting.letters < 2000
    assert tokens == vocabulary.encode(text)[-len(tokens) :]


@pytest.mark.parametrize("letters", ["\ufdfa", "\u4e2d\u6587\u3002\u5b57list"])
def test_the_end_of_a_huge_text_without_spaces_is_looked_at_alone(vocabulary, letters):
    counting = Counting(vocabulary)
    text = letters * 100_000
    (tokens,) = Cutter(counting).ends([text], 20)
    assert len(tokens) >= 20 and counting.letters < len(text) / 4
    assert tokens == vocabulary.encode(letters * 1000)[-len(tokens) :]


@pytest.mark.parametrize("letter", ["\ufdfa", "\u4e2d\u3000", "\u2121 "])
def test_a_text_that_normalization_lengthens_is_not_tokenized_whole(vocabulary, letter):
    text = letter * 50_000
    counting = Counting(vocabulary)
    (tokens,) = Cutter(counting).beginnings([text], 64)
    assert len(tokens) >= 64 and counting.letters < 20_000
    assert tokens == vocabulary.encode(letter * 5000)[: len(tokens)]
