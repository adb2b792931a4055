"""A small search task made of the docstrings of the Python that runs it.

A document is the beginning of a docstring, and a query is some words of a document. The candidates
are that document and others at random. The files have MS MARCO passage ranking's formats, in one
folder per split.
"""

import contextlib
import importlib
import inspect
import io
import random
import re
import sys
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import sentencepiece

from t5rank.data import trec

VOCABULARY = "vocabulary.model"
VOCABULARY_SIZE = 2000
QUERY_WORDS = 6
DOCUMENT_WORDS = 60
MIN_QUERY_WORDS_IN_DOCUMENT = 9
QUERIES_PER_DOCUMENT = {"train": 10, "validation": 1, "test": 1}
CANDIDATES = {"train": 24, "validation": 20, "test": 20}
HELD_OUT_DOCUMENTS = {"validation": 100, "test": 300}
# Importing one of these opens or prints something, or needs a screen.
_SKIPPED = {"antigravity", "idlelib", "lib2to3", "test", "this", "tkinter", "turtle", "turtledemo"}
_COMMON = frozenset(
    re.findall(
        r"\w+",
        """a all an and any are as at be been but by can does each for from has have if in into is
        it its may more no not of on one only or other out return returns same set should so such
        than that the their then there they this to two use used using was when where which will
        with without you your""",
    )
)


def write_corpus(folder: Path, seed: int = 0) -> None:
    """Writes `collection.tsv`, the vocabulary, and every split's queries, qrels and run.

    Raises:
      ValueError: this Python has no docstrings (`python -OO`).
    """
    rng = random.Random(seed)
    documents = [(name, text) for name, text in _documents() if _enough_words(text)]
    held_out = sum(HELD_OUT_DOCUMENTS.values())
    if len(documents) < 2 * held_out:
        raise ValueError(
            f"The documentation of this Python has {len(documents)} usable texts; expected at "
            f"least {2 * held_out}. Run without -OO."
        )
    rng.shuffle(documents)
    folder.mkdir(parents=True, exist_ok=True)
    trec.write_queries(folder / "collection.tsv", dict(documents))  # the same format: id TAB text
    train_vocabulary([text for _, text in documents], folder / VOCABULARY)
    start = 0
    for split in ("validation", "test", "train"):
        end = start + HELD_OUT_DOCUMENTS[split] if split in HELD_OUT_DOCUMENTS else len(documents)
        # Only held-out queries have held-out documents as candidates: training never sees them.
        _write_split(folder / split, documents[start:end], split, rng)
        start = end


def train_vocabulary(texts: list[str], file: Path, size: int = VOCABULARY_SIZE) -> None:
    """Trains a SentencePiece vocabulary with T5's special ids. It folds case."""
    model = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(texts),
        model_writer=model,
        vocab_size=size,
        hard_vocab_limit=False,
        pad_id=0,
        eos_id=1,
        unk_id=2,
        bos_id=-1,
        normalization_rule_name="nmt_nfkc_cf",
        minloglevel=2,
    )
    file.write_bytes(model.getvalue())


def _write_split(
    folder: Path, documents: list[tuple[str, str]], split: str, rng: random.Random
) -> None:
    folder.mkdir(exist_ok=True)
    queries: dict[str, str] = {}
    qrels: dict[str, dict[str, int]] = {}
    run: dict[str, dict[str, float]] = {}
    names = [name for name, _ in documents]
    for name, text in documents:
        for number in range(QUERIES_PER_DOCUMENT[split]):
            query_id = f"{name}-{number + 1}"
            words = _words(text)
            queries[query_id] = " ".join(rng.sample(words, QUERY_WORDS))
            qrels[query_id] = {name: 1}
            others = rng.sample(names, CANDIDATES[split])
            candidates = [name, *[other for other in others if other != name]][: len(others)]
            rng.shuffle(candidates)
            run[query_id] = {doc_id: float(-rank) for rank, doc_id in enumerate(candidates, 1)}
    trec.write_queries(folder / "queries.tsv", queries)
    trec.write_qrels(folder / "qrels.txt", qrels)
    trec.write_run(folder / "run.txt", run, tag="random")


def _words(text: str) -> list[str]:
    """The distinct words of a text that are worth searching for."""
    words = dict.fromkeys(word.lower() for word in re.findall(r"[A-Za-z]{3,}", text))
    return [word for word in words if word not in _COMMON]


def _enough_words(text: str) -> bool:
    return len(_words(text)) >= MIN_QUERY_WORDS_IN_DOCUMENT


def _documents() -> Iterator[tuple[str, str]]:
    """`(dotted name, text)` of the standard library's documented objects. No text is repeated."""
    seen: set[str] = set()
    for name, value in _objects():
        text = getattr(value, "__doc__", None)
        if not isinstance(text, str):
            continue
        text = " ".join(text.split()[:DOCUMENT_WORDS])
        if text not in seen and text.isprintable():
            seen.add(text)
            yield name, text


def _objects() -> Iterator[tuple[str, Any]]:
    for module_name in sorted(sys.stdlib_module_names - _SKIPPED):
        if module_name.startswith("_"):
            continue
        module = _imported(module_name)
        if module is None:
            continue
        yield module_name, module
        for name, value in _public(module):
            yield f"{module_name}.{name}", value
            if inspect.isclass(value):
                for method_name, method in _public(value):
                    yield f"{module_name}.{name}.{method_name}", method


def _imported(name: str) -> Any:
    # Modules of other platforms cannot be imported. Some modules warn or print on import.
    with (
        contextlib.suppress(Exception),
        contextlib.redirect_stdout(io.StringIO()),
        warnings.catch_warnings(action="ignore"),
    ):
        return importlib.import_module(name)
    return None


def _public(owner: Any) -> Iterator[tuple[str, Any]]:
    for name, value in sorted(vars(owner).items()):
        value = getattr(value, "__func__", value)
        if not name.startswith("_") and (inspect.isclass(value) or inspect.isroutine(value)):
            yield name, value
