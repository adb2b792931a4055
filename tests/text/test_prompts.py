import itertools
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5rank.data.errors import DataError
from t5rank.data.trec import read_queries
from t5rank.text.prompts import MONOT5, RANKT5, PairEncoder, Prompt
from t5rank.text.vocabulary import EOS_ID, Vocabulary

TEMPLATES = pytest.mark.parametrize("template", [RANKT5, MONOT5])
DOCUMENTS = [
    "",
    " ",
    "a word",
    "  many   words \t and\nlines  ",
    "ﬁne { braces }",
    "<extra_id_3> x",
]


@pytest.fixture(scope="module")
def vocabulary(vocabulary_file):
    return Vocabulary(vocabulary_file)


def whole(vocabulary, template, query, document):
    """Tokens of the formatted string."""
    text = template.replace("{query}", query, 1).replace("{document}", document, 1)
    return [*vocabulary.encode(text), EOS_ID]


def tokens(vocabulary, template, query, documents, max_length=10_000):
    pairs = PairEncoder(vocabulary, Prompt(template), max_length).encode(query, documents)
    return [pair.tokens.tolist() for pair in pairs]


@TEMPLATES
@pytest.mark.parametrize("document", DOCUMENTS)
def test_tokens_are_those_of_the_whole_text(vocabulary, template, document):
    expected = whole(vocabulary, template, "which word", document)
    assert tokens(vocabulary, template, "which word", [document]) == [expected]


@TEMPLATES
def test_tokens_are_those_of_the_whole_text_on_real_pairs(shared_data, template):
    vocabulary = Vocabulary(shared_data / "t5_vocab" / "spiece.model")
    folder = shared_data / "msmarco_passage_dev"
    queries = itertools.cycle(read_queries(folder / "queries.tsv").values())
    documents = read_queries(folder / "collection.tsv").values()
    differ = 0
    for query, document in zip(queries, documents, strict=False):
        ours = tokens(vocabulary, template, query, [document])[0]
        expected = whole(vocabulary, template, query, document)
        # In a run such as "?????" two cuts into the same pieces tie, and either may come out.
        assert sorted(ours) == sorted(expected)
        differ += ours != expected
    assert differ / len(documents) < 0.001


def test_monot5_ends_in_its_suffix(vocabulary):
    suffix = [*vocabulary.encode("Relevant:"), EOS_ID]
    assert tokens(vocabulary, MONOT5, "a", ["b"])[0][-len(suffix) :] == suffix


@settings(max_examples=50, deadline=None)
@given(words=st.integers(0, 60), room=st.integers(1, 40))
@TEMPLATES
def test_only_the_document_is_cut(vocabulary, template, words, room):
    document = " ".join(["word"] * words)
    alone = tokens(vocabulary, template, "which word", [""])[0]
    length = len(alone) + room
    encoder = PairEncoder(vocabulary, Prompt(template), length)
    (pair,) = encoder.encode("which word", [document])
    suffix = len([*vocabulary.encode(Prompt(template).after_document), EOS_ID])
    prefix = len(alone) - suffix
    encoded = vocabulary.encode(document)
    assert pair.tokens.tolist() == [*alone[:prefix], *encoded[:room], *alone[prefix:]]
    assert len(pair.tokens) == min(length, len(alone) + len(encoded))
    assert pair.is_cut == (len(encoded) > room)


def test_each_document_is_cut_by_itself(vocabulary):
    documents = ["word", "word " * 50, ""]
    together = tokens(vocabulary, RANKT5, "a", documents, max_length=20)
    assert together == [tokens(vocabulary, RANKT5, "a", [d], max_length=20)[0] for d in documents]


def test_tokens_are_int32_arrays(vocabulary):
    (pair,) = PairEncoder(vocabulary, Prompt(), 50).encode("a", ["b"])
    assert pair.tokens.dtype == np.int32


def test_no_document_gives_no_pair(vocabulary):
    assert tokens(vocabulary, RANKT5, "a", []) == []


@TEMPLATES
def test_query_too_long_is_an_error_with_the_numbers(vocabulary, template):
    length = len(tokens(vocabulary, template, "which word", [""])[0])
    with pytest.raises(
        ValueError,
        match=rf"Query 'which word' has {length} tokens with its prompt; expected at most "
        rf"{length - 1}\. Only documents are cut: shorten the query or raise the input length\.$",
    ):
        tokens(vocabulary, template, "which word", ["b"], max_length=length)


def test_the_tokens_of_an_enormous_query_are_not_counted(vocabulary):
    with pytest.raises(ValueError, match=r"^Query 'q1' has \d+ or more tokens with its prompt"):
        PairEncoder(vocabulary, Prompt(), 20).pieces("word " * 100_000, name="q1")


def test_the_error_of_a_query_too_long_says_what_a_command_can_do(vocabulary):
    with pytest.raises(DataError) as error:
        tokens(vocabulary, RANKT5, "which word", ["b"], max_length=3)
    assert error.value.message_for({"strict": "--lenient"}).endswith(
        ", or give --lenient to cut it."
    )


def lenient(vocabulary, template, query, length):
    counts = Counter()
    encoder = PairEncoder(vocabulary, Prompt(template), length, strict=False, counts=counts)
    return encoder, counts


