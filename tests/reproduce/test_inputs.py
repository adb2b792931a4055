import hashlib

import pytest

from t5rank import cli
from t5rank.reproduce.inputs import Input, check_inputs

TEXT = b"one\n"
MD5 = f"md5:{hashlib.md5(TEXT).hexdigest()}"


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "a.txt").write_bytes(TEXT)
    return tmp_path


def test_the_right_file_passes_with_its_checksum(folder):
    (found,) = check_inputs([Input("a.txt", "", len(TEXT), MD5)], folder)
    assert (found["path"], found["size"], found["checksum"]) == ("a.txt", 4, MD5)


def test_a_file_that_everyone_makes_is_noted_by_its_own_checksum(folder):
    (found,) = check_inputs([Input("a.txt", "Make it.")], folder)
    assert found["checksum"] == f"sha256:{hashlib.sha256(TEXT).hexdigest()}"


def test_all_that_is_missing_is_named_at_once_with_where_to_get_it(folder):
    inputs = [Input("b.txt", "Download it.", 7, MD5), Input("c.txt", "Make it.")]
    with pytest.raises(ValueError, match=r"lacks 2 of 2") as error:
        check_inputs(inputs, folder)
    assert "b.txt is missing, 7 bytes. Download it." in str(error.value)
    assert "c.txt is missing. Make it." in str(error.value)


def test_a_file_of_another_size_is_refused(folder):
    with pytest.raises(ValueError, match=r"a\.txt has 4 bytes; expected 5\. Get it\."):
        check_inputs([Input("a.txt", "Get it.", 5, MD5)], folder)


def test_a_file_of_another_text_is_refused(folder):
    other = Input("a.txt", "Get it.", 4, "md5:0")
    with pytest.raises(ValueError, match=rf"a\.txt has {MD5}; expected md5:0\. Get it\."):
        check_inputs([other], folder)


def test_a_file_that_was_checked_is_read_again_only_if_it_changed(folder):
    inputs = [Input("a.txt", "", 4, MD5)]
    (before,) = check_inputs(inputs, folder)
    known = {**before, "checksum": "md5:0"}  # shows that it was not read
    with pytest.raises(ValueError, match="md5:0"):
        check_inputs(inputs, folder, [known])
    assert check_inputs(inputs, folder, [{**known, "changed": 0}]) == [before]


def test_check_says_where_each_file_comes_from_and_what_is_wrong(tmp_path, capsys):
    command = ["reproduce", "monot5", "--size", "tiny", "--data", str(tmp_path), "--check"]
    assert cli.main(command) == 1
    said = capsys.readouterr()
    assert "t5_vocab/spiece.model\n  791,656 bytes, sha256:d60acb12" in said.out
    assert "bucket t5-data" in said.out
    assert f"Data folder '{tmp_path}' lacks 13 of 13 files" in said.err


def test_check_passes_with_the_right_files(shared_data, capsys):
    command = ["reproduce", "monot5", "--size", "tiny", "--data", str(shared_data), "--check"]
    assert cli.main(command) == 0
    assert capsys.readouterr().out.endswith("has all 13 files.\n")
