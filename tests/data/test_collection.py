import gzip
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5rank.data import collection as collection_module
from t5rank.data.collection import Collection


def written(folder, raw):
    path = folder / "collection.tsv"
    path.write_bytes(raw)
    return path


IDS = st.text(st.characters(codec="utf-8", exclude_categories=["Z", "C"]), min_size=1, max_size=9)
TEXTS = st.text(st.characters(codec="utf-8", exclude_characters="\r\n")).filter(str.strip)


@settings(deadline=None)
@given(st.dictionaries(IDS, TEXTS, min_size=1), st.sampled_from(["\n", "\r\n"]), st.booleans())
def test_every_document_is_found_with_its_text(tmp_path_factory, texts, end, end_of_last):
    text = end.join(f"{doc_id}\t{text}" for doc_id, text in texts.items())
    path = written(tmp_path_factory.mktemp("c"), (text + end * end_of_last).encode())
    with Collection(path) as collection:
        assert len(collection) == len(texts)
        assert {doc_id: collection[doc_id] for doc_id in texts} == texts


def test_blocks_of_ids_of_different_width_are_joined(tmp_path, monkeypatch):
    monkeypatch.setattr(collection_module, "_BLOCK_LINES", 2)
    texts = {"d" * n: f"text {n}" for n in (5, 1, 9, 2, 7)}
    path = written(tmp_path, "".join(f"{d}\t{t}\n" for d, t in texts.items()).encode())
    with Collection(path) as collection:
        assert {doc_id: collection[doc_id] for doc_id in texts} == texts


@pytest.mark.parametrize("doc_id", ["d0", "d3", "d", "d11", "", "z", "d1-and-much-longer"])
def test_unknown_document_is_not_found(tmp_path, doc_id):
    with Collection(written(tmp_path, b"d1\tone\nd2\ttwo\n")) as collection:
        assert doc_id not in collection
        with pytest.raises(KeyError, match=rf"Document '{doc_id}' is not in file"):
            collection[doc_id]


def test_text_is_all_after_the_first_tab(tmp_path):
    with Collection(written(tmp_path, b"d1\turl\ttitle\n")) as collection:
        assert collection["d1"] == "url\ttitle"


def test_byte_order_mark_and_blank_lines_are_left_out(tmp_path):
    with Collection(written(tmp_path, b"\xef\xbb\xbfd1\tone\n\nd2\ttwo\n\n")) as collection:
        assert (len(collection), collection["d1"], collection["d2"]) == (2, "one", "two")


@pytest.mark.parametrize(
    ("raw", "message"),
    [
        (b"d1\tone\nd2 two\n", "Line 2 of file '.*' has the start b'd2 two"),
        (b"d1\tone\nd 2\ttwo\n", "Line 2 of file .* the id without white space"),
        (b"d1\tone\n\tone\n", "Line 2 of file"),
        (b"d1\tone\nd2\ttwo\nd1\tthree\n", "Document 'd1' of line 1 is again in .*, line 3"),
        (b"d1\tone\nd\xff\ttwo\n", "line 2 has broken UTF-8"),
        (b"", "is empty"),
        (gzip.compress(b"d1\tone\n", mtime=0), "is gzip-compressed; .* gunzip"),
    ],
)
def test_malformed_collection_is_an_error(tmp_path, raw, message):
    with pytest.raises(ValueError, match=message):
        Collection(written(tmp_path, raw))


@pytest.mark.parametrize("strict", [True, False])
@pytest.mark.parametrize("raw", [b"d1\t\nd2\ttwo\n", b"d2\ttwo\nd1\t"])
def test_a_document_may_have_no_text(tmp_path, raw, strict):
    with Collection(written(tmp_path, raw), strict=strict) as collection:
        assert (collection["d1"], collection["d2"]) == ("", "two")


def test_of_an_id_that_comes_again_the_first_text_is_kept_when_not_strict(tmp_path):
    path = written(tmp_path, b"d2\ttwo\nd1\tone\nd2\tthree\nd2\tfour\n")
    with Collection(path, strict=False) as collection:
        assert (len(collection), collection["d1"], collection["d2"]) == (2, "one", "two")
    assert collection.repaired == {"duplicate_documents_merged": 2}


def test_a_broken_id_is_found_by_what_replaces_it_when_not_strict(tmp_path):
    path = written(tmp_path, b"d\xff\tone\n")
    with Collection(path, strict=False) as collection:
        assert collection["d\ufffd"] == "one"
    assert collection.repaired == {"broken_utf8_lines_replaced": 1}


def test_broken_utf8_is_an_error_on_access_that_names_the_line(tmp_path):
    with Collection(written(tmp_path, b"d1\tone\n\nd2\t\xff\n")) as collection:
        assert collection["d1"] == "one"
        with pytest.raises(ValueError, match=r"collection\.tsv', line 3 has broken UTF-8"):
            collection["d2"]


def test_broken_utf8_is_replaced_and_counted_when_not_strict(tmp_path):
    counts = Counter()
    path = written(tmp_path, b"d1\ta\xffb\n")
    with Collection(path, strict=False) as collection:
        assert collection.text("d1", counts) == "a\ufffdb"
    assert counts["broken_utf8_lines_replaced"] == 1


def test_real_collection_is_what_its_lines_say(shared_data):
    path = shared_data / "msmarco_passage_dev" / "collection.tsv"
    lines = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
    assert len(lines) == 4558
    with Collection(path) as collection:
        assert [f"{d}\t{collection[d]}" for d in (x.split("\t")[0] for x in lines)] == lines
