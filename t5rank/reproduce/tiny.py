"""The same experiments on samples of MS MARCO, with a model that a CPU can train from scratch.

The data folder has `msmarco_passage_train`, `msmarco_passage_dev`, `trec_dl21` (collection.tsv,
queries.tsv, qrels.txt, run.bm25.txt), `msmarco_qna/columnar.json` and `t5_vocab/spiece.model`. The
training queries come from MS MARCO's dev-small, so no figure here may be compared with an official
one.
"""

from __future__ import annotations

from t5rank.reproduce.designs import (
    DL_MEASURES,
    MARCO_MEASURES,
    ArmDesign,
    Design,
    SetDesign,
    Stage,
    config,
    recipe,
)
from t5rank.reproduce.inputs import VOCABULARY_SOURCE, Input

_SAMPLE = (
    "It belongs to a sample of MS MARCO that this experiment was made for. MS MARCO's terms do not "
    "allow to publish it here: "
)
_SOURCES = {
    "msmarco_passage_train": "6,357 queries of dev/small with their judged passages and BM25's "
    "candidates among 25,601 passages.",
    "msmarco_passage_dev": "207 queries with 20 of BM25's candidates each and the official qrels.",
    "trec_dl21": "the 53 judged queries of TREC DL 2021 with the official BM25 run, cut to 100.",
    "msmarco_qna": "200 rows of QnA in the layout of the raw file.",
}
TRAIN, DEV, _DL21 = "msmarco_passage_train", "msmarco_passage_dev", "trec_dl21"
V1 = "--only_ids=[0-9]+"  # the passages of MS MARCO v1
_QNA = "msmarco_qna/columnar.json"
VOCABULARY = "t5_vocab/spiece.model"

# Size and sha256.
_FILES = {
    f"{TRAIN}/collection.tsv": (
        8_888_960,
        "b5bcc69ccd547fb76a70db1512e83e12d66076575cb3365678cc5d34e54bb0e3",
    ),
    f"{TRAIN}/queries.tsv": (
        263_478,
        "b58d58d1159bf8ffabc8e8f33a5a6b5e8fc866c295431a1cc7aba7804bb8ce5c",
    ),
    f"{TRAIN}/qrels.txt": (
        122_671,
        "e1b46b72ca1e0f30fe731975a2d2203657507134f47d0583b41ac52212ee73d9",
    ),
    f"{TRAIN}/run.bm25.txt": (
        14_095_694,
        "30f50731fa70ad67cba7d35da4a63020932365bb73b75c2541b3d44fa135d545",
    ),
    f"{DEV}/collection.tsv": (
        1_598_911,
        "5ebb228fda2db6b6237c974b7e1b627e27253f5deda29970ea231a54dad89d23",
    ),
    f"{DEV}/queries.tsv": (
        8_678,
        "86e31bf9c386a862736cd4ac82279600af07aa70a877e80cf1db39cfda9ee3b5",
    ),
    f"{DEV}/qrels.txt": (
        3_994,
        "e386ffee77931d155cd958948116ad601314331ce7c2954ff7e8db7cdda97cf5",
    ),
    f"{DEV}/run.bm25.txt": (
        135_669,
        "5cbded5a49b18e186ce7d96040b34ad1b07acd0d20910bfe12d605d9a55f1bb5",
    ),
    f"{_DL21}/collection.tsv": (
        1_770_155,
        "5e215cc3f825e1d8b6b073900932323dc9f57b87c09f7b977c43f916df34fc03",
    ),
    f"{_DL21}/queries.tsv": (
        2_985,
        "8fab8f1780ae68932150ed23bdc70d7eb24171f9e5d4df530c43d8fefee69d8a",
    ),
    f"{_DL21}/qrels.txt": (
        433_887,
        "3d57428d2511c79b69fa8dcc47a5ed73177e8012f82c6af7ca583793515ddc88",
    ),
    f"{_DL21}/run.bm25.txt": (
        291_006,
        "9beaa529ee69bc0bbf2e44147180857c1505d5cc8919f3727ddc0286f298341a",
    ),
    _QNA: (920_505, "685380e4b09221a81d455a0b2accc0124ca0c60cfc5748e06468afdefadb3180"),
    VOCABULARY: (791_656, "d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86"),
}


