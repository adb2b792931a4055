import numpy as np
import pytest
import seqio
import tensorflow as tf
from sentencepiece import sentencepiece_model_pb2 as protos

from t5rank.tasks import preprocessors
from t5rank.tasks.errors import clear_errors
from t5rank.text.prompts import MONOT5, RANKT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

LABELS = (0.0, 1.0, 0.0, 2.0, 0.0, 0.0)
RELEVANT = {"d1", "d3"}


def example(labels=LABELS, is_training=True, query="which word", documents=None, query_id="q1"):
    documents = documents or [f"text {i}" for i in range(len(labels))]
    return {
        "query_id": query_id,
        "query": query,
        "doc_ids": [f"d{i}" for i in range(len(documents))],
        "documents": documents,
        "labels": np.asarray(labels, np.float32),
        "is_training": int(is_training),
    }


def sampled(list_size, one_positive, count=1, seed=0, **kwargs):
    data = tf.data.Dataset.from_tensors(example(**kwargs)).repeat(count)
    length = {"inputs": (list_size, 8), "label": (list_size,)}
    with seqio.map_seed_manager(seed):
        data = preprocessors.sample_documents(
            data, sequence_length=length, one_positive=one_positive
        )
    return list(data.as_numpy_iterator())


def names(sample):
    return [doc_id.decode() for doc_id in sample["doc_ids"]]


BOTH = pytest.mark.parametrize("one_positive", [False, True])


@BOTH
@pytest.mark.parametrize("list_size", [1, 2, 3, 5, 6, 20])
def test_list_size_is_respected_and_documents_differ(list_size, one_positive):
    available = 5 if one_positive else 6  # with one_positive, one of two relevant ones stays out
    for sample in sampled(list_size, one_positive, count=30):
        assert len(names(sample)) == len(set(names(sample))) == min(list_size, available)


@pytest.mark.parametrize("list_size", [1, 3, 20])
def test_one_positive_means_exactly_one(list_size):
    for sample in sampled(list_size, True, count=100):
        assert len(RELEVANT & set(names(sample))) == 1


@pytest.mark.parametrize("list_size", [1, 2, 4])
def test_without_one_positive_a_relevant_document_is_sure_of_its_place(list_size):
    for sample in sampled(list_size, False, count=100):
        assert RELEVANT & set(names(sample))


@BOTH
def test_texts_and_labels_stay_with_their_documents(one_positive):
    for sample in sampled(4, one_positive, count=30):
        for name, text, label in zip(
            names(sample), sample["documents"], sample["labels"], strict=True
        ):
            assert text.decode() == f"text {name[1:]}"
            assert label == LABELS[int(name[1:])]


@BOTH
def test_list_without_a_relevant_document_is_sampled_too(one_positive):
    for sample in sampled(3, one_positive, labels=(0.0,) * 5, count=10):
        assert len(set(names(sample))) == 3


@BOTH
def test_list_of_relevant_documents_alone(one_positive):
    sizes = {len(names(s)) for s in sampled(3, one_positive, labels=(1.0,) * 5, count=10)}
    assert sizes == ({1} if one_positive else {3})


def frequencies(values, of):
    values = list(values)
    return np.array([values.count(value) for value in of]) / len(values)


COUNT = 2000
FIVE_DEVIATIONS = 5 * 0.5 / COUNT**0.5


@BOTH
def test_position_of_the_positive_is_uniform(one_positive):
    samples = sampled(4, one_positive, count=COUNT, labels=(1.0, 0, 0, 0, 0, 0))
    positions = frequencies((names(s).index("d0") for s in samples), range(4))
    assert np.abs(positions - 1 / 4).max() < FIVE_DEVIATIONS


def test_every_positive_is_chosen_as_often():
    chosen = frequencies((names(s)[0] for s in sampled(1, True, count=COUNT)), sorted(RELEVANT))
    assert np.abs(chosen - 1 / 2).max() < FIVE_DEVIATIONS


def test_every_negative_is_chosen_as_often():
    samples = sampled(3, True, count=COUNT)
    share = [sum(name in names(s) for s in samples) / COUNT for name in ("d0", "d2", "d4", "d5")]
    assert np.abs(np.array(share) - 2 / 4).max() < FIVE_DEVIATIONS


def test_same_seed_samples_the_same_and_another_seed_does_not():
    one, two, other = ([names(s) for s in sampled(3, True, count=20, seed=n)] for n in (1, 1, 2))
    assert one == two != other


@BOTH
def test_validation_list_stays_whole_and_in_order(one_positive):
    (sample,) = sampled(2, one_positive, is_training=False)
    assert names(sample) == [f"d{i}" for i in range(6)]
    assert sample["labels"].tolist() == list(LABELS)


@pytest.mark.parametrize("length", [{"label": (4,)}, {"label": [4]}, {"label": 4}])
def test_list_size_is_the_length_of_the_labels(length):
    assert preprocessors.list_size(length) == 4


@pytest.mark.parametrize("length", [None, {}, {"label": None}])
def test_without_lengths_lists_have_no_size(length):
    assert preprocessors.list_size(length) is None


def test_input_length_is_the_second_of_inputs():
    assert preprocessors.input_length({"inputs": (4, 128)}) == 128


@pytest.mark.parametrize("length", [None, 128, (128,)])
def test_input_length_of_another_form_is_an_error(length):
    with pytest.raises(ValueError, match=r"'inputs' has length .*; expected \(list size, tokens\)"):
        preprocessors.input_length({"inputs": length})


