"""In which order training sees its lists."""

import functools
import itertools
import json

import pytest
import seqio

from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.tasks import jsonl, mixtures, sources

LENGTHS = {"inputs": (1, 24), "targets": (1, 1), "label": (1,), "mask": (1,)}
NUMBER = 1500  # more than the buffer that there was
_names = (f"sources_{number}" for number in itertools.count())


def ranked(number):
    return RankedList(f"{number}", "word", (f"d{number}",), ("text",), (1.0,))


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sources")
    for name in ("train.jsonl", "train.jsonl.gz"):
        write_jsonl(folder / name, map(ranked, range(NUMBER)))
    return folder


@pytest.fixture
def make_task(folder, vocabulary_file):
    def make(file="train.jsonl", **settings):
        splits = {"train": file}
        return jsonl.jsonl_task(str(folder), splits, vocabulary_file, name=next(_names), **settings)

    return make


def order(task, take=-1, **settings):
    """The numbers of the lists, as a trainer gets them."""
    data = seqio.get_mixture_or_task(task).get_dataset(
        LENGTHS, split="train", shuffle=True, **settings
    )
    return [int(example["query_id"]) for example in data.take(take).as_numpy_iterator()]


def test_the_first_lists_are_from_the_whole_file(make_task):
    first = order(make_task(), take=100, seed=0)
    assert min(first) < NUMBER / 10 and max(first) > NUMBER - NUMBER / 10


def test_every_epoch_has_each_list_once_in_an_order_of_its_own(make_task):
    found = order(make_task(), seed=0, num_epochs=2)
    epochs = [found[:NUMBER], found[NUMBER:]]
    assert [sorted(epoch) for epoch in epochs] == [[*range(NUMBER)]] * 2
    assert epochs[0] != epochs[1]


def test_the_order_follows_from_the_seed_alone(make_task):
    first, again, other = (order(make_task(), take=50, seed=seed) for seed in (1, 1, 2))
    assert first == again != other


def test_hosts_share_the_lists_of_the_one_order(make_task):
    whole = order(make_task(), seed=0)
    parts = [order(make_task(), seed=0, shard_info=seqio.ShardInfo(i, 2)) for i in (0, 1)]
    assert parts == [whole[::2], whole[1::2]]


def test_what_is_compressed_is_drawn_from_a_buffer(make_task):
    found = order(make_task("train.jsonl.gz", shuffle_buffer=3), take=100, seed=0)
    assert found != sorted(found)
    assert all(number < place + 3 for place, number in enumerate(found))


def test_shards_come_in_a_new_order_every_epoch_side_by_side(folder, make_task):
    shards = folder / "shards"
    shards.mkdir()
    names = [f"{shard}.jsonl.gz" for shard in range(40)]
    for shard, name in enumerate(names):
        write_jsonl(shards / name, map(ranked, range(10 * shard, 10 * shard + 10)))
    sizes = [{"file": name, "bytes": (shards / name).stat().st_size} for name in names]
    (shards / "manifest.json").write_text(json.dumps({"shards": sizes}))
    found = order(make_task("shards", shuffle_buffer=1), seed=0, num_epochs=2)
    epochs = [found[:400], found[400:]]
    assert [sorted(epoch) for epoch in epochs] == [[*range(400)]] * 2
    assert epochs[0] != epochs[1]
    assert len({number // 10 for number in found[:16]}) == 16


def test_tasks_of_a_mixture_are_each_shuffled_whole(make_task):
    task = make_task()
    name = mixtures.mixture([task], name=next(_names))
    data = seqio.get_mixture_or_task(name).get_dataset(
        LENGTHS, "train", shuffle=True, seed=0, passthrough_features=["query_id"]
    )
    found = [int(example["query_id"]) for example in data.take(100).as_numpy_iterator()]
    assert found == order(task, take=100, seed=0)


def test_a_reader_of_another_make_is_not_read_by_number():
    assert sources.indexed(lambda: []) is None
    assert sources.indexed(functools.partial(iter, [])) is None
