"""Errors name damaged files that t5rank wrote."""

import logging

import pytest

from t5rank import model_folder
from t5rank.formats.json_files import read_lines
from t5rank.runs import records, run_file


def test_half_a_last_line_is_left_out(tmp_path, caplog):
    file = tmp_path / "metrics.jsonl"
    file.write_text('{"step": 1, "part": "train"}\n{"step": 2, "pa')
    with caplog.at_level(logging.WARNING, logger="t5rank"):
        assert records.read_records(tmp_path) == [{"step": 1, "part": "train"}]
    assert f"'{file}' ends in half a line" in caplog.text


def test_a_whole_last_line_without_its_end_counts(tmp_path):
    (tmp_path / "lines").write_text('{"a": 1}\n{"a": 2}')
    assert read_lines(tmp_path / "lines") == [{"a": 1}, {"a": 2}]


@pytest.mark.parametrize("line", ['{"step": 2, "pa', "", "[]", '{"step": 3}', "\x00\x00"])
def test_damage_before_the_last_line_is_named_with_its_line(tmp_path, line):
    good = '{"step": 1, "part": "train"}'
    (tmp_path / "metrics.jsonl").write_text(f"{good}\n{line}\n{good}\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl', line 2, is .*; expected a JSON"):
        records.read_records(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]", "null", '{"metric": "mrr@10"}'])
def test_a_damaged_best_json_is_named(tmp_path, text):
    (tmp_path / "best.json").write_text(text)
    with pytest.raises(ValueError, match=r"best\.json' is .* latest checkpoint is used: delete it"):
        model_folder.load_best(tmp_path)


@pytest.mark.parametrize("text", ["", "{", "[1]"])
def test_a_damaged_run_json_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json' is .*Delete it"):
        run_file.load_run(tmp_path)
