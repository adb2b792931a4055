"""Losses, batches and negatives of dual encoders on a sample of MS MARCO, from random weights.

The losses are those of Li et al. (EMNLP 2023, industry track): hinge and softmax. Their margin and
temperature are fixed, or smaller for harder negatives, with and without stop-gradient and the
symmetric term.
"""

from __future__ import annotations

from t5rank.reproduce.designs import ArmDesign, Design, SetDesign, Stage, config, recipe
from t5rank.reproduce.tiny import DEV, TRAIN, V1, VOCABULARY, WORDS, files, folds, inputs

_RECIPE = recipe("msmarco_retrieval_tiny")
_MEASURES = "RR@10 R@100"
_STEPS = 300
_KEEP_PROJECTION = "ASSIGNMENT_MAP=[('state/.*', None)]"


def _arm(name: str, title: str, *bindings: str, loss: str | None = None) -> ArmDesign:
    gin_files = (_RECIPE,) if loss is None else (_RECIPE, config(f"losses/{loss}"))
    return ArmDesign(name, title, gin_files, bindings)


def _adaptive(loss: str, name: str, title: str, **settings: object) -> ArmDesign:
    """An arm of an adaptive loss, whose other settings are those of the source."""
    bindings = (f"losses.{loss}_loss.{setting}={value}" for setting, value in settings.items())
    return _arm(name, title, *bindings, loss=loss)


def _adaptive_arms(loss: str, word: str, fixed: dict[str, object]) -> tuple[ArmDesign, ...]:
    start, title = word.lower(), f"{word}, alpha"
    return (
        _adaptive(loss, start, f"{word}, fixed", alpha=0.0, symmetric_weight=0.0, **fixed),
        _adaptive(loss, f"{start}-alpha005", f"{title} .05", alpha=0.05),
        _adaptive(loss, f"{start}-alpha05", f"{title} .5"),
        _adaptive(loss, f"{start}-gradient", f"{title} .5, not stopped", stop_gradient=False),
        _adaptive(loss, f"{start}-one", f"{title} .5, not symmetric", symmetric_weight=0.0),
    )


_ARMS = (
    *_adaptive_arms("adaptive_softmax", "Softmax", {}),
    *_adaptive_arms("adaptive_margin", "Hinge", {"margin": 0.1}),
    _arm("in-batch", "In-batch softmax, temperature .05"),
    _arm("batch16", "In-batch softmax, 16 lists", "BATCH_SIZE=16", f"TRAIN_STEPS={4 * _STEPS}"),
    _arm(
        "batch256",
        "In-batch softmax, 256 lists",
        "BATCH_SIZE=256",
        f"TRAIN_STEPS={_STEPS // 4}",
    ),
    _arm("negatives0", "In-batch softmax, no hard negative", "LIST_SIZE=1"),
    _arm("negatives3", "In-batch softmax, 3 hard negatives", "LIST_SIZE=4"),
    _arm("unmasked", "In-batch softmax, false negatives stay", "MASK_FALSE_NEGATIVES=False"),
    _arm("symmetric", "In-batch softmax, both directions", loss="softmax_symmetric"),
)

RETRIEVAL = Design(
    name="retrieval",
    size="tiny",
    title="Dual encoders on MS MARCO passages, tiny",
    description="A dual encoder of two layers and width 64 (2.1 million parameters) from random "
    "weights first learns to match words, on queries made of a passage's own words. Then each arm "
    "trains it on the same queries with one relevant passage and one of BM25's candidates a list, "
    "for as many lists as the others. Models are compared by searching all 11,026 passages of MS "
    "MARCO v1 in the sample for 1,277 training queries that were held out.",
    inputs=inputs(TRAIN, DEV, VOCABULARY),
    train=(*files(TRAIN, "run.bm25.txt:1-50"), V1, *folds(10, "3-9"), "--negatives=8"),
    validation=(*files(TRAIN, "run.bm25.txt:1-20"), V1, *folds(10, "2")),
    sets=(
        SetDesign(
            "heldout",
            "1,277 held-out queries, 11,026 passages",
            "BM25, 50 candidates",
            _MEASURES,
            (*files(TRAIN, "run.bm25.txt:1-50"), V1, *folds(10, "0-1")),
            "{lists}/qrels.txt",
            f"{{data}}/{TRAIN}/collection.tsv",
            "[0-9]+",
        ),
        SetDesign(
            "dev",
            "MS MARCO dev, a sample of 207 queries, 4,558 passages",
            "BM25, 20 candidates",
            _MEASURES,
            files(DEV),
            f"{{data}}/{DEV}/qrels.txt",
            f"{{data}}/{DEV}/collection.tsv",
        ),
    ),
    arms=_ARMS,
    bindings=(
        f"TRAIN_STEPS={_STEPS}",
        "BATCH_SIZE=64",
        "LIST_SIZE=2",
        "WARMUP_STEPS=20",
        "EVAL_PERIOD=75",
        "LOG_PERIOD=25",
        _KEEP_PROJECTION,
    ),
    vocabulary=VOCABULARY,
    pretrained=False,
    stages=(
        Stage(
            "words16",
            (*WORDS, V1, "--words=16", "--query_words", "3", "4", "--random=2"),
            (_RECIPE,),
            ("INPUT_LENGTH=48",),
            train_steps=600,
        ),
    ),
)
