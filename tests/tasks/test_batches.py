"""Batches of one task, or of N."""

import itertools
import json
import types

import numpy as np
import pytest
import seqio

from t5rank.t5x import plugin
from t5rank.tasks import batches, jsonl, mixtures
from t5rank.tasks.feature_converters import RankingFeatureConverter
from t5rank.train.data import train_batches

LENGTHS = {"inputs": (1, 48), "targets": (1, 1), "label": (1,), "mask": (1,)}
_names = (f"batches_{number}" for number in itertools.count())


def line(task, number, query=None, text=None):
    """A list whose label says its task and number: 10.003 is list 3 of task 1."""
    label = 10 * task + number / 1000
    document = {"doc_id": "d", "text": text or f"text {task} {number}", "label": label}
    query = query or f"word {task} {number}"
    return json.dumps({"query_id": f"{number}", "query": query, "documents": [document]})


@pytest.fixture
def make(tmp_path, vocabulary_file):
    """Makes a mixture of tasks with these lines."""

    def mixture(*tasks, number=1, rates=None):
        names = []
        for lines in tasks:
            names.append(next(_names))
            (tmp_path / names[-1]).write_text("\n".join(lines))
            splits = {"train": names[-1]}
            jsonl.jsonl_task(str(tmp_path), splits, vocabulary_file, name=names[-1])
        return mixtures.mixture(names, rates, next(_names), datasets_per_batch=number)

    return mixture


def several(make, **settings):
    return make(*([line(task, n) for n in range(40)] for task in (1, 2, 3)), **settings)


def labels(mixture, size, number, seed=0):
    """The labels of the first batches."""
    read = train_batches(mixture, LENGTHS, size, seed)
    return [batch["label"][:, 0] for batch in itertools.islice(read, number)]


@pytest.mark.parametrize("number", [1, 2])
def test_each_task_fills_an_equal_part_of_a_batch(make, number):
    found = labels(several(make, number=number), 6, 20)
    tasks = np.stack(found).astype(int).reshape(20, number, 6 // number) // 10
    assert (tasks == tasks[:, :, :1]).all()
    drawn = [tuple(batch) for batch in tasks[:, :, 0]]
    assert {task for batch in drawn for task in batch} == {1, 2, 3}
    assert all(len(set(batch)) == number for batch in drawn)


def test_every_list_of_a_task_comes_once_an_epoch(make):
    found = np.concatenate(labels(make([line(1, n) for n in range(12)]), 4, 3))
    assert sorted(found.tolist()) == [np.float32(10 + n / 1000) for n in range(12)]


def test_tasks_are_drawn_at_their_rates():
    drawn = [batches.drawn_tasks([6.0, 3.0, 1.0], 1, 5, batch)[0] for batch in range(4000)]
    shares = np.bincount(drawn) / 4000
    assert np.abs(shares - [0.6, 0.3, 0.1]).max() < 4 * (0.25 / 4000) ** 0.5  # 4 deviations


def test_more_parts_than_tasks_repeat_some():
    assert len(batches.drawn_tasks([1.0, 1.0], 5, 0, 0)) == 5


def test_no_text_is_twice_in_a_batch_and_none_is_lost(make):
    """Four lists have one query, four others one text, and two the text of others as query."""
    lines = [line(1, n) for n in range(8)]
    lines += [line(1, n, query="the same") for n in range(8, 12)]
    lines += [line(1, n, text="one text") for n in range(12, 16)]
    lines += [line(1, n, query="text 1 0") for n in (16, 17)]
    found = [
        {round(1000 * (v - 10)) for v in batch.tolist()} for batch in labels(make(lines), 4, 60)
    ]
    groups = (set(range(8, 12)), set(range(12, 16)), {0, 16, 17})
    assert all(len(batch & group) <= 1 for batch in found for group in groups)
    times = [sum(n in batch for batch in found) for n in range(18)]
    assert min(times) >= 60 * 4 // 18 - 4


def test_what_repeats_beyond_measure_is_left_out_and_said(make, monkeypatch, caplog):
    monkeypatch.setattr(batches, "WAITING", 3)
    lines = [line(1, n, query="the same" if n < 20 else None) for n in range(30)]
    labels(make(lines), 4, 10)
    assert any("has left out 1 lists" in message for message in caplog.messages)
    assert any("Now query 'the same'" in message for message in caplog.messages)


def test_too_few_texts_for_a_batch(make, monkeypatch):
    monkeypatch.setattr(batches, "TRIES", 50)
    with pytest.raises(ValueError, match=r"gave 51 lists .* expected 4 lists of a batch without"):
        labels(make([line(1, n, query="the same") for n in range(9)]), 4, 1)


@pytest.mark.parametrize(("size", "hosts"), [(5, 1), (4, 3)])
def test_a_batch_that_cannot_be_divided(make, size, hosts):
    with pytest.raises(ValueError, match=f"BATCH_SIZE has {size} lists; expected a multiple of"):
        batches.batches_by_dataset(
            *(several(make, number=2), LENGTHS, size, 0, RankingFeatureConverter()),
            shard=seqio.ShardInfo(0, hosts),
        )


def test_the_error_of_a_reader_comes_as_it_is(make):
    with pytest.raises(ValueError, match=r"^Document 1 of the list in file .*, line 2 has the key"):
        labels(make([line(1, 0), line(1, 1).replace("label", "grade")]), 2, 1)


def t5x_batches(mixture, folder, number, host=0, hosts=1):
    """What T5X reads by the plugin."""
    cfg = types.SimpleNamespace(
        mixture_or_task_name=mixture,
        task_feature_lengths=LENGTHS,
        split="train",
        batch_size=8,
        seed=3,
        use_cached=False,
        pack=False,
    )
    data = plugin.resumed_dataset(
        *(cfg, host, hosts, RankingFeatureConverter), get_dataset_fn=None, model_dir=str(folder)
    )
    return [*data.take(number).as_numpy_iterator()]


def same(some, others):
    return len(some) == len(others) and all(
        a.keys() == b.keys() and all(np.array_equal(a[name], b[name]) for name in a)
        for a, b in zip(some, others, strict=True)
    )


def test_both_trainers_get_the_same_batches_and_go_on_with_them(make, tmp_path):
    mixture = several(make, number=2, rates=[3.0, 1.0, 1.0])
    ours = [*itertools.islice(train_batches(mixture, LENGTHS, 8, seed=3), 6)]
    folder = tmp_path / "model"
    folder.mkdir()
    assert same(t5x_batches(mixture, folder, 6), ours)
    (folder / "checkpoint_4").mkdir()
    assert same(t5x_batches(mixture, folder, 2), ours[4:])


def test_hosts_have_consecutive_parts_of_one_batch(make, tmp_path):
    mixture = several(make, number=2)
    whole = t5x_batches(mixture, tmp_path, 3)
    parts = [t5x_batches(mixture, tmp_path, 3, host, 2) for host in (0, 1)]
    joined = [
        {name: np.concatenate([one[name], other[name]]) for name in one}
        for one, other in zip(*parts, strict=True)
    ]
    assert same(joined, whole)
