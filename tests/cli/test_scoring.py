"""`t5rank score`, `rerank` and `evaluate` on lists of one's own, faulty data and the terminal."""

import io
import json
import os
import re
import threading

import pytest

from t5rank import Reranker, cli
from t5rank.data import trec
from t5rank.inference import reranker as reranker_module


def own_lists(path, *lists):
    rows = [
        {"query_id": q, "query": text, "documents": [{"doc_id": d, "text": t} for d, t in docs]}
        for q, text, docs in lists
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def rerank_lists(model_dir, path, output, *more):
    return cli.main(
        ["rerank", f"--model={model_dir}", f"--lists={path}", f"--output={output}", *more]
    )


def test_lists_of_ones_own_are_reranked_without_labels_and_with_blank_documents(
    tmp_path, model_dir
):
    lists = [("q1", "list", [("d1", "int"), ("d2", "")]), ("q2", "int", [("d3", "a list")])]
    path = own_lists(tmp_path / "lists.jsonl", *lists)
    assert rerank_lists(model_dir, path, tmp_path / "run.txt") == 0
    reranker, run = Reranker.from_pretrained(model_dir), trec.read_run(tmp_path / "run.txt")
    assert list(run) == ["q1", "q2"]
    for query_id, query, documents in lists:
        ids, texts = zip(*documents, strict=True)
        expected = dict(zip(ids, reranker.score(query, texts), strict=True))
        assert run[query_id] == pytest.approx(expected, abs=1e-5)


def test_a_run_goes_to_standard_output_and_messages_to_standard_error(
    tmp_path, model_dir, capfd, monkeypatch
):
    path = own_lists(tmp_path / "lists.jsonl", ("q1", "list", [("d1", "int"), ("d2", "a list")]))
    assert rerank_lists(model_dir, path, tmp_path / "run.txt") == 0
    capfd.readouterr()
    monkeypatch.chdir(tmp_path)
    assert rerank_lists(model_dir, path, "-") == 0
    printed = capfd.readouterr()
    assert printed.out == (tmp_path / "run.txt").read_text()
    assert "Wrote 2 documents" in printed.err
    assert not [name for name in os.listdir(tmp_path) if name.startswith("-")]


FAULTS = {
    "twice": ("list", [("d1", "int"), ("d1", "a list")], "duplicate documents merged"),
    "broken": ("list", [("d1", "in\ud800t")], "broken utf8 lines replaced"),
    "long": ("list " * 90, [("d1", "int")], "queries cut"),
}


@pytest.mark.parametrize("fault", FAULTS)
def test_a_fault_stops_the_command_and_its_advice_works(tmp_path, model_dir, capfd, fault):
    query, documents, repair = FAULTS[fault]
    path = own_lists(tmp_path / "lists.jsonl", ("q1", query, documents))
    assert rerank_lists(model_dir, path, tmp_path / "run.txt") == 1
    *_, error = capfd.readouterr().err.splitlines()
    assert re.search(r", or give --lenient to [^.]*\.$", error)
    assert rerank_lists(model_dir, path, tmp_path / "run.txt", "--lenient") == 0
    assert f"1 {repair}" in capfd.readouterr().err
    assert len(trec.read_run(tmp_path / "run.txt")["q1"]) == 1


def test_what_was_done_strictly_is_taken_by_a_lenient_command_only(
    tmp_path, model_dir, monkeypatch
):
    monkeypatch.setattr(reranker_module, "CHUNK", 1)
    good = [(f"q{i}", "list", [("d1", "int")]) for i in range(5)]
    path = own_lists(tmp_path / "lists.jsonl", *good, ("q9", "list " * 90, [("d1", "int")]))
    output = tmp_path / "run.txt"
    assert rerank_lists(model_dir, path, output) == 1
    done = (tmp_path / "run.txt.partial").read_text().splitlines()
    assert len(done) > 1
    assert rerank_lists(model_dir, path, output, "--lenient") == 0
    assert len(trec.read_run(output)) == 6
    header = {**json.loads(done[0]), "lenient": True}
    (tmp_path / "run.txt.partial").write_text("\n".join([json.dumps(header), *done[1:]]) + "\n")
    assert rerank_lists(model_dir, path, output) == 1


def test_a_command_that_failed_at_once_leaves_nothing_that_blocks(tmp_path, model_dir):
    path = own_lists(tmp_path / "lists.jsonl", ("q1", "list", [("d 1", "int")]))
    assert rerank_lists(model_dir, path, tmp_path / "run.txt") == 1
    own_lists(path, ("q1", "list", [("d1", "int")]))
    assert rerank_lists(model_dir, path, tmp_path / "run.txt") == 0


def standard_input(monkeypatch, data):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(data), encoding="ascii"))


