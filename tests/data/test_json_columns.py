import gzip
import json
import re
import tracemalloc

import ijson
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from t5rank.data import json_columns
from t5rank.data.json_columns import read_column

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(), values, max_size=3),
    max_leaves=8,
)
ROWS = st.dictionaries(st.text(), JSON, max_size=4)


def written(folder, text):
    path = folder / "columns.json"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return path


@pytest.fixture
def small_chunks(monkeypatch):
    """The buffer is refilled every few bytes, so that values are cut everywhere."""
    monkeypatch.setattr(json_columns, "_CHUNK_BYTES", 3)


@settings(max_examples=60, deadline=None)
@given(
    columns=st.dictionaries(st.text(), ROWS, max_size=4),
    ascii_only=st.booleans(),
    indent=st.none() | st.just(1),
    chunk=st.integers(1, 40),
)
def test_every_column_is_what_json_reads(tmp_path_factory, columns, ascii_only, indent, chunk):
    path = tmp_path_factory.mktemp("columns") / "columns.json"
    path.write_text(json.dumps(columns, ensure_ascii=ascii_only, indent=indent), encoding="utf-8")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(json_columns, "_CHUNK_BYTES", chunk)
        got = {name: dict(read_column(path, name)) for name in columns}
    assert got == columns


def test_columns_are_what_ijson_reads(shared_data):
    path = shared_data / "msmarco_qna" / "columnar.json"
    with open(path, "rb") as file:
        expected = list(ijson.kvitems(file, "passages"))
    assert len(expected) == 200
    assert list(read_column(path, "passages")) == expected


def test_gzip_is_read_like_plain(tmp_path):
    path = written(tmp_path, gzip.compress(b'{"a": {"0": 1, "1": 2}}'))
    assert list(read_column(path, "a")) == [("0", 1), ("1", 2)]


def test_columns_that_are_no_objects_are_skipped(tmp_path):
    path = written(tmp_path, '{"v": 2.1, "x": [{"a": {"9": 9}}], "a": {"0": 1}}')
    assert list(read_column(path, "a")) == [("0", 1)]


def test_missing_column_gives_nothing(tmp_path):
    assert list(read_column(written(tmp_path, '{"a": {"0": 1}}'), "b")) == []


@pytest.mark.parametrize("number", [12345678901234567890, -1.5e-300, 1e22])
def test_number_cut_by_the_buffer_is_read_whole(tmp_path, small_chunks, number):
    path = written(tmp_path, json.dumps({"a": {"0": number, "1": 7}}))
    assert list(read_column(path, "a")) == [("0", number), ("1", 7)]


def test_bytes_that_are_not_utf8_and_lone_surrogates_come_out_as_surrogates(tmp_path):
    path = written(
        tmp_path, b'{"a": {"0": "x\xff", "1": "x\\ud800\\u0041", "2": "\\ud83d\\ude00"}}'
    )
    assert list(read_column(path, "a")) == [
        ("0", "x\udcff"),
        ("1", "x\ud800A"),
        ("2", "\U0001f600"),
    ]


WHOLE = '{"a": {"0": [1, "b"], "1": {"c": null}}, "d": {"0": 1}}'


@pytest.mark.parametrize("length", range(len(WHOLE)))
def test_every_truncation_is_an_error(tmp_path, small_chunks, length):
    with pytest.raises(ValueError, match=r"columns\.json' has malformed or truncated JSON at"):
        list(read_column(written(tmp_path, WHOLE[:length]), "a"))


@pytest.mark.parametrize(
    ("text", "byte"),
    [
        ("[1]", 1),
        ('{"a" 1}', 6),
        ('{"a": {"0": 1 2}}', 15),
        ('{"a": {"0": é}}', 13),
        ('{"é": {"0": 1}} x', 18),  # é is two bytes
        ('{"a": {"0": 1,}}', 15),
        ("{1: 2}", 3),
    ],
)
def test_malformed_json_is_an_error_that_names_the_byte(tmp_path, text, byte):
    with pytest.raises(ValueError, match=rf"malformed or truncated JSON at byte {byte},"):
        list(read_column(written(tmp_path, text), "a"))


def test_error_names_column_and_row(tmp_path):
    path = written(tmp_path, '{"a": {"0": 1, "7": oops}}')
    with pytest.raises(ValueError, match=re.escape("after column 'a', row '7' (Expecting value)")):
        list(read_column(path, "a"))


def test_endless_string_does_not_fill_the_memory(tmp_path, monkeypatch):
    monkeypatch.setattr(json_columns, "_CHUNK_BYTES", 1 << 10)
    monkeypatch.setattr(json_columns, "_MAX_VALUE_CHARACTERS", 1 << 12)
    path = written(tmp_path, '{"a": {"0": "' + "x" * (1 << 24))
    tracemalloc.start()
    with pytest.raises(ValueError, match="Unterminated string"):
        list(read_column(path, "a"))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    # The file is 16 MiB; what is held is the file object's buffer of 1 MiB, twice while it is read.
    assert peak < 3 * (1 << 20)
