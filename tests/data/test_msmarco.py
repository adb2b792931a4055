import gzip
import json
import tracemalloc
from collections import Counter

import numpy as np
import pyarrow
import pytest
from pyarrow import parquet

from t5rank.data import json_columns
from t5rank.data.msmarco import (
    qna_list_rows,
    qna_reader,
    read_qna_columnar,
    read_qna_parquet,
    read_qna_rows,
    read_qna_tfds,
    tfds_info,
)
from t5rank.data.ranked_list import RankedList

ROW = {
    "query_id": 7,
    "query": "cost of sales",
    "passages": [
        {"is_selected": 0, "passage_text": "one", "url": "u"},
        {"is_selected": 1, "passage_text": "two", "url": "u"},
    ],
}
LIST = RankedList("7", "cost of sales", ("7-0", "7-1"), ("one", "two"), (0.0, 1.0))
UNLABELLED = ROW | {"passages": [{"passage_text": "one"}, {"passage_text": "two"}]}


def columnar(folder, *rows, **columns):
    """A columnar file of the rows; a column given by name takes the place of theirs."""
    table = {name: {str(n): row[name] for n, row in enumerate(rows)} for name in ROW}
    path = folder / "qna.json"
    path.write_text(json.dumps(table | columns))
    return path


def row_lines(folder, *rows):
    path = folder / "qna.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def parallel(passages):
    return {name: [passage[name] for passage in passages] for name in passages[0]}


READERS = pytest.mark.parametrize(
    ("write", "read"), [(columnar, read_qna_columnar), (row_lines, read_qna_rows)]
)


@READERS
@pytest.mark.parametrize("passages", [ROW["passages"], parallel(ROW["passages"])])
def test_row_is_read_as_a_list(tmp_path, write, read, passages):
    assert list(read(write(tmp_path, ROW | {"passages": passages}))) == [LIST]


@READERS
def test_gzip_is_read_like_plain(tmp_path, write, read):
    path = write(tmp_path, ROW)
    path.write_bytes(gzip.compress(path.read_bytes()))
    assert list(read(path)) == [LIST]


@READERS
def test_same_text_is_merged_and_counted(tmp_path, write, read):
    again = {"is_selected": 1, "passage_text": "one"}
    row = ROW | {"passages": [*ROW["passages"], again]}
    counts = Counter()
    (merged,) = read(write(tmp_path, row), counts=counts)
    assert (merged.doc_ids, merged.labels) == (("7-0", "7-1"), (1.0, 1.0))
    assert counts["duplicate_documents_merged"] == 1


@READERS
def test_same_text_is_an_error_when_strict(tmp_path, write, read):
    row = ROW | {"passages": ROW["passages"][:1] * 2}
    with pytest.raises(ValueError, match=r"qna\.json.*has the text 'one' twice"):
        list(read(write(tmp_path, row), strict=True))


@READERS
def test_lists_with_nothing_selected_are_dropped_on_request(tmp_path, write, read):
    counts = Counter()
    path = write(tmp_path, ROW | {"passages": ROW["passages"][:1]}, ROW)
    assert list(read(path, keep_without_relevant=False, counts=counts)) == [LIST]
    assert counts["lists_without_relevant_dropped"] == 1


@READERS
def test_missing_labels_are_an_error(tmp_path, write, read):
    with pytest.raises(ValueError, match=r"Passage 0 in .* has no 'is_selected'.*labelled=False"):
        list(read(write(tmp_path, UNLABELLED)))


@READERS
def test_missing_labels_are_0_on_request(tmp_path, write, read):
    (unlabelled,) = read(write(tmp_path, UNLABELLED), labelled=False)
    assert unlabelled.labels == (0.0, 0.0)


@READERS
def test_missing_text_is_an_error(tmp_path, write, read):
    row = ROW | {"passages": [{"is_selected": 1}]}
    with pytest.raises(ValueError, match=r"Passage 0 in .* has no 'passage_text'"):
        list(read(write(tmp_path, row)))


@READERS
def test_parallel_lists_of_different_length_are_an_error(tmp_path, write, read):
    passages = {"is_selected": [0, 1], "passage_text": ["one"]}
    with pytest.raises(ValueError, match=r"lengths \{'is_selected': 2, 'passage_text': 1\}"):
        list(read(write(tmp_path, ROW | {"passages": passages})))


@READERS
@pytest.mark.parametrize("passages", ["[]", None, ["one"], {"passage_text": "one"}])
def test_passages_of_another_type_are_an_error(tmp_path, write, read, passages):
    with pytest.raises(ValueError, match="expected a dict of lists or a list of dicts"):
        list(read(write(tmp_path, ROW | {"passages": passages})))


