"""What the commands print."""

import io
import json

import pytest

from t5rank import cli


def test_score_prints_in_input_order_or_sorted(model_dir, monkeypatch, capsys):
    lines = "a list of numbers\nthe string\nint\n"
    command = ["score", f"--model={model_dir}", "--query=list"]
    printed = []
    for more in ([], ["--sort"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert cli.main([*command, *more]) == 0
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        printed.append([(float(score), text) for score, text in rows])
    assert [text for _, text in printed[0]] == lines.splitlines()
    assert printed[1] == sorted(printed[0], reverse=True)


def test_errors_are_one_line(tmp_path, capsys):
    assert cli.main(["score", f"--model={tmp_path}", "--query=x"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("t5rank: ") and error.count("\n") == 1


def test_evaluate_on_the_published_run(shared_data, capsys, tmp_path):
    folder = shared_data / "trec_dl21"
    report = tmp_path / "report.json"
    command = ["evaluate", f"--qrels={folder / 'qrels.txt'}", f"--run={folder / 'run.bm25.txt'}"]
    assert cli.main([*command, f"--json={report}"]) == 0
    assert "0.4458" in capsys.readouterr().out
    (figures,) = json.loads(report.read_text())["runs"].values()
    assert figures["measures"]["nDCG@10"]["value"] == pytest.approx(0.4458, abs=5e-5)


@pytest.mark.parametrize(
    "command", ["quickstart", "train", "lists", "rerank", "score", "evaluate", "export"]
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert f"t5rank {command}" in capsys.readouterr().out
