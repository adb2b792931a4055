import gzip
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.data.files import (
    decode_line,
    is_broken,
    open_binary,
    open_text_writer,
    read_lines,
    repaired,
)


@pytest.mark.parametrize("name", ["plain.txt", "misnamed.gz"])
def test_plain_file_is_told_by_content_not_by_suffix(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"one\ntwo")
    with open_binary(path) as file:
        assert file.read() == b"one\ntwo"


@pytest.mark.parametrize("name", ["packed.gz", "misnamed.txt"])
def test_gzip_file_is_told_by_content_not_by_suffix(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(gzip.compress(b"one\ntwo"))
    with open_binary(path) as file:
        assert file.read() == b"one\ntwo"


def test_lines_are_numbered_from_1_and_blank_ones_left_out(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"one\n\n \t\r\nfour\r\nfive")
    assert list(read_lines(path)) == [(1, b"one"), (4, b"four"), (5, b"five")]


def test_lines_end_at_newlines_only(tmp_path):
    path = tmp_path / "lines.txt"
    text = "a\u2028b\x85c\x0cd"  # what str.splitlines would split
    path.write_text(text + "\n", encoding="utf-8", newline="")
    assert [line.decode() for _, line in read_lines(path)] == [text]


def test_byte_order_mark_is_left_out(tmp_path):
    path = tmp_path / "lines.txt"
    path.write_bytes(b"\xef\xbb\xbfq1\ttext\n")
    assert list(read_lines(path)) == [(1, b"q1\ttext")]


@pytest.mark.parametrize("kept", [5, 200])
def test_truncated_gzip_is_an_error_that_names_the_file(tmp_path, kept):
    path = tmp_path / "cut.gz"
    whole = gzip.compress(b"".join(b"line %d\n" % (n * n) for n in range(1000)))
    path.write_bytes(whole[:kept])
    assert kept < len(whole)
    with pytest.raises(ValueError, match=r"cut\.gz' has truncated or damaged gzip"):
        list(read_lines(path))


def test_damaged_gzip_is_an_error_that_names_the_file(tmp_path):
    path = tmp_path / "damaged.gz"
    packed = bytearray(gzip.compress(b"text" * 1000))
    packed[-6] ^= 0xFF  # the checksum
    path.write_bytes(packed)
    with pytest.raises(ValueError, match=r"damaged\.gz' has truncated or damaged gzip"):
        list(read_lines(path))


def test_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"File '.*nowhere\.tsv' does not exist"):
        list(read_lines(tmp_path / "nowhere.tsv"))


def test_broken_utf8_is_an_error_that_names_file_line_and_byte():
    with pytest.raises(ValueError, match=r"File 'x', line 3 has broken UTF-8 \(byte 0xff at byte"):
        decode_line(b"caf\xff", place="file 'x', line 3")


def test_broken_utf8_is_replaced_and_counted_when_not_strict():
    counts = Counter()
    text = decode_line(b"\xff a \xff", place="file 'x', line 3", strict=False, counts=counts)
    assert (text, counts) == ("\ufffd a \ufffd", {"broken_utf8_lines_replaced": 1})


@given(st.binary())
def test_text_is_broken_exactly_if_its_bytes_are(raw):
    try:
        raw.decode("utf-8")
        valid = True
    except UnicodeDecodeError:
        valid = False
    assert is_broken(raw.decode("utf-8", "surrogateescape")) == (not valid)


@given(st.text(st.characters()))
def test_repaired_text_is_never_broken(text):
    assert not is_broken(repaired(text))


@pytest.mark.parametrize("name", ["out.txt", "out.txt.gz"])
def test_written_lines_read_back(tmp_path, name):
    with open_text_writer(tmp_path / name) as file:
        file.write("één\ntwee\n")
    assert list(read_lines(tmp_path / name)) == [(1, "één".encode()), (2, b"twee")]
    assert (tmp_path / name).read_bytes().startswith(b"\x1f\x8b") == name.endswith(".gz")
