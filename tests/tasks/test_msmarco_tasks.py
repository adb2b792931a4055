import collections
import itertools
import json

import numpy as np
import pytest
import seqio

from t5rank import cli
from t5rank.data.msmarco import read_qna_rows
from t5rank.tasks import msmarco
from t5rank.tasks.errors import clear_errors
from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

_numbers = itertools.count()
PASSAGE_FILES = {
    "collection": "collection.tsv",
    "queries": "queries.tsv",
    "qrels": "qrels.txt",
    "run": "run.txt",
}


def new_name():
    return f"msmarco_{next(_numbers)}"


def read(task, split, list_size=None, length=64, count=None, **settings):
    lengths = {"inputs": (list_size, length), "targets": None, "mask": None}
    lengths["label"] = list_size and (list_size,)
    with clear_errors():
        data = seqio.get_mixture_or_task(task).get_dataset(
            lengths, split=split, shuffle=False, **settings
        )
        return list((data if count is None else data.take(count)).as_numpy_iterator())


def labels(example):
    names = (name.decode() for name in example["doc_ids"])
    return dict(zip(names, example["label"].tolist(), strict=True))


def write_qna(folder, name, *selections):
    rows = [
        {
            "query_id": number,
            "query": "which word",
            "passages": [
                {"is_selected": selected, "passage_text": f"text {number} {i}", "url": "u"}
                for i, selected in enumerate(selection)
            ],
        }
        for number, selection in enumerate(selections)
    ]
    (folder / name).write_text("".join(json.dumps(row) + "\n" for row in rows))


def test_qna_rows_become_lists(tmp_path, vocabulary_file):
    write_qna(tmp_path, "dev.jsonl", (0, 1, 0), (0, 0))
    task = msmarco.qna_task(
        str(tmp_path), vocabulary_file, {"validation": "dev.jsonl"}, name=new_name()
    )
    expected = [{"0-0": 0.0, "0-1": 1.0, "0-2": 0.0}, {"1-0": 0.0, "1-1": 0.0}]
    assert [labels(example) for example in read(task, "validation")] == expected


def test_qna_lists_with_nothing_selected_can_be_dropped(tmp_path, vocabulary_file):
    write_qna(tmp_path, "dev.jsonl", (0, 0), (0, 1))
    task = msmarco.qna_task(
        str(tmp_path),
        vocabulary_file,
        {"validation": "dev.jsonl"},
        name=new_name(),
        keep_without_relevant=False,
    )
    assert [e["query_id"] for e in read(task, "validation")] == [b"1"]


@pytest.fixture
def passages(tmp_path):
    """Two queries: the run of q1 lacks its relevant passage d4, q2 has no relevant one."""
    (tmp_path / "collection.tsv").write_text("".join(f"d{i}\ttext {i}\n" for i in range(5)))
    (tmp_path / "queries.tsv").write_text("q1\tone word\nq2\tanother word\n")
    (tmp_path / "qrels.txt").write_text("q1 0 d1 1\nq1 0 d4 1\nq2 0 d0 0\n")
    run = [("q1", "d0"), ("q1", "d1"), ("q1", "d2"), ("q2", "d3"), ("q2", "d0")]
    lines = [f"{query} Q0 {doc} {n} {-n} tag\n" for n, (query, doc) in enumerate(run, 1)]
    (tmp_path / "run.txt").write_text("".join(lines))
    return tmp_path


def passage_task(folder, vocabulary_file, **settings):
    splits = {"train": PASSAGE_FILES, "validation": PASSAGE_FILES}
    return msmarco.passage_task(str(folder), vocabulary_file, splits, name=new_name(), **settings)


def test_passage_validation_lists_are_the_run(passages, vocabulary_file):
    expected = [{"d0": 0.0, "d1": 1.0, "d2": 0.0}, {"d3": 0.0, "d0": 0.0}]
    task = passage_task(passages, vocabulary_file)
    assert [labels(example) for example in read(task, "validation")] == expected


def test_passage_training_lists_hold_a_relevant_passage_that_the_run_lacks(
    passages, vocabulary_file
):
    task = passage_task(passages, vocabulary_file, one_positive=False)
    (example,) = read(task, "train", list_size=10)  # q2 has none and is dropped
    assert labels(example) == {"d0": 0.0, "d1": 1.0, "d2": 0.0, "d4": 1.0}


def test_passage_training_lists_have_one_positive_by_default(passages, vocabulary_file):
    task = passage_task(passages, vocabulary_file)
    examples = read(task, "train", list_size=10, num_epochs=20, seed=0)
    positives = collections.Counter(
        name for example in examples for name, label in labels(example).items() if label
    )
    assert positives.keys() == {"d1", "d4"}
    assert positives.total() == len(examples) == 20