def tokenized(data, file, prompt, length, strict=True, **more):
    encoder = PairEncoder(Vocabulary(file), Prompt(prompt), preprocessors.UNCUT, strict)
    with clear_errors():
        tokens = preprocessors.tokenize_list(
            data,
            sequence_length={"inputs": (None, length)},
            encoder=encoder,
            target_token_id=7,
            **more,
        )
        return list(tokens.as_numpy_iterator())


def rows(sample):
    return [row[: np.count_nonzero(row)].tolist() for row in sample["inputs"]]


PROMPTS = pytest.mark.parametrize("prompt", [RANKT5, MONOT5, "{query} {document}"])
TEXTS = ["", " ", "one", "ﬁne {query}", "many words " * 20, "<extra_id_3> x", "a\tb\n c "]


@PROMPTS
@pytest.mark.parametrize("room", [1, 7, 500])
def test_tokens_equal_those_of_the_pair_encoder(vocabulary_file, prompt, room):
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(prompt), 1000)
    query = "which { word }"
    length = len(encoder.encode(query, [""])[0].tokens) + room
    encoder = PairEncoder(encoder.vocabulary, encoder.prompt, length)
    data = tf.data.Dataset.from_tensors(example([0.0] * len(TEXTS), True, query, TEXTS))
    (sample,) = tokenized(data, vocabulary_file, prompt, length)
    assert rows(sample) == [pair.tokens.tolist() for pair in encoder.encode(query, TEXTS)]


def test_runs_that_can_be_cut_in_several_ways_are_cut_as_the_pair_encoder_cuts_them(tmp_path):
    model = protos.ModelProto()
    pieces = {"<pad>": 0.0, "</s>": 0.0, "<unk>": 0.0, "\u2581": -3.65, "_": -4.1, "_____": -7.9}
    for i, (piece, score) in enumerate(pieces.items()):
        model.pieces.add(piece=piece, score=score, type=(3, 3, 2, 1, 1, 1)[i])
    model.trainer_spec.pad_id, model.trainer_spec.eos_id = 0, 1
    model.trainer_spec.unk_id, model.trainer_spec.bos_id = 2, -1
    file = tmp_path / "runs.model"
    file.write_bytes(model.SerializeToString())
    runs = ["_" * length for length in range(1, 40)]
    encoder = PairEncoder(Vocabulary(file), Prompt("{query} {document}"), 60)
    data = tf.data.Dataset.from_tensors(example([0.0] * len(runs), True, "_", runs))
    (sample,) = tokenized(data, file, "{query} {document}", 60)
    assert rows(sample) == [pair.tokens.tolist() for pair in encoder.encode("_", runs)]


def test_tokenized_list_has_the_features_of_the_task(vocabulary_file):
    data = tf.data.Dataset.from_tensors(example())
    (sample,) = tokenized(data, vocabulary_file, RANKT5, 50)
    assert sample.keys() == {
        "targets_pretokenized",
        "query_id",
        "query",
        "doc_ids",
        "documents",
        "inputs",
        "targets",
        "label",
        "mask",
    }
    assert sample["targets"].tolist() == [[7]] * 6
    assert sample["label"].tolist() == list(LABELS)
    assert sample["mask"].tolist() == [True] * 6
    dtypes = [sample[key].dtype for key in ("inputs", "targets", "label", "mask")]
    assert dtypes == [np.int32, np.int32, np.float32, bool]


@pytest.mark.parametrize("query_id", ["q1", "query [1] 'of' \"two\" é ]\\["])
def test_query_too_long_is_an_error_with_its_id_and_the_numbers(vocabulary_file, query_id):
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(), 1000)
    tokens = len(encoder.encode("which word", [""])[0].tokens)
    data = tf.data.Dataset.from_tensors(example(query_id=query_id))
    with pytest.raises(ValueError) as error:
        tokenized(data, vocabulary_file, RANKT5, tokens)
    assert str(error.value) == (
        f"Query '{query_id}' has {tokens} tokens with its prompt; expected at most {tokens - 1}. "
        "Only documents are cut: shorten the query or raise the input length."
    )


@PROMPTS
@pytest.mark.parametrize("left", [2, 3, 9])
def test_a_query_is_cut_as_the_pair_encoder_cuts_it(vocabulary_file, prompt, left):
    vocabulary, parts = Vocabulary(vocabulary_file), Prompt(prompt)
    around = (parts.before_query, parts.before_document, parts.after_document)
    length = sum(len(vocabulary.encode(part)) for part in around) + 1 + left
    encoder = PairEncoder(vocabulary, parts, length, strict=False)
    query, cut = "which { word } " * 9, []
    data = tf.data.Dataset.from_tensors(example([0.0] * len(TEXTS), True, query, TEXTS))
    more = {"strict": False, "on_cut": cut.append}
    (sample,) = tokenized(data, vocabulary_file, prompt, length, **more)
    assert rows(sample) == [pair.tokens.tolist() for pair in encoder.encode(query, TEXTS)]
    assert cut == ["q1"]


def checked(list_size):
    data = tf.data.Dataset.from_tensors(example(is_training=False))
    with clear_errors():
        length = {"label": None if list_size is None else (list_size,)}
        return list(preprocessors.check_list_size(data, length).as_numpy_iterator())


@pytest.mark.parametrize("list_size", [6, 7, None])
def test_list_that_fits_passes_whole(list_size):
    assert names(checked(list_size)[0]) == [f"d{i}" for i in range(6)]


def test_list_too_long_is_an_error_with_its_id_and_the_numbers():
    with pytest.raises(ValueError) as error:
        checked(5)
    assert str(error.value) == (
        "List 'q1' has 6 documents; expected at most the list size 5. Raise LIST_SIZE."
    )
