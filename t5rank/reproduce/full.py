"""The experiments in the sizes that were published."""

from __future__ import annotations

from typing import Any

from t5rank.report.experiment import Headline
from t5rank.reproduce.designs import (
    DL_MEASURES,
    MARCO_MEASURES,
    ArmDesign,
    Design,
    SetDesign,
    config,
    recipe,
)
from t5rank.reproduce.inputs import VOCABULARY_SOURCE, Input

_MSMARCO = "https://msmarco.z22.web.core.windows.net"
_TREC = "https://trec.nist.gov/data/deep"
_ARCHIVE = "collectionandqueries.tar.gz"
_QUERIES = "queries.tar.gz"


def _download(path: str, url: str, size: int, md5: str) -> Input:
    return Input(path, f"Download {url}", size, f"md5:{md5}")


_VOCABULARY = Input(
    "spiece.model",
    VOCABULARY_SOURCE,
    791_656,
    "sha256:d60acb128cf7b7f2536e8f38a5b18a05535c9e14c7a355904270e15b0945ea86",
)


def _run(path: str, of: str) -> Input:
    return Input(
        path,
        f"Make it with your first stage: a TREC or MS MARCO run of {of}, the 1,000 best of each, "
        "uncompressed.",
    )


_PASSAGE_INPUTS = (
    _download(
        _ARCHIVE,
        f"{_MSMARCO}/msmarcoranking/{_ARCHIVE}",
        1_057_717_952,
        "31644046b18952c1386cd4564ba2ae69",
    ),
    _download(
        _QUERIES,
        f"{_MSMARCO}/msmarcoranking/{_QUERIES}",
        18_882_551,
        "c177b2795d5f2dcc524cf00fcd973be1",
    ),
    _download(
        "qrels.train.tsv",
        f"{_MSMARCO}/msmarcoranking/qrels.train.tsv",
        10_589_532,
        "733fb9fe12d93e497f7289409316eccf",
    ),
    _download(
        "msmarco-test2019-queries.tsv.gz",
        f"{_MSMARCO}/msmarcoranking/msmarco-test2019-queries.tsv.gz",
        4_276,
        "eda71eccbe4d251af83150abe065368c",
    ),
    _download(
        "2019qrels-pass.txt",
        f"{_TREC}/2019qrels-pass.txt",
        187_092,
        "2f4be390198da108f6845c822e5ada14",
    ),
    _download(
        "msmarco-test2020-queries.tsv.gz",
        f"{_MSMARCO}/msmarcoranking/msmarco-test2020-queries.tsv.gz",
        4_131,
        "00a406fb0d14ed3752d70d1e4eb98600",
    ),
    _download(
        "2020qrels-pass.txt",
        f"{_TREC}/2020qrels-pass.txt",
        218_617,
        "0355ccee7509ac0463e8278186cdd8d1",
    ),
    _run("run.train.txt", "the training queries"),
    _run("run.dev.small.txt", "the queries of queries.dev.small.tsv"),
    _run("run.dl19.txt", "the queries of msmarco-test2019-queries.tsv"),
    _run("run.dl20.txt", "the queries of msmarco-test2020-queries.tsv"),
    _VOCABULARY,
)
_COLLECTION = "--collection={unpacked}/collection.tsv"


def _set(name: str, title: str, queries: str, qrels: str, measures: str) -> SetDesign:
    lists = (
        _COLLECTION,
        f"--queries={queries}",
        f"--qrels={qrels}",
        f"--run={{data}}/run.{name}.txt",
    )
    return SetDesign(name, title, f"run.{name}.txt, up to 1,000", measures, lists, qrels)


_DEV = _set(
    "dev.small",
    "MS MARCO dev/small",
    "{unpacked}/queries.dev.small.tsv",
    "{unpacked}/qrels.dev.small.tsv",
    MARCO_MEASURES,
)
_DL19, _DL20 = (
    _set(
        f"dl{year % 100}",
        f"TREC DL {year}",
        f"{{data}}/msmarco-test{year}-queries.tsv.gz",
        f"{{data}}/{year}qrels-pass.txt",
        DL_MEASURES,
    )
    for year in (2019, 2020)
)
_TRAIN = (
    _COLLECTION,
    "--queries={unpacked}/queries.train.tsv",
    "--qrels={data}/qrels.train.tsv",
)
# One query in 1,000, about 500 of them, is for validation.
_PASSAGE: dict[str, Any] = {
    "inputs": _PASSAGE_INPUTS,
    "archives": (_ARCHIVE, _QUERIES),
    "train": (
        *_TRAIN,
        "--run={data}/run.train.txt:1-1000",
        "--folds=1000",
        "--fold=1-999",
        "--negatives=200",
        "--evaluation=dev.small={unpacked}/queries.dev.small.tsv,{unpacked}/qrels.dev.small.tsv",
        "--evaluation=dl19={data}/msmarco-test2019-queries.tsv.gz,{data}/2019qrels-pass.txt",
        "--evaluation=dl20={data}/msmarco-test2020-queries.tsv.gz,{data}/2020qrels-pass.txt",
    ),
    "validation": (*_TRAIN, "--run={data}/run.train.txt:1-100", "--folds=1000", "--fold=0"),
    "sets": (_DEV, _DL19, _DL20),
}

