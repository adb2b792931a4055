"""Collections in all their formats, in order and each document once."""

import gzip
import json
from collections import Counter

import pytest

from t5rank.data.documents import Documents
from t5rank.data.errors import DataError

TEXTS = {"d2": "a text", "d1": "", "d3": "caf\xe9 | bar"}


def tsv(path):
    path.write_text("".join(f"{doc_id}\t{text}\n" for doc_id, text in TEXTS.items()))


def gzipped(path):
    with gzip.open(path, "wt") as file:
        file.writelines(f"{doc_id}\t{text}\n" for doc_id, text in TEXTS.items())


def beir(path):
    path.write_text("".join(json.dumps(beir_row(*item)) + "\n" for item in TEXTS.items()))


def beir_row(doc_id, text):
    title, _, rest = text.partition(" ")
    return {"_id": doc_id, "title": title, "text": rest, "metadata": {}}


def lists(path):
    """The second list repeats documents of the first."""
    items = [{"doc_id": doc_id, "text": text} for doc_id, text in TEXTS.items()]
    rows = [("q1", items[:2]), ("q2", items)]
    path.write_text(
        "".join(json.dumps({"query_id": q, "query": q, "documents": d}) + "\n" for q, d in rows)
    )


@pytest.mark.parametrize("write", [tsv, gzipped, beir, lists])
def test_a_format_is_told_by_its_first_line(tmp_path, write):
    write(tmp_path / "collection")
    counts = Counter()
    documents = Documents([tmp_path / "collection"], counts=counts)
    assert dict(documents.read()) == TEXTS and documents.count == 3
    assert [document.doc_id for document in documents.read(1)] == ["d1", "d3"]
    assert +counts == {"empty_documents": 2 if write is lists else 1}


def test_the_checksum_is_of_the_texts_and_not_of_the_file(tmp_path):
    paths = [tmp_path / name for name in ("tsv", "beir", "changed")]
    tsv(paths[0])
    beir(paths[1])
    paths[2].write_text(paths[0].read_text().replace("bar", "baz"))
    one, two, three = (Documents([path]).checksum for path in paths)
    assert one == two != three


def test_an_id_that_comes_twice_is_an_error_or_merged(tmp_path):
    one, two = tmp_path / "one", tmp_path / "two"
    tsv(one)
    two.write_text("d4\tx\nd1\tagain\n")
    with pytest.raises(DataError, match=r"'d1' is again in file '.*two', line 2; expected each"):
        Documents([one, two])
    counts = Counter()
    documents = Documents([one, two], strict=False, counts=counts)
    assert dict(documents.read()) == TEXTS | {"d4": "x"} and documents.count == 4
    assert counts["duplicate_documents_merged"] == 1


FAULTS = {
    "no tab": (b"d1 text\n", "has the start 'd1 text'; expected doc_id TAB text"),
    "id": (b"d 1\ttext\n", "has the id 'd 1'; expected one without white space"),
    "utf8": (b"d1\tcaf\xe9\n", "has broken UTF-8"),
    "keys": (b'{"id": "d1", "text": "x"}\n', "has the keys id, text; expected strings under '_id'"),
    "json": (b'{"_id": "d1", "text": "x"}\n{"_id\n', "line 2 is malformed"),
    "empty": (b"\n", "has no document; expected at least one"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_malformed_file_is_an_error_that_names_it(tmp_path, fault):
    data, message = FAULTS[fault]
    (tmp_path / "file").write_bytes(data)
    with pytest.raises(ValueError, match=f"file.*{message}"):
        Documents([tmp_path / "file"])