def test_score_reads_bytes_and_says_which_are_no_text(model_dir, monkeypatch, capsys):
    data = b"\xef\xbb\xbfa list\r\n\nin\xfft\tx"
    command = ["score", f"--model={model_dir}", "--query=list"]
    standard_input(monkeypatch, data)
    assert cli.main(command) == 1
    error = "t5rank: Line 3 of standard input has bytes that are not UTF-8; expected text. "
    assert capsys.readouterr().err.startswith(error)
    standard_input(monkeypatch, data)
    assert cli.main([*command, "--lenient"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("\t", 1)[1] for line in lines] == ["a list", "", "in\ufffdt\tx"]


def test_score_without_standard_input_says_so(model_dir, monkeypatch, capsys):
    monkeypatch.setattr("sys.stdin", None)
    assert cli.main(["score", f"--model={model_dir}", "--query=list"]) == 1
    assert "Standard input is closed; expected" in capsys.readouterr().err


def test_a_query_of_bytes_that_are_no_text_is_an_error(model_dir, monkeypatch, capsys):
    standard_input(monkeypatch, b"a list\n")
    assert cli.main(["score", f"--model={model_dir}", "--query=l\udcff"]) == 1
    assert "Option '--query' has bytes that are not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "option"),
    [
        ("rerank --model x --lists x --output x", "tag"),
        ("convert x y --to t5rank", "prompt"),
        ("train --gin_file x", "gin"),
        ("evaluate --qrels x --run x", "measures"),
    ],
)
def test_an_option_of_bytes_that_are_no_text_is_an_error(command, option, capsys):
    assert cli.main([*command.split(), f"--{option}=x=\udcff"]) == 1
    assert f"Option '--{option}' has bytes that are not UTF-8" in capsys.readouterr().err


@pytest.mark.parametrize("command", ["lists -", "export --model x --format onnx --output -"])
def test_a_folder_cannot_be_standard_output(command, capsys):
    with pytest.raises(SystemExit):
        cli.main(command.split())
    assert "'-' is standard output; expected a folder" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("piped", "message"),
    [("collection", "is a pipe or a terminal; expected a file on disk"), ("run", None)],
)
def test_a_pipe_is_read_where_one_reading_is_enough(tmp_path, model_dir, capsys, piped, message):
    texts = {"queries": "q1\tlist\n", "collection": "d1\tint\n", "run": "q1 Q0 d1 1 1.0 x\n"}
    for name, text in texts.items():
        (tmp_path / name).write_text(text)
    (tmp_path / piped).unlink()
    os.mkfifo(tmp_path / piped)
    writer = (tmp_path / piped).write_text
    threading.Thread(target=writer, args=(texts[piped],), daemon=True).start()
    options = [f"--{name}={tmp_path / name}" for name in texts]
    output = f"--output={tmp_path / 'out.txt'}"
    status = cli.main(["rerank", f"--model={model_dir}", *options, output])
    assert status == (message is not None)
    assert message is None or message in capsys.readouterr().err


def test_evaluate_takes_lists_and_prints_json(tmp_path, capsys):
    row = {"doc_id": "d1", "text": "x", "label": 1}
    lists = {"query_id": "q1", "query": "x", "documents": [row]}
    (tmp_path / "lists.jsonl").write_text(json.dumps(lists))
    trec.write_run(tmp_path / "run.txt", {"q1": {"d2": 2.0, "d1": 1.0}})
    files = [f"--qrels={tmp_path / 'lists.jsonl'}", f"--run=a={tmp_path / 'run.txt'}"]
    assert cli.main(["evaluate", *files, "--json=-"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["runs"]["a"]["measures"]["RR@10"]["value"] == 0.5
    assert "| RR@10" in printed.err.replace("  ", "")
