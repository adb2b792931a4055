import collections
import functools
import itertools

import numpy as np
import pytest
import seqio

from t5rank.data.errors import DataError
from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.tasks import examples, irregular, jsonl, mixtures, registry
from t5rank.tasks.errors import clear_errors
from t5rank.tasks.feature_converters import RankingFeatureConverter
from t5rank.tasks.seqio_vocabulary import TextVocabulary
from t5rank.text.prompts import MONOT5, RANKT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

LENGTHS = {"inputs": (3, 40), "targets": (3, 1), "label": (3,), "mask": (3,)}
WHOLE = {"inputs": (None, 40), "targets": None, "label": None, "mask": None}
_numbers = itertools.count()


def ranked(number, size=5, query="which word"):
    return RankedList(
        f"q{number}",
        query,
        tuple(f"q{number}-d{i}" for i in range(size)),
        tuple(f"text {number} {i}" for i in range(size)),
        tuple(float(i == 0) for i in range(size)),
    )


LISTS = [ranked(number) for number in range(6)]


def new_name():
    return f"lists_{next(_numbers):04}"  # in the order of their names


@pytest.fixture(scope="module")
def task(vocabulary_file):
    readers = {"train": lambda: LISTS, "validation": lambda: LISTS}
    return registry.register_task(new_name(), readers, vocabulary_file, one_positive=True)


def read(task, split, lengths=LENGTHS, **settings):
    with clear_errors():
        data = seqio.get_mixture_or_task(task).get_dataset(lengths, split=split, **settings)
        return list(data.as_numpy_iterator())


def documents(examples):
    return [tuple(name.decode() for name in example["doc_ids"]) for example in examples]


def test_features_are_those_of_the_converter(task):
    features = seqio.get_mixture_or_task(task).output_features
    assert features.keys() == RankingFeatureConverter.TASK_FEATURES.keys()
    assert set(features) == {"inputs", "targets", "label", "mask"}


def test_splits_are_those_of_the_readers(task):
    assert set(seqio.get_mixture_or_task(task).splits) == {"train", "validation"}


def test_validation_lists_are_whole_and_in_order(task):
    examples = read(task, "validation", WHOLE, shuffle=False)
    assert documents(examples) == [item.doc_ids for item in LISTS]
    assert [e["query_id"].decode() for e in examples] == [item.query_id for item in LISTS]
    assert [e["label"].tolist() for e in examples] == [list(item.labels) for item in LISTS]


def test_validation_tokens_are_those_of_the_pair_encoder(task, vocabulary_file):
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(), 40)
    for example, item in zip(read(task, "validation", WHOLE, shuffle=False), LISTS, strict=True):
        rows = [row[: np.count_nonzero(row)].tolist() for row in example["inputs"]]
        pairs = encoder.encode(item.query, item.documents)
        assert rows == [pair.tokens.tolist() for pair in pairs]


def test_every_epoch_holds_every_list_once_and_samples_anew(task):
    examples = read(task, "train", shuffle=False, num_epochs=3, seed=0)
    queries = [example["query_id"].decode() for example in examples]
    assert queries == [item.query_id for item in LISTS] * 3
    epochs = [documents(examples[start : start + 6]) for start in (0, 6, 12)]
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]


def test_training_list_has_one_positive_and_the_list_size(task):
    for example in read(task, "train", num_epochs=2, seed=0):
        assert example["label"].sum() == 1
        assert len(set(example["doc_ids"])) == 3


def test_same_seed_gives_the_same_data_and_another_seed_does_not(task):
    one, two, other = (documents(read(task, "train", num_epochs=2, seed=n)) for n in (1, 1, 2))
    assert one == two != other


def test_shuffled_data_come_in_another_order(task):
    queries = [example["query_id"].decode() for example in read(task, "train", seed=1)]
    assert sorted(queries) == [item.query_id for item in LISTS]
    assert queries != sorted(queries)


def test_targets_hold_the_token_that_is_asked_for(task, vocabulary_file):
    token = Vocabulary(vocabulary_file).token_id("<extra_id_10>")
    assert read(task, "train", seed=0)[0]["targets"].tolist() == [[token]] * 3


def test_batches_have_the_padded_shapes(task):
    data = seqio.get_dataset(
        task,
        task_feature_lengths=LENGTHS,
        dataset_split="train",
        num_epochs=1,
        feature_converter=RankingFeatureConverter(),
        batch_size=2,
        seed=0,
    )
    batch = next(data.as_numpy_iterator())
    shapes = {key: value.shape for key, value in batch.items()}
    assert shapes == {"encoder_input_tokens": (2, 3, 40), "label": (2, 3), "mask": (2, 3)}
    assert batch["mask"].all()