def test_passage_topn_cuts_the_run(passages, vocabulary_file):
    task = passage_task(passages, vocabulary_file, topn=1)
    assert [set(labels(e)) for e in read(task, "validation")] == [{"d0"}, {"d3"}]


@pytest.fixture
def lists_folder(passages):
    """What `t5rank lists` makes of the passages: q1 with its relevant ones, d0 and d2."""
    run = "q1 Q0 d0 1 -7.5 t\nq1 Q0 d1 2 -8 t\nq1 Q0 d2 3 -9 t\nq1 Q0 d4 4 -10 t\n"
    (passages / "teacher.txt").write_text(run)
    options = ["--negatives=2", f"--teacher={passages / 'teacher.txt'}"]
    options += [f"--{kind}={passages / file}" for kind, file in PASSAGE_FILES.items()]
    assert cli.main(["lists", str(passages / "lists"), *options]) == 0
    return passages


@pytest.mark.parametrize("task_function", [msmarco.passage_task, msmarco.qna_task])
def test_a_split_may_be_a_folder_of_lists(lists_folder, vocabulary_file, task_function):
    splits = {"train": "lists", "validation": "lists"}
    task = task_function(
        str(lists_folder), vocabulary_file, splits, name=new_name(), one_positive=True
    )
    whole = {"d0": 0.0, "d1": 1.0, "d2": 0.0, "d4": 1.0}
    assert [labels(example) for example in read(task, "validation")] == [whole]
    (example,) = read(task, "train", list_size=10)
    assert sorted(labels(example).values()) == [0.0, 0.0, 1.0]


def test_labels_of_training_may_be_the_teachers_scores(lists_folder, vocabulary_file):
    splits = {"train": "lists", "validation": "lists"}
    settings = {"name": new_name(), "label": "teacher_score"}
    task = msmarco.passage_task(str(lists_folder), vocabulary_file, splits, **settings)
    scores = {"d0": -7.5, "d1": -8.0, "d2": -9.0, "d4": -10.0}
    for example in read(task, "train", list_size=10, num_epochs=4, seed=0):
        got = labels(example)
        assert got == {doc_id: scores[doc_id] for doc_id in got}
        assert len(got.keys() & {"d1", "d4"}) == 1  # one_positive goes by the labels
    assert [set(labels(e).values()) for e in read(task, "validation")] == [{0.0, 1.0}]


def test_topn_of_a_folder_of_lists_is_refused(lists_folder, vocabulary_file):
    with pytest.raises(ValueError, match="'topn' has the value 3 for the folder 'lists'"):
        msmarco.passage_task(
            str(lists_folder), vocabulary_file, {"train": "lists"}, name=new_name(), topn=3
        )


def test_real_qna_tokens_are_those_of_the_pair_encoder(shared_data):
    file, folder = shared_data / "t5_vocab" / "spiece.model", shared_data / "msmarco_qna"
    splits = {"validation": "hf_rows.jsonl"}
    task = msmarco.qna_task(str(folder), str(file), splits, name=new_name())
    encoder = PairEncoder(Vocabulary(file), Prompt(), 64)
    examples = read(task, "validation")
    expected = list(read_qna_rows(folder / "hf_rows.jsonl"))
    assert len(examples) == len(expected) == 200
    for example, item in zip(examples, expected, strict=True):
        rows = [row[: np.count_nonzero(row)].tolist() for row in example["inputs"]]
        pairs = encoder.encode(item.query, item.documents)
        assert rows == [pair.tokens.tolist() for pair in pairs]


def test_real_qna_layouts_give_the_same_lists(shared_data):
    file, folder = shared_data / "t5_vocab" / "spiece.model", shared_data / "msmarco_qna"
    splits = {"columnar": "columnar.json", "rows": "hf_rows.jsonl"}
    task = msmarco.qna_task(str(folder), str(file), splits, name=new_name())
    columnar, rows = (
        {e["query_id"]: (labels(e), e["inputs"].tolist()) for e in read(task, split)}
        for split in splits
    )
    assert columnar == rows


def test_real_training_lists_of_passages(shared_data):
    file, folder = shared_data / "t5_vocab" / "spiece.model", shared_data / "msmarco_passage_train"
    splits = {"train": PASSAGE_FILES | {"run": "run.bm25.txt"}}
    task = msmarco.passage_task(str(folder), str(file), splits, name=new_name())
    for example in read(task, "train", list_size=12, count=50, seed=0):
        assert len(labels(example)) == 12
        assert sum(label > 0 for label in labels(example).values()) == 1
        assert example["inputs"].shape[1] <= 64