def _source(path: str) -> str:
    return VOCABULARY_SOURCE if path == VOCABULARY else _SAMPLE + _SOURCES[path.split("/")[0]]


def inputs(*starts: str) -> tuple[Input, ...]:
    return tuple(
        Input(path, _source(path), size, f"sha256:{digest}")
        for path, (size, digest) in _FILES.items()
        if path.startswith(starts)
    )


def files(folder: str, run: str = "run.bm25.txt") -> tuple[str, ...]:
    """Options of `t5rank lists` for a folder of four files."""
    start = f"{{data}}/{folder}"
    return (
        f"--collection={start}/collection.tsv",
        f"--queries={start}/queries.tsv",
        f"--qrels={start}/qrels.txt",
        f"--run={start}/{run}",
    )


def folds(count: int, chosen: str) -> tuple[str, ...]:
    return (f"--folds={count}", f"--fold={chosen}")


_KEEP_HEAD = "ASSIGNMENT_MAP=[('state/.*', None)]"
_ENCODER = (config("models/rankt5_encoder"),)
_POOLING = "POOLING='mean'"
WORDS = (
    "--keywords",
    f"--collection={{data}}/{TRAIN}/collection.tsv",
    f"--run={{data}}/{TRAIN}/run.bm25.txt",
)
_WORDS_RECIPE = (recipe("msmarco_passage_softmax_tiny"), *_ENCODER)
_WORDS_STAGES = (
    Stage(
        "words16",
        (*WORDS, "--words=16", "--query_words", "3", "4", "--random=16"),
        _WORDS_RECIPE,
        (_POOLING, "LIST_SIZE=8", "INPUT_LENGTH=48"),
        train_steps=1500,
    ),
    Stage(
        "words40",
        (*WORDS, "--words=40", "--query_words", "3", "7", "--queries_per_document=3", "--near=8"),
        _WORDS_RECIPE,
        (_POOLING, _KEEP_HEAD, "LIST_SIZE=8", "INPUT_LENGTH=80"),
        train_steps=1500,
    ),
)
_START = (
    "The model is an encoder of two layers and width 64 (2.1 million parameters) that starts from "
    "random weights. Unless a checkpoint is given, it first learns to match words, on queries made "
    "of a passage's own words. Each model is the checkpoint that is best on validation queries; it "
    "is neither trained nor tested on any of them."
)

# Every relevant passage comes from MS MARCO v1. With passages of v2 among the negatives, a model
# would learn to tell the versions apart.
_PASSAGE_TRAIN = (*files(TRAIN, "run.bm25.txt:1-50"), V1)
_PASSAGE_SETS = (
    SetDesign(
        "dev",
        "MS MARCO dev, a sample of 207 queries",
        "BM25, 20 candidates",
        MARCO_MEASURES,
        files(DEV),
        f"{{data}}/{DEV}/qrels.txt",
    ),
    SetDesign(
        "dl21",
        "TREC DL 2021, 53 queries",
        "BM25 (official), 100 candidates",
        DL_MEASURES,
        files(_DL21),
        f"{{data}}/{_DL21}/qrels.txt",
    ),
)
# The sample lacks some relevant passages of DL21, so only its queries are looked for.
_CONTAMINATION = (
    f"--evaluation=dev={{data}}/{DEV}/queries.tsv,{{data}}/{DEV}/qrels.txt,"
    f"{{data}}/{DEV}/collection.tsv",
    f"--evaluation=dl21={{data}}/{_DL21}/queries.tsv",
)
_PASSAGE_BINDINGS = (
    "LIST_SIZE=10",
    "INPUT_LENGTH=112",
    "TRAIN_STEPS=200",
    "LEARNING_RATE=3e-4",
    "WARMUP_STEPS=20",
    "EVAL_PERIOD=40",
    "LOG_PERIOD=20",
)