def test_same_settings_register_once(vocabulary_file):
    name, readers = new_name(), {"train": functools.partial(iter, LISTS)}
    assert registry.register_task(name, readers, vocabulary_file) == name
    again = {"train": functools.partial(iter, LISTS)}
    assert registry.register_task(name, again, vocabulary_file) == name


@pytest.mark.parametrize(
    "other", [{"prompt": MONOT5}, {"one_positive": True}, {"target_token": "<extra_id_11>"}]
)
def test_other_settings_under_the_same_name_are_an_error(vocabulary_file, other):
    name, readers = new_name(), {"train": functools.partial(iter, LISTS)}
    registry.register_task(name, readers, vocabulary_file)
    with pytest.raises(ValueError, match=f"Task '{name}' has other settings already"):
        registry.register_task(name, readers, vocabulary_file, **other)


def test_other_readers_under_the_same_name_are_an_error(vocabulary_file):
    name = new_name()
    registry.register_task(name, {"train": functools.partial(iter, LISTS)}, vocabulary_file)
    with pytest.raises(ValueError, match=f"Task '{name}' has other settings already"):
        registry.register_task(name, {"train": functools.partial(iter, LISTS[:1])}, vocabulary_file)


def test_failed_registration_leaves_the_name_free(vocabulary_file, tmp_path):
    name, readers = new_name(), {"train": functools.partial(iter, LISTS)}
    with pytest.raises(ValueError, match="has no readable file"):
        registry.register_task(name, readers, str(tmp_path / "no.model"))
    assert registry.register_task(name, readers, vocabulary_file) == name


def failing():
    yield LISTS[0]
    raise ValueError("Document 'd1' in file 'x', line 2 has [no text]; expected some.")


@pytest.mark.parametrize("split", ["train", "validation"])
def test_error_of_a_reader_surfaces_as_it_is(vocabulary_file, split):
    name = registry.register_task(new_name(), {split: failing}, vocabulary_file)
    with pytest.raises(ValueError, match=r"^Document 'd1' in file 'x', line 2 has \[no text\]"):
        read(name, split, WHOLE)


def test_error_of_an_earlier_reader_is_forgotten(vocabulary_file, task):
    name = registry.register_task(new_name(), {"validation": failing}, vocabulary_file)
    with pytest.raises(ValueError, match="no text"):
        read(name, "validation", WHOLE)
    with pytest.raises(ValueError, match=r"^List 'q0' has 5 documents"):
        read(task, "validation", LENGTHS)


def test_error_without_tensorflow_passes_through():
    with pytest.raises(KeyError, match="mine"), clear_errors():
        raise KeyError("mine")


def test_validation_list_longer_than_the_list_size_is_an_error(task):
    with pytest.raises(ValueError) as error:
        read(task, "validation", LENGTHS)
    assert str(error.value) == (
        "List 'q0' has 5 documents; expected at most the list size 3. Raise LIST_SIZE."
    )


def test_training_list_longer_than_the_list_size_is_sampled(task):
    assert all(len(example["doc_ids"]) == 3 for example in read(task, "train", seed=0))


def test_query_too_long_is_an_error_that_names_it(vocabulary_file):
    items = [ranked(0), ranked(1, query="word " * 100)]
    name = registry.register_task(new_name(), {"validation": lambda: items}, vocabulary_file)
    with pytest.raises(ValueError, match=r"^Query 'q1' has \d+ tokens with its prompt; expected"):
        read(name, "validation", WHOLE)


def test_jsonl_task_reads_its_files(vocabulary_file, tmp_path):
    write_jsonl(tmp_path / "dev.jsonl", LISTS[:2])
    name = jsonl.jsonl_task(
        str(tmp_path), {"validation": "dev.jsonl"}, vocabulary_file, name=new_name()
    )
    examples = read(name, "validation", WHOLE, shuffle=False)
    assert documents(examples) == [item.doc_ids for item in LISTS[:2]]


DIRTY = [
    '{"query_id": "q1", "query": "%s", "documents": [{"doc_id": "d1", "text": "", "label": 1}]}'
    % ("word " * 90),
    '{"query_id": "q2", "query": "a", "documents": [{"doc_id": "d1", "text": "b", "label": 0},'
    ' {"doc_id": "d1", "text": "b", "label": 1}]}',
    '{"query_id": "q3", "query": "\\ud800", "documents": [{"doc_id": "d", "text": "b", "label":'
    " 1}]}",
]


def dirty_task(vocabulary_file, tmp_path, lines, strict):
    (tmp_path / "dev.jsonl").write_text("\n".join(lines))
    return jsonl.jsonl_task(
        str(tmp_path), {"validation": "dev.jsonl"}, vocabulary_file, name=new_name(), strict=strict
    )


