import json

import pytest

from t5rank import cli
from t5rank.data.folder import read_manifest
from t5rank.data.jsonl import read_jsonl
from t5rank.data.msmarco import read_qna_rows


@pytest.fixture
def rows(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with open("rows.jsonl", "w") as file:
        for i in range(7):
            texts = [f"text {i} {j % 3}" for j in range(4)]  # the last repeats the first
            passages = {"is_selected": [int(i == 3), 0, 0, 0], "passage_text": texts}
            row = {"query_id": i, "query": f"query {i}", "passages": passages}
            file.write(json.dumps(row) + "\n")
    return tmp_path


@pytest.mark.parametrize("workers", [1, 2])
def test_lists_are_those_of_the_file_whatever_the_shards(rows, workers):
    arguments = ["--qna=rows.jsonl", "--lists_per_shard=3", f"--workers={workers}"]
    assert cli.main(["lists", "out", *arguments]) == 0
    assert list(read_jsonl("out")) == list(read_qna_rows("rows.jsonl"))
    manifest = read_manifest("out")
    assert [shard["lists"] for shard in manifest["shards"]] == [3, 3, 1]
    assert manifest["counts"] == {
        **{"documents": 21, "lists": 7, "lists_without_relevant": 6},
        "duplicate_documents_merged": 7,
    }


def test_queries_are_compared_without_a_collection(rows):
    (rows / "test.tsv").write_text("t1\tQuery  5?\n")
    arguments = ["--evaluation=t=test.tsv", "--exclude_contaminated", "--drop_without_relevant"]
    assert cli.main(["lists", "out", "--qna=rows.jsonl", *arguments]) == 0
    manifest = read_manifest("out")
    assert manifest["contamination"] == {"t": {"same_query_text": {"lists": 1, "examples": ["5"]}}}
    assert manifest["counts"]["lists_without_relevant_dropped"] == 5  # and one contaminated


def test_lists_without_relevant_are_dropped_on_request(rows):
    assert cli.main(["lists", "out", "--qna=rows.jsonl", "--drop_without_relevant"]) == 0
    assert [ranked.query_id for ranked in read_jsonl("out")] == ["3"]
    assert read_manifest("out")["counts"]["lists_without_relevant_dropped"] == 6
