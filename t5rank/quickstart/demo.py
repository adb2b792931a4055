"""The steps of `t5rank quickstart`, in the order in which a user would do them."""

import textwrap
import time
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from t5rank import evaluation
from t5rank.data import trec
from t5rank.data.files import fingerprint
from t5rank.formats.numbers import shown
from t5rank.inference.reranker import Reranker
from t5rank.inference.reranking import rerank_run
from t5rank.lists.passages import read_passage_lists
from t5rank.quickstart import corpus
from t5rank.runs.records import METRICS
from t5rank.train.curves import learning_curves

if TYPE_CHECKING:
    from t5rank.train.run import TrainResult

LOSSES = ("sigmoid", "softmax")
MEASURES = {"nDCG@10": "NDCG@10", "RR@10": "MRR@10"}
RECIPE = "t5rank/configs/recipes/quickstart_{}.gin"
CURVES = "learning_curves.png"


def quickstart(folder: Path, steps: int | None = None) -> dict[str, evaluation.Evaluation] | None:
    """Makes the task, trains a model with each loss, and compares them on held-out queries.

    Args:
      folder: the folder for everything that is written.
      steps: training steps of each model; the recipe's by default.

    Returns:
      The figures of the random order and of each loss; None if a signal ended training.
    """
    # A lazy import: only training needs TensorFlow.
    from t5rank.train.lock import locked

    with locked(folder):
        return _quickstart(folder, steps)


def _quickstart(folder: Path, steps: int | None) -> dict[str, evaluation.Evaluation] | None:
    start = time.monotonic()
    _say("1/4  Making a search task of the docstrings of this Python")
    data = folder / "data"
    corpus.write_corpus(data)
    _describe(data)
    for number, loss in enumerate(LOSSES, start=2):
        _say(f"{number}/4  Training with the {loss} loss")
        result = _train(folder / loss, data, loss, steps)
        if result.signalled:
            _print_interrupted(folder, loss, result)
            return None
    _say("4/4  Reranking the held-out queries")
    rerankers = {loss: Reranker.from_pretrained(folder / loss) for loss in LOSSES}
    figures = _evaluate(folder, data, rerankers)
    learning_curves({loss: folder / loss for loss in LOSSES}, folder / CURVES)
    _print_figures(figures)
    _print_example(data, rerankers["softmax"], figures["softmax"])
    print(f"\nDone in {time.monotonic() - start:.0f} seconds.")
    _print_next(folder, data)
    return figures


def _say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def _describe(data: Path) -> None:
    count = len(trec.read_queries(data / "collection.tsv"))
    sizes = {split: len(trec.read_queries(data / split / "queries.tsv")) for split in _SPLITS}
    print(
        f"{count:,} documents; {sizes['train']:,} training, {sizes['validation']:,} validation and "
        f"{sizes['test']:,} test queries, whose documents training never sees. "
        f"A query is {corpus.QUERY_WORDS} words of its document."
    )


_SPLITS = ("train", "validation", "test")


def _train(model_dir: Path, data: Path, loss: str, steps: int | None) -> "TrainResult":
    from t5rank.train.config import configured_trainer

    bindings = [
        f"MODEL_DIR={str(model_dir)!r}",
        f"DATA_DIR={str(data)!r}",
        f"VOCABULARY_FILE={str(data / corpus.VOCABULARY)!r}",
    ]
    if steps is not None:
        bindings += [f"TRAIN_STEPS={steps}"]
    return configured_trainer([RECIPE.format(loss)], bindings).train()


def _test_files(data: Path) -> dict[str, Any]:
    test = data / "test"
    return {
        "collection": data / "collection.tsv",
        "queries": test / "queries.tsv",
        "run": test / "run.txt",
    }


def _evaluate(
    folder: Path, data: Path, rerankers: dict[str, Reranker]
) -> dict[str, evaluation.Evaluation]:
    files = _test_files(data)
    runs = {"random order": trec.read_run(files["run"])}
    for loss, reranker in rerankers.items():
        lists = read_passage_lists(qrels=None, **files)
        settings = fingerprint([folder / loss / METRICS, *files.values()])
        output = folder / f"test_run_{loss}.txt"
        rerank_run(reranker, lists, output, settings=settings, tag=loss)
        runs[loss] = trec.read_run(output)
    qrels = trec.read_qrels(data / "test" / "qrels.txt")
    return evaluation.evaluate_runs(runs, qrels, " ".join(MEASURES))


def _print_figures(figures: dict[str, evaluation.Evaluation]) -> None:
    queries = next(iter(figures.values())).queries
    print(f"\nMean over {queries} held-out queries, {corpus.CANDIDATES['test']} candidates each:\n")
    rows = [["", *MEASURES.values()]]
    for name, figure in figures.items():
        rows.append([name, *[shown(figure.aggregate[measure]) for measure in MEASURES]])
    for name, *cells in rows:
        print(f"  {name:<14}" + "".join(f"{cell:>10}" for cell in cells))


def _print_example(data: Path, reranker: Reranker, figure: evaluation.Evaluation) -> None:
    reciprocal_ranks = figure.per_query["RR@10"]
    typical = sorted(reciprocal_ranks, key=reciprocal_ranks.__getitem__)[len(reciprocal_ranks) // 2]
    lists = read_passage_lists(qrels=data / "test" / "qrels.txt", **_test_files(data))
    example = next(item for item in lists if item.query_id == typical)
    print("\nA typical example (the median by MRR@10), reranked by the softmax model")
    print(f"  query: {example.query}\n")
    for item in reranker.rank(example.query, example.documents):
        sought = example.labels[item.index] > 0
        if item.rank > 3 and not sought:
            continue
        mark = "  <- the document sought" if sought else ""
        print(f"  {item.rank}. {item.score:+.2f}  {example.doc_ids[item.index]}{mark}")
        print(_indented(item.document))


def _indented(text: str) -> str:
    return textwrap.fill(
        textwrap.shorten(text, 220, placeholder=" ..."),
        width=88,
        initial_indent=" " * 12,
        subsequent_indent=" " * 12,
    )


def _print_interrupted(folder: Path, loss: str, result: "TrainResult") -> None:
    done = [f"{folder / each}, trained" for each in LOSSES[: LOSSES.index(loss)]]
    saved = [*done, f"{folder / loss}, {result.reason} at step {result.step:,}"]
    print(f"\nInterrupted. Saved so far: {'; '.join(saved)}.")
    print("The same command goes on from here.", flush=True)


def _print_next(folder: Path, data: Path) -> None:
    model = folder / "softmax"
    lines: Iterable[str] = (
        f"\nLearning curves:    {folder / CURVES}",
        f"Models:             {folder / 'softmax'}, {folder / 'sigmoid'}",
        "\nNext steps:",
        "  Score your own texts, one document per line:",
        "    printf '%s\\n' 'Open a file and return a stream.' 'Return the sine of x.' |",
        f"      t5rank score --model {model} --query 'open file stream'",
        "  Compare the runs, with tests of significance:",
        f"    t5rank evaluate --qrels {data / 'test' / 'qrels.txt'} \\",
        f"      --run {folder / 'test_run_sigmoid.txt'} --run {folder / 'test_run_softmax.txt'}",
        "  Use it in Python:",
        f"    from t5rank import Reranker; Reranker.from_pretrained('{model}')",
        "  Train on MS MARCO: t5rank train --help, and the README.",
    )
    print("\n".join(lines))