def test_a_task_that_is_not_strict_repairs_and_counts_once_a_list(vocabulary_file, tmp_path):
    name = dirty_task(vocabulary_file, tmp_path, DIRTY, strict=False)
    first, second = (read(name, "validation", WHOLE, shuffle=False) for _ in range(2))
    assert documents(first) == documents(second) == [("d1",), ("d1",), ("d",)]
    assert irregular.found_in(name) == {
        "empty_documents": 1,
        "duplicate_documents_merged": 1,
        "broken_utf8_lines_replaced": 1,
        "queries_cut": 1,
    }


@pytest.mark.parametrize(
    ("line", "start", "end"),
    [(0, "Query 'q1' has ", "to cut it."), (1, "The list in file ", "to merge them.")],
)
def test_what_a_strict_task_refuses_says_what_accepts_it(
    vocabulary_file, tmp_path, line, start, end
):
    name = dirty_task(vocabulary_file, tmp_path, DIRTY[line : line + 1], strict=True)
    with pytest.raises(DataError) as error:
        read(name, "validation", WHOLE, shuffle=False)
    advice = error.value.message_for({"strict": "--gin.STRICT=False"})
    assert advice.startswith(start)
    assert advice.endswith(f", or give --gin.STRICT=False {end}")


def test_jsonl_task_can_drop_lists_without_a_relevant_document(vocabulary_file, tmp_path):
    irrelevant = RankedList("q9", "query", ("d",), ("text",), (0.0,))
    write_jsonl(tmp_path / "dev.jsonl", [irrelevant, LISTS[0]])
    name = jsonl.jsonl_task(
        str(tmp_path),
        {"validation": "dev.jsonl"},
        vocabulary_file,
        name=new_name(),
        keep_without_relevant=False,
    )
    assert documents(read(name, "validation", WHOLE)) == [LISTS[0].doc_ids]


def mixture(*tasks):
    return mixtures.mixture(tasks, name=new_name())


def test_text_settings_of_a_task(task, vocabulary_file):
    assert registry.text_settings(task) == (vocabulary_file, RANKT5)


def test_text_settings_of_a_mixture(task, vocabulary_file):
    other = registry.register_task(new_name(), {"train": lambda: LISTS}, vocabulary_file)
    assert registry.text_settings(mixture(task, other)) == (vocabulary_file, RANKT5)


def test_mixture_gives_the_lists_of_its_tasks(vocabulary_file):
    tasks = [
        registry.register_task(
            new_name(),
            dict.fromkeys(["train", "validation"], lambda part=part: part),
            vocabulary_file,
        )
        for part in (LISTS[:3], LISTS[3:])
    ]
    # seqio stops a finite mixture where the first of its tasks ends.
    mixed = read(mixture(*tasks), "train", num_epochs=20, shuffle=False, seed=0)
    alone = [read(task, "validation", WHOLE, shuffle=False) for task in tasks]

    def rows(examples):
        return {tuple(row[row > 0].tolist()) for e in examples for row in e["inputs"]}

    assert rows(mixed) == rows(alone[0]) | rows(alone[1])


def test_a_mixture_draws_from_its_tasks_at_their_rates(vocabulary_file):
    tasks = [
        registry.register_task(new_name(), {"train": lambda part=part: part}, vocabulary_file)
        for part in ([ranked(0, size=1)], [ranked(1, size=1)])
    ]
    name = mixtures.mixture(tasks, [3.0, 1.0], new_name())
    data = seqio.get_mixture_or_task(name).get_dataset(
        WHOLE, split="train", shuffle=False, num_epochs=None, seed=0
    )
    found = [tuple(e["inputs"][0]) for e in data.take(400).as_numpy_iterator()]
    counts = sorted(collections.Counter(found).values())
    assert len(counts) == 2
    assert counts[0] / 400 == pytest.approx(1 / 4, abs=0.07)  # 3 standard deviations


@pytest.mark.parametrize(
    ("rates", "message"),
    [
        ([1.0], "and 1 rates; expected"),
        ([1.0, 0.0], "RATES has 0.0; expected a finite number above 0"),
    ],
)
def test_rates_of_a_mixture_are_checked(task, vocabulary_file, rates, message):
    other = registry.register_task(new_name(), {"train": lambda: LISTS}, vocabulary_file)
    with pytest.raises(ValueError, match=message):
        mixtures.mixture([task, other], rates, new_name())


def test_mixture_of_different_prompts_is_an_error(task, vocabulary_file):
    other = registry.register_task(new_name(), {"train": lambda: LISTS}, vocabulary_file, MONOT5)
    with pytest.raises(ValueError, match="has 2 prompts or vocabularies; expected 1"):
        mixture(task, other)


def test_text_settings_of_a_foreign_task_are_an_error(vocabulary_file):
    name = new_name()
    seqio.TaskRegistry.add(
        name,
        source=examples.list_source({"train": lambda: LISTS}),
        output_features={"inputs": seqio.Feature(TextVocabulary(vocabulary_file))},
    )
    with pytest.raises(ValueError, match=f"Task '{name}' has no prompt known here"):
        registry.text_settings(name)