def test_lone_surrogate_is_an_error_that_names_the_row_when_strict(tmp_path):
    path = columnar(tmp_path, ROW, ROW | {"query": "a\ud800"})
    with pytest.raises(ValueError, match=r"qna\.json', row '1' has broken UTF-8"):
        list(read_qna_columnar(path, strict=True))


def test_broken_utf8_is_replaced_and_counted(tmp_path):
    path = columnar(tmp_path, ROW)
    path.write_bytes(path.read_bytes().replace(b"cost", b"c\xffst"))
    counts = Counter()
    (repaired,) = read_qna_columnar(path, counts=counts)
    assert repaired.query == "c\ufffdst of sales"
    assert counts["broken_utf8_lines_replaced"] == 1


@pytest.mark.parametrize("column", ROW)
def test_missing_column_is_an_error_that_names_it(tmp_path, column):
    path = columnar(tmp_path, ROW, **{column: {}})
    with pytest.raises(ValueError, match=rf"qna\.json' has no rows in column '{column}'"):
        list(read_qna_columnar(path))


@pytest.mark.parametrize("column", ROW)
def test_column_that_ends_early_is_an_error_that_names_it(tmp_path, column):
    path = columnar(tmp_path, ROW, ROW, **{column: {"0": ROW[column]}})
    with pytest.raises(ValueError, match=rf"disagree after row '0' \(.*'{column}' has ended"):
        list(read_qna_columnar(path))


def test_columns_with_other_rows_are_an_error(tmp_path):
    path = columnar(tmp_path, ROW, query={"9": "cost of sales"})
    with pytest.raises(ValueError, match=r"disagree at the start .*'query' has row '9'"):
        list(read_qna_columnar(path))


def test_truncated_file_is_an_error_that_names_it(tmp_path):
    path = columnar(tmp_path, ROW, ROW)
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(ValueError, match=r"qna\.json' has malformed or truncated JSON"):
        list(read_qna_columnar(path))


def test_row_layout_given_to_the_columnar_reader_is_an_error_with_a_hint(tmp_path):
    with pytest.raises(ValueError, match="row layout"):
        list(read_qna_columnar(row_lines(tmp_path, ROW, ROW)))


def test_columnar_file_given_to_the_row_reader_is_an_error(tmp_path):
    with pytest.raises(ValueError, match="read_qna_columnar"):
        list(read_qna_rows(columnar(tmp_path, ROW)))


@pytest.mark.parametrize(
    ("line", "message"),
    [("{", "JSON in .*line 2 is malformed"), ("[]", "has list"), ('{"query": ""}', r"\['query'\]")],
)
def test_malformed_row_is_an_error_that_names_the_line(tmp_path, line, message):
    path = row_lines(tmp_path, ROW)
    path.write_text(path.read_text() + line)
    with pytest.raises(ValueError, match=message):
        list(read_qna_rows(path))


def test_real_lists_are_counted(shared_data):
    counts = Counter()
    lists = list(read_qna_columnar(shared_data / "msmarco_qna" / "columnar.json", counts=counts))
    assert len(lists) == counts["lists"] == 200
    assert sum(ranked.has_relevant for ranked in lists) == 189
    assert counts["lists_without_relevant"] == 200 - 189


def test_real_layouts_give_the_same_lists(shared_data):
    folder = shared_data / "msmarco_qna"
    columns = list(read_qna_columnar(folder / "columnar.json"))
    assert columns == list(read_qna_rows(folder / "hf_rows.jsonl"))


def peak_memory(path):
    tracemalloc.start()
    for _ in read_qna_columnar(path):
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def test_memory_does_not_grow_with_the_file(tmp_path, monkeypatch):
    monkeypatch.setattr(json_columns, "_CHUNK_BYTES", 1 << 14)
    passages = [{"is_selected": n == 3, "passage_text": f"{n} " + "x" * 300} for n in range(10)]
    small = columnar(tmp_path, *[ROW | {"passages": passages}] * 400)
    small_size, small_peak = small.stat().st_size, peak_memory(small)
    large = columnar(tmp_path, *[ROW | {"passages": passages}] * 3200)
    large_size, large_peak = large.stat().st_size, peak_memory(large)
    assert large_size > 7.9 * small_size
    assert large_peak < 1.1 * small_peak
    # Three cursors, each with a file buffer of 1 MiB, and a few chunks.
    assert large_peak < 3 * 1.5 * (1 << 20) < large_size