RANKT5 = Design(
    name="rankt5",
    size="tiny",
    title="RankT5's losses on MS MARCO passages, tiny",
    description="Lists of one relevant passage and nine of BM25's candidates train a tiny "
    f"reranker with a pointwise and a listwise loss, as RankT5 does at full size. {_START}",
    inputs=inputs(TRAIN, DEV, _DL21, VOCABULARY),
    train=(*_PASSAGE_TRAIN, *folds(20, "1-19"), "--negatives=30", *_CONTAMINATION),
    validation=(
        *files(TRAIN, "run.bm25.txt:1-20"),
        V1,
        *folds(20, "0"),
    ),
    sets=_PASSAGE_SETS,
    arms=tuple(
        ArmDesign(loss, title, (recipe(f"msmarco_passage_{loss}_tiny"), *_ENCODER), (_POOLING,))
        for loss, title in (("sigmoid", "Pointwise sigmoid"), ("softmax", "Listwise softmax"))
    ),
    bindings=(*_PASSAGE_BINDINGS, _KEEP_HEAD),
    vocabulary=VOCABULARY,
    pretrained=False,
    stages=_WORDS_STAGES,
)

MONOT5 = Design(
    name="monot5",
    size="tiny",
    title="monoT5 on MS MARCO passages, tiny",
    description='The probability of "true" against "false" as the score, trained pointwise, with a '
    "T5 of three layers and width 64 from random weights. It is a check of the machinery: such a "
    "model learns almost nothing from these queries alone.",
    inputs=inputs(TRAIN, DEV, _DL21, VOCABULARY),
    train=RANKT5.train,
    validation=RANKT5.validation,
    sets=_PASSAGE_SETS,
    arms=(ArmDesign("monot5", "monoT5", (recipe("monot5_tiny"),)),),
    bindings=_PASSAGE_BINDINGS,
    vocabulary=VOCABULARY,
    pretrained=False,
)

QNA = Design(
    name="qna-softmax-vs-sigmoid",
    size="tiny",
    title="Softmax against sigmoid on MS MARCO QnA, tiny",
    description="The comparison of the Rax article on 200 lists of MS MARCO QnA: two fifths of the "
    f"queries to train on, one to validate, two to test. {_START}",
    inputs=inputs(f"{TRAIN}/collection", f"{TRAIN}/run", _QNA, VOCABULARY),
    train=(f"--qna={{data}}/{_QNA}", *folds(5, "3-4")),
    validation=(f"--qna={{data}}/{_QNA}", *folds(5, "2")),
    sets=(
        SetDesign(
            "qna",
            "MS MARCO QnA, a sample",
            "The order of the file, about 8 passages",
            MARCO_MEASURES,
            (f"--qna={{data}}/{_QNA}", *folds(5, "0-1")),
        ),
    ),
    arms=tuple(
        ArmDesign(loss, title, (recipe(f"msmarco_qna_{loss}_tiny"), *_ENCODER), (_POOLING,))
        for loss, title in (("sigmoid", "Pointwise sigmoid"), ("softmax", "Listwise softmax"))
    ),
    bindings=(
        _KEEP_HEAD,
        "LIST_SIZE=10",
        "INPUT_LENGTH=112",
        "TRAIN_STEPS=60",
        "LEARNING_RATE=3e-4",
        "WARMUP_STEPS=6",
        "EVAL_PERIOD=12",
        "LOG_PERIOD=6",
    ),
    vocabulary=VOCABULARY,
    pretrained=False,
    stages=_WORDS_STAGES,
)

DESIGNS = (QNA, RANKT5, MONOT5)