@pytest.mark.parametrize("template", [RANKT5, MONOT5, "{query} {document}"])
@pytest.mark.parametrize("left", [2, 3, 20])
def test_a_query_too_long_gets_half_of_the_room_where_that_is_asked_for(vocabulary, template, left):
    prompt, query, document = Prompt(template), "which word " * 30, "some text " * 40
    before, after = map(vocabulary.encode, (prompt.before_query, prompt.before_document))
    end = [*vocabulary.encode(prompt.after_document), EOS_ID]
    length = len([*before, *after, *end]) + left
    encoder, counts = lenient(vocabulary, template, query, length)
    (pair,) = encoder.encode(query, [document])
    words = vocabulary.encode(prompt.before_query + query)[len(before) :][: left // 2]
    text = vocabulary.encode(document)[: left - left // 2]
    assert pair.tokens.tolist() == [*before, *words, *after, *text, *end]
    assert counts == Counter(queries_cut=1)


def test_a_query_that_leaves_room_is_never_cut(vocabulary):
    alone = tokens(vocabulary, RANKT5, "which word", [""])[0]
    encoder, counts = lenient(vocabulary, RANKT5, "which word", len(alone) + 1)
    strict = PairEncoder(vocabulary, Prompt(RANKT5), len(alone) + 1)
    (pair,), (same,) = (e.encode("which word", ["some text"]) for e in (encoder, strict))
    assert pair.tokens.tolist() == same.tokens.tolist()
    assert not counts


def test_a_prompt_that_leaves_no_room_is_an_error_even_so(vocabulary):
    encoder, _ = lenient(vocabulary, RANKT5, "which word", 4)
    with pytest.raises(ValueError, match="expected at most 3"):
        encoder.encode("which word", ["some text"])


@pytest.mark.parametrize("query", ["{document}", "{query}", "{}", "{0} %s \\1", "{{x}}"])
def test_braces_in_the_query_are_harmless(vocabulary, query):
    assert Prompt().prefix(query) == f"Query: {query} Document:"
    expected = [*vocabulary.encode(f"Query: {query} Document: text"), EOS_ID]
    assert tokens(vocabulary, RANKT5, query, ["text"]) == [expected]


@pytest.mark.parametrize(
    "template",
    ["", "{query}", "{document}", "{query} {query} {document}", "{document} {query}", "q d"],
)
def test_template_without_query_before_document_is_an_error(template):
    with pytest.raises(ValueError, match="expected each once, the query first"):
        Prompt(template)


@pytest.mark.parametrize(
    "template", ["{query}{document}", "{query} D:{document}", "{query} {document}Relevant:"]
)
def test_template_without_space_around_the_document_is_an_error(template):
    with pytest.raises(ValueError, match=r"has no space next to \{document\}"):
        Prompt(template)


@pytest.mark.parametrize("template", ["{query} {document}", "Q: {query}\nD: {document} :"])
def test_other_templates_are_tokenized_as_the_whole_text(vocabulary, template):
    expected = whole(vocabulary, template, "which word", "some text")
    assert tokens(vocabulary, template, "which word", ["some text"]) == [expected]


@pytest.mark.parametrize("name", ["</s>", "<pad>", "<unk>", "<extra_id_0>"])
def test_a_template_with_a_token_of_t5s_own_is_an_error(name):
    with pytest.raises(ValueError, match=f"has '{name}'; expected none of T5's own tokens"):
        Prompt(f"{{query}} {{document}} {name}")


@pytest.mark.parametrize("name", ["</s>", "<pad>", "<extra_id_10>"])
def test_neither_query_nor_document_writes_a_token_of_t5s_own(vocabulary, name):
    rows = tokens(vocabulary, MONOT5, f"a {name} b{name}", [name, f"a{name}b {name} c"])
    special = {0, vocabulary.token_id("<extra_id_10>")}
    assert all(not special & set(row) and row.index(EOS_ID) == len(row) - 1 for row in rows)


@pytest.mark.parametrize(
    "documents", ["a list", b"a list", {"a": "list"}, {"a"}, None, 5, ["a", None], ["a", 1], [b"a"]]
)
def test_documents_that_are_no_list_of_strings_are_an_error(vocabulary, documents):
    with pytest.raises(TypeError, match=r"expected a (list of )?string"):
        tokens(vocabulary, RANKT5, "a word", documents)


@pytest.mark.parametrize("query", [None, b"a word", 5, ["a word"]])
def test_a_query_that_is_no_string_is_an_error(vocabulary, query):
    with pytest.raises(TypeError, match=r"Query has the type .*; expected a string"):
        tokens(vocabulary, RANKT5, query, ["a list"])


def test_half_a_character_is_an_error_that_says_where(vocabulary):
    with pytest.raises(ValueError, match=r"Document 1 has '\\ud800' at 2; expected text"):
        tokens(vocabulary, RANKT5, "a word", ["a", "a \ud800"])


def test_documents_of_any_ordered_kind_are_taken(vocabulary):
    texts = ["a word", "é"]
    expected = tokens(vocabulary, RANKT5, "a list", texts)
    kinds = [
        tuple(texts),
        iter(texts),
        np.array(texts),
        np.array(texts, object),
        dict.fromkeys(texts).keys(),
    ]
    for documents in kinds:
        assert tokens(vocabulary, RANKT5, "a list", documents) == expected
