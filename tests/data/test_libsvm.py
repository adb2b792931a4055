import gzip

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from t5rank.data.libsvm import FeatureRows, read_libsvm

WITH_IDS = "2 qid:10 1:0.5 3:-1e2 # docid = GX029\n0 qid:10 2:1\n\n1 qid:7\n"
FEATURES = [[0.5, 0, -100], [0, 1, 0], [0, 0, 0]]


def written(folder, text, sizes=None, name="rank.train"):
    path = folder / name
    path.write_text(text)
    if sizes is not None:
        (folder / f"{name}.query").write_text(sizes)
    return path


def test_documents_with_query_ids(tmp_path):
    rows = read_libsvm(written(tmp_path, WITH_IDS))
    assert rows.features.tolist() == FEATURES
    assert rows.labels.tolist() == [2, 0, 1]
    assert rows.group_sizes.tolist() == [2, 1]
    assert rows.query_ids == ("10", "7")
    assert rows.features.dtype == rows.labels.dtype == np.float32


@pytest.mark.parametrize("explicit", [False, True])
def test_documents_with_a_file_of_group_sizes(tmp_path, explicit):
    path = written(tmp_path, "1 1:1\n0 1:2\n2 1:3\n", "2\n1\n")
    rows = read_libsvm(path, query_path=f"{path}.query" if explicit else None)
    assert rows.features.tolist() == [[1], [2], [3]]
    assert rows.group_sizes.tolist() == [2, 1]
    assert rows.query_ids == ("1", "2")


def test_query_ids_of_the_lines_come_before_a_file_beside(tmp_path):
    assert read_libsvm(written(tmp_path, WITH_IDS, "3\n")).query_ids == ("10", "7")


def test_gzip(tmp_path):
    (tmp_path / "x.gz").write_bytes(gzip.compress(WITH_IDS.encode()))
    assert read_libsvm(tmp_path / "x.gz").features.tolist() == FEATURES


def test_number_of_features_may_be_named(tmp_path):
    assert read_libsvm(written(tmp_path, WITH_IDS), num_features=5).features.shape == (3, 5)


def test_first_feature_may_be_0(tmp_path):
    rows = read_libsvm(written(tmp_path, "1 qid:1 0:7 2:8\n"), zero_based=True)
    assert rows.features.tolist() == [[7, 0, 8]]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (
            "1 qid:1 1:2\nx qid:1 1:2\n",
            r"Label in file '.*rank\.train', line 2 has 'x'; expected a",
        ),
        ("nan qid:1 1:2\n", r"Label in file '.*', line 1 has 'nan'; expected a finite number"),
        ("1 qid:1 1:inf\n", r"Feature 1 in file '.*', line 1 has 'inf'; expected a finite number"),
        ("1 qid:1 1:1e39\n", r"Feature 1 in .* has '1e39'; expected a finite number"),
        ("1 qid:1 1:1_0\n", r"Feature 1 in .* has '1_0'; expected a finite number"),
        ("1 qid:1 4:\n", r"Feature 4 in .* has ''; expected a finite number"),
        ("1 qid:1 1:2:3\n", r"Feature 1 in .* has '2:3'; expected a finite number"),
        ("1 qid:1 3\n", r"Feature 3 in .* has ''"),
        ("1 qid:1 a:1\n", r"Feature 'a' in .*, line 1 has no number before a colon"),
        ("1 1:1 qid:1\n", r"Feature 'qid' in .* expected 'number:value', and 'qid:id' only after"),
        ("1 qid:1 -1:1\n", r"Feature '-1' in .* has no number before a colon"),
        ("1 qid:1 0:1\n", r"Feature 0 in .* is outside; expected 1 to .* Pass zero_based=True"),
        ("1 qid:1 2:1 1:1 2:3\n", r"Feature 2 in .*, line 1 is there twice"),
        ("1 qid:1 1:1\n1 1:1\n", r"File '.*', line 2 has no 'qid:'; expected one after the label"),
        ("1 1:1\n", r"File '.*', line 1 has no 'qid:'; .* or group sizes in query_path"),
        ("1 qid:1\n1 qid:2\n1 qid:1\n", r"Query '1' in file '.*', line 3 comes again .* Sort the"),
        ("# a comment\n", r"Label in .*, line 1 has ''"),
        ("\n", r"File '.*rank\.train' has no document"),
    ],
)
def test_malformed_file_is_an_error(tmp_path, text, message):
    with pytest.raises(ValueError, match=message):
        read_libsvm(written(tmp_path, text))