ROWS = [
    {
        "answers": ["an answer"],
        "passages": {
            "is_selected": [0, 1],
            "passage_text": ["a caf\u00e9", f"text {n}"],
            "url": ["u"] * 2,
        },
        "query": f"query {n}",
        "query_id": n,
        "query_type": "DESCRIPTION",
        "wellFormedAnswers": [],
    }
    for n in range(2500)
]


def test_parquet_of_hugging_face_gives_the_lists_of_its_rows(tmp_path):
    path = tmp_path / "train-00000-of-00007.parquet"
    parquet.write_table(pyarrow.Table.from_pylist(ROWS), path, row_group_size=1000)
    assert list(read_qna_parquet(path)) == list(qna_list_rows(ROWS))
    (first, *_) = read_qna_parquet(path)
    assert (first.query_id, first.documents, first.labels) == (
        "0",
        ("a café", "text 0"),
        (0.0, 1.0),
    )


def test_rows_of_tfds_are_numpy_arrays_of_bytes():
    """As `tfds.as_numpy` gives a Sequence of features: a dict of arrays."""
    row = ROWS[7]
    passages = {
        "is_selected": np.array(row["passages"]["is_selected"], np.int32),
        "passage_text": np.array(
            [text.encode() for text in row["passages"]["passage_text"]], object
        ),
    }
    tfds = {"query_id": np.int32(7), "query": row["query"].encode(), "passages": passages}
    assert list(qna_list_rows([tfds])) == list(qna_list_rows([row]))


def test_a_dataset_that_tfds_prepared_gives_the_lists_of_its_rows(tmp_path):
    import tensorflow_datasets as tfds

    class MsMarco(tfds.core.GeneratorBasedBuilder):
        """Rows with the features that `huggingface:ms_marco/v2.1` has and lists need."""

        VERSION = tfds.core.Version("1.0.0")

        def _info(self):
            passages = {"is_selected": np.int32, "passage_text": tfds.features.Text()}
            features = {
                "query_id": np.int32,
                "query": tfds.features.Text(),
                "passages": tfds.features.Sequence(passages),
            }
            return self.dataset_info_from_configs(features=tfds.features.FeaturesDict(features))

        def _split_generators(self, dl_manager):
            return {"train": self._generate_examples()}

        def _generate_examples(self):
            for n, row in enumerate(ROWS[:20]):
                passages = {k: row["passages"][k] for k in ("is_selected", "passage_text")}
                yield n, {"query_id": n, "query": row["query"], "passages": passages}

    builder = MsMarco(data_dir=str(tmp_path))
    builder.download_and_prepare()
    path = f"{builder.data_path}:train"
    lists = {ranked.query_id: ranked for ranked in read_qna_tfds(path)}  # TFDS shuffles rows
    assert lists == {ranked.query_id: ranked for ranked in qna_list_rows(ROWS[:20])}
    assert tfds_info(path) == f"{builder.data_path}/dataset_info.json"
    with pytest.raises(ValueError, match="has no split 'dev'; expected one of \\['train'\\]"):
        read_qna_tfds(f"{builder.data_path}:dev")


@pytest.mark.parametrize("content", [b"", b"PAR1 cut off"])
def test_damaged_parquet_is_an_error_that_names_the_file(tmp_path, content):
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(ValueError, match=r"File '.*a.parquet' is no whole parquet file"):
        list(read_qna_parquet(tmp_path / "a.parquet"))


def test_row_without_a_column_is_an_error_that_counts_rows():
    with pytest.raises(ValueError, match=r"Row in rows, row 2 has \['query'\]; expected an object"):
        list(qna_list_rows([ROWS[0], {"query": "q"}]))


def test_test_split_of_hugging_face_has_no_labels():
    row = {"query_id": 1, "query": "q", "passages": {"is_selected": [-1], "passage_text": ["a"]}}
    with pytest.raises(ValueError, match=r"no 'is_selected'.*labelled=False"):
        list(qna_list_rows([row]))
    (ranked,) = qna_list_rows([row], labelled=False)
    assert ranked.labels == (0.0,)


@pytest.mark.parametrize(
    ("name", "reader"),
    [
        ("train.json.gz", "read_qna_columnar"),
        ("train.jsonl.gz", "read_qna_rows"),
        ("train.parquet", "read_qna_parquet"),
        ("tfds:train", "read_qna_tfds"),
        ("folder", "read_jsonl"),
    ],
)
def test_a_source_is_read_by_what_it_is(tmp_path, name, reader):
    (tmp_path / "tfds").mkdir()
    (tmp_path / "tfds/dataset_info.json").write_text("{}")
    (tmp_path / "folder").mkdir()
    assert qna_reader(str(tmp_path / name)).__name__ == reader
