import gzip

import pytest

from t5rank.data.gzip_lines import gzip_member, is_line_by_line
from t5rank.data.line_index import LineIndex, can_be_indexed

LINES = ["one", "", "tw\u00f6 " * 5000, "three"]


@pytest.fixture
def file(tmp_path):
    file = tmp_path / "x.gz"
    file.write_bytes(b"".join(gzip_member(f"{line}\n".encode(), 3) for line in LINES))
    return file


def test_a_line_is_read_by_its_number(file):
    lines = LineIndex(file)
    assert [lines[i].decode() for i in (3, 0, 2)] == [LINES[i] for i in (3, 0, 2)]
    assert lines.location(2) == f"file '{file}', line 3"


def test_any_reader_of_gzip_reads_the_file(file):
    with gzip.open(file, "rt", encoding="utf-8") as lines:
        assert lines.read().split("\n") == [*LINES, ""]


def test_files_of_both_kinds_are_indexed_together(file, tmp_path):
    plain, empty = tmp_path / "plain", tmp_path / "empty.gz"
    plain.write_text("a\nb\n")
    empty.write_bytes(gzip_member(b"", 3))
    lines = LineIndex(empty, plain, file)
    assert (len(lines), lines[1], lines[2]) == (6, b"b", b"one")


def test_gzip_of_another_make_is_not_indexed(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"one\ntwo\n"))
    assert not is_line_by_line(tmp_path / "x.gz") and not can_be_indexed(tmp_path / "x.gz")


def test_a_file_that_is_cut_short_is_an_error(file):
    file.write_bytes(file.read_bytes()[:-1])
    with pytest.raises(ValueError, match=r"x\.gz' has damaged gzip data at byte \d+ \(a member is"):
        LineIndex(file)


def test_a_damaged_line_is_an_error_when_it_is_read(file):
    data = bytearray(file.read_bytes())
    data[-9] ^= 1  # of the last line
    file.write_bytes(data)
    lines = LineIndex(file)
    assert lines[0] == b"one"
    with pytest.raises(ValueError, match="damaged gzip data at byte"):
        lines[3]
