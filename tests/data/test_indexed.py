"""Reading by number gives what reading from the start gives."""

import gzip
import json

import pytest

from t5rank.data.jsonl import index_jsonl, json_line, read_jsonl
from t5rank.data.line_index import LineIndex
from t5rank.data.msmarco import index_qna_rows, read_qna_rows
from t5rank.data.ranked_list import RankedList


def ranked(number):
    return RankedList(f"q{number}", "word", ("d1", "d2"), ("one", "twö"), (1.0, 0.0))


LINES = [json_line(ranked(number)).strip() for number in range(4)]
TEXTS = {
    "plain": "\n".join(LINES) + "\n",
    "no last line end": "\n".join(LINES),
    "blank lines": "\n \n" + "\n\n".join(LINES) + "\n\n",
    "byte order mark": "\ufeff" + "\n".join(LINES),
    "mark on a blank line": "\ufeff\n" + "\n".join(LINES),
    "carriage returns": "\r\n".join(LINES) + "\r\n",
    "empty": "",
}


@pytest.mark.parametrize("text", TEXTS.values(), ids=TEXTS)
def test_lists_of_json_lines(text, tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_bytes(text.encode())
    indexed = index_jsonl(file)
    assert [*indexed.lists(range(len(indexed)))] == [*read_jsonl(file)]
    backwards = range(len(indexed) - 1, -1, -1)
    assert [*indexed.lists(backwards)] == [*read_jsonl(file)][::-1]


def test_lists_of_a_folder_of_plain_shards(tmp_path):
    shards = {"a.jsonl": LINES[:1], "b.jsonl": [], "c.jsonl": LINES[1:]}
    for name, lines in shards.items():
        (tmp_path / name).write_text("\n".join(lines))
    sizes = [{"file": name, "bytes": (tmp_path / name).stat().st_size} for name in shards]
    (tmp_path / "manifest.json").write_text(json.dumps({"shards": sizes}))
    indexed = index_jsonl(tmp_path)
    assert [*indexed.lists([3, 0, 2, 1])] == [ranked(i) for i in (3, 0, 2, 1)]


def test_an_error_names_the_line_of_the_file(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text(f"\n{LINES[0]}\n\n\nbroken\n{LINES[1]}\n")
    with pytest.raises(ValueError, match=r"x\.jsonl', line 5 is malformed"):
        [*index_jsonl(file).lists([2, 0, 1])]


def test_lists_without_a_relevant_document_are_dropped(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_text(json_line(RankedList("q", "word", ("d",), ("text",), (0.0,))) + LINES[0])
    indexed = index_jsonl(file, keep_without_relevant=False)
    assert [item.query_id for item in indexed.lists([1, 0])] == ["q0"]


def test_a_compressed_file_is_not_read_by_number(tmp_path):
    file = tmp_path / "x.jsonl"
    file.write_bytes(gzip.compress(TEXTS["plain"].encode()))
    assert index_jsonl(file) is None


def test_an_index_has_eight_bytes_for_several_lines(tmp_path):
    file = tmp_path / "x"
    file.write_text("text\n" * 70_000)
    assert LineIndex(file).nbytes == 8 * (70_000 // 64 + 2)


def test_rows_of_qna(tmp_path):
    file = tmp_path / "x.jsonl"
    passages = {"is_selected": [0, 1], "passage_text": ["a", "b"]}
    rows = [{"query_id": i, "query": "word", "passages": passages} for i in range(3)]
    file.write_text("\n\n".join(map(json.dumps, rows)))
    indexed = index_qna_rows(file)
    assert [*indexed.lists([2, 0, 1])] == [[*read_qna_rows(file)][i] for i in (2, 0, 1)]