def test_feature_beyond_the_number_named_is_an_error(tmp_path):
    with pytest.raises(ValueError, match=r"Feature 3 in .*, line 1 is outside; expected 1 to 2\."):
        read_libsvm(written(tmp_path, WITH_IDS), num_features=2)


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ("1\n", r"rank\.train\.query' has 1 groups of 1 documents; expected the 2 documents of"),
        (
            "1\n2\n",
            r"has 2 groups of 3 documents; expected the 2 documents of file '.*rank\.train'",
        ),
        ("1\n0\n1\n", r"Group size in file '.*\.query', line 2 has '0'; expected .* at least 1"),
        ("two\n", r"Group size in file '.*\.query', line 1 has 'two'"),
        ("-2\n", r"Group size in file '.*\.query', line 1 has '-2'"),
    ],
)
def test_group_sizes_must_add_up(tmp_path, sizes, message):
    with pytest.raises(ValueError, match=message):
        read_libsvm(written(tmp_path, "1 1:1\n0 1:2\n", sizes))


def test_missing_file_is_an_error_that_names_it(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"File '.*nothing' does not exist"):
        read_libsvm(tmp_path / "nothing")


GROUPS = st.lists(st.integers(1, 4), min_size=1, max_size=5)


def rows_of(sizes):
    count = sum(sizes)
    features = np.arange(1, 2 * count + 1, dtype=np.float32).reshape(count, 2)
    ids = tuple(f"q{n}" for n in range(len(sizes)))
    return FeatureRows(features, np.arange(count, dtype=np.float32), np.array(sizes), ids)


@given(GROUPS, st.integers(0, 3))
def test_padded_lists_hold_every_document_once_in_order(sizes, more):
    rows = rows_of(sizes)
    lists = rows.padded(max(sizes) + more)
    assert lists.features.shape == (len(sizes), max(sizes) + more, 2)
    assert lists.where.sum(axis=-1).tolist() == sizes
    assert lists.features[lists.where].tolist() == rows.features.tolist()
    assert lists.labels[lists.where].tolist() == rows.labels.tolist()
    assert not lists.features[~lists.where].any()
    assert not lists.labels[~lists.where].any()


@given(GROUPS)
def test_selected_queries_are_those_of_the_padded_lists(sizes):
    rows = rows_of(sizes)
    chosen = list(range(len(sizes)))[::-2]
    selected = rows.select(chosen)
    np.testing.assert_array_equal(
        selected.padded(max(sizes)).features, rows.padded().features[chosen]
    )
    assert selected.query_ids == tuple(f"q{n}" for n in chosen)


def test_no_document_is_dropped_silently():
    with pytest.raises(ValueError, match=r"Query 'q1' has 3 documents; .* list_size=2"):
        rows_of([1, 3]).padded(2)


def test_rows_that_do_not_belong_together_are_an_error():
    with pytest.raises(ValueError, match=r"Rows have \(1, 2, 1\) features, labels and grouped"):
        FeatureRows(np.zeros((1, 2)), np.zeros(2), np.array([1]), ("q",))
    with pytest.raises(ValueError, match="Rows have 1 group sizes and 0 query ids"):
        FeatureRows(np.zeros((1, 2)), np.zeros(1), np.array([1]), ())


def test_real_files(shared_data):
    train = read_libsvm(shared_data / "ltr_lightgbm" / "rank.train")
    test = read_libsvm(shared_data / "ltr_lightgbm" / "rank.test", num_features=300)
    assert train.features.shape == (3005, 300)
    assert test.features.shape == (768, 300)
    assert (len(train.group_sizes), len(test.group_sizes)) == (201, 50)
    assert np.unique(train.labels).tolist() == [0, 1, 2, 3, 4]
    # The first line: its label, its first feature, and how many features it names.
    assert train.labels[0] == 0
    assert train.features[0, 9] == np.float32(0.89)
