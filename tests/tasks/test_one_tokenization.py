"""Training, scoring and the server read the same tokens of every real passage."""

import pytest
import seqio

from t5rank.data.ranked_list import RankedList
from t5rank.data.trec import read_queries
from t5rank.serve.work import Work, encode
from t5rank.tasks.errors import elements
from t5rank.tasks.registry import register_task
from t5rank.text.prompts import MONOT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary

LENGTH = 96  # tokens: half of the passages are cut
LIST = 300  # passages


@pytest.fixture(scope="module")
def items(shared_data) -> list[RankedList]:
    """All passages, in lists of real queries."""
    folders = [shared_data / f"msmarco_passage_{name}" for name in ("dev", "train")]
    texts = [t for f in folders for t in read_queries(f / "collection.tsv").values()]
    assert len(texts) == 30_159
    queries = list(read_queries(folders[0] / "queries.tsv").values())
    parts = [texts[i : i + LIST] for i in range(0, len(texts), LIST)]
    return [
        RankedList(
            f"q{i}", queries[i], tuple(map(str, range(len(part)))), tuple(part), (0.0,) * len(part)
        )
        for i, part in enumerate(parts)
    ]


def test_no_passage_has_other_tokens_in_training_or_in_the_server(shared_data, items):
    file = str(shared_data / "t5_vocab" / "spiece.model")
    encoder = PairEncoder(Vocabulary(file), Prompt(MONOT5), LENGTH)
    task = register_task("one_tokenization", {"validation": lambda: items}, file, MONOT5)
    dataset = seqio.get_mixture_or_task(task).get_dataset
    lengths = {"inputs": (None, LENGTH), "label": None}
    read = elements(lambda: dataset(lengths, split="validation", shuffle=False), task)
    cut = 0
    for item, example in zip(items, read, strict=True):
        pairs = encoder.encode(item.query, item.documents)
        scored = [pair.tokens.tolist() for pair in pairs]
        served = encode(encoder, Work([(item.query, item.documents)]), LIST).rows
        assert [row[row != 0].tolist() for row in example["inputs"]] == scored
        assert [row.tolist() for row in served] == scored
        cut += sum(pair.is_cut for pair in pairs)
    assert cut > 10_000