_RANKT5 = "Zhuang et al. 2022, https://arxiv.org/abs/2210.10634"
_MONOT5 = "Nogueira et al. 2020, https://arxiv.org/abs/2003.06713"
_RANKT5_STAGE = "1,000 candidates of a retriever of their own"
_BM25 = "BM25, 1,000 candidates"


def _rankt5(size: str, headlines: tuple[Headline, ...] = ()) -> Design:
    suffix = {"base": "", "large": "_large"}[size]
    softmax = recipe(f"msmarco_passage_softmax{suffix}")
    heads = (
        ("encdec", "encoder-decoder", ()),
        ("encoder", "encoder", (config("models/rankt5_encoder"),)),
    )
    losses = (
        ("sigmoid", "PointCE", (recipe(f"msmarco_passage_sigmoid{suffix}"),)),
        ("softmax", "Softmax", (softmax,)),
        ("poly1", "Poly1", (softmax, config("losses/poly1_softmax"))),
    )
    arms = tuple(
        ArmDesign(f"{head}-{loss}", f"{title}, {said}", (*files, *more))
        for head, said, more in heads
        for loss, title, files in losses
    )
    return Design(
        name="rankt5",
        size=size,
        title=f"RankT5 on MS MARCO passages, T5 {size}",
        description="Lists of one relevant passage and 35 sampled from the first stage's 1,000 "
        "best, 32 lists a step, 50,000 steps; pointwise and listwise losses, encoder-decoder and "
        "encoder. Each model is the checkpoint that is best on training queries held out for it.",
        arms=arms,
        headlines=headlines,
        **_PASSAGE,
    )


def _rankt5_headline(system: str, value: float) -> Headline:
    return Headline(
        f"RankT5 large, {system}", "MS MARCO dev/small", _RANKT5_STAGE, "RR@10", value, _RANKT5
    )


RANKT5_LARGE = _rankt5(
    "large",
    (
        _rankt5_headline("PointCE, encoder-decoder", 0.4209),
        _rankt5_headline("Softmax, encoder-decoder", 0.4278),
        _rankt5_headline("Poly1, encoder-decoder", 0.4343),
        _rankt5_headline("PointCE, encoder", 0.4216),
        _rankt5_headline("Softmax, encoder", 0.4305),
        _rankt5_headline("Poly1, encoder", 0.4296),
    ),
)

MONOT5 = Design(
    name="monot5",
    size="base",
    title="monoT5 on MS MARCO passages, T5 base",
    description='The log probability of "true" against "false" as the score, trained pointwise for '
    "100,000 steps at a constant learning rate of 1e-3.",
    arms=(ArmDesign("monot5", "monoT5", (recipe("monot5"),)),),
    headlines=(
        Headline("monoT5 base", "MS MARCO dev/small", _BM25, "RR@10", 0.3816, _MONOT5),
        Headline("monoT5 large", "MS MARCO dev/small", _BM25, "RR@10", 0.3937, _MONOT5),
        Headline("BM25 alone", "MS MARCO dev/small", _BM25, "RR@10", 0.1874, _MONOT5),
    ),
    **_PASSAGE,
)

QNA = Design(
    name="qna-softmax-vs-sigmoid",
    size="base",
    title="Softmax against sigmoid on MS MARCO QnA, T5 base",
    description="The comparison of the Rax article: T5 base on QnA v2.1, lists of about ten "
    "passages. It reports 1.2% more NDCG and 1.7% more MRR for softmax. Each model is the "
    "checkpoint that is best on a hundredth of the training lists, held out for it; the test lists "
    "are those of the dev split.",
    inputs=(
        _download(
            "train_v2.1.json.gz",
            f"{_MSMARCO}/msmarco/train_v2.1.json.gz",
            1_112_116_929,
            "576230a745a06943c3a49e76acea1d9d",
        ),
        _download(
            "dev_v2.1.json.gz",
            f"{_MSMARCO}/msmarco/dev_v2.1.json.gz",
            138_303_699,
            "5e14839f31c933560fbb3bae4ce67829",
        ),
        _VOCABULARY,
    ),
    train=("--qna={data}/train_v2.1.json.gz", "--folds=100", "--fold=1-99"),
    validation=("--qna={data}/train_v2.1.json.gz", "--folds=100", "--fold=0"),
    sets=(
        SetDesign(
            "dev",
            "MS MARCO QnA v2.1 dev",
            "The order of the file, about 10 passages",
            MARCO_MEASURES,
            ("--qna={data}/dev_v2.1.json.gz",),
        ),
    ),
    arms=tuple(
        ArmDesign(loss, title, (recipe(f"msmarco_qna_{loss}"),))
        for loss, title in (("sigmoid", "Pointwise sigmoid"), ("softmax", "Listwise softmax"))
    ),
)

DESIGNS = (QNA, _rankt5("base"), RANKT5_LARGE, MONOT5)
