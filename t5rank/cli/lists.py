"""`t5rank lists`."""

import argparse
import shlex
from typing import Any

from t5rank.cli.options import add_command, add_lenient, check_at_least_one
from t5rank.cli.streams import local_folder


def add_lists(commands) -> None:
    parser = add_command(
        commands,
        "lists",
        "build training or evaluation lists",
        """
        It writes a folder of lists, which training (a split of SPLITS) and 't5rank rerank --lists'
        read:

        t5rank lists OUTPUT --qna train_v2.1.json.gz
        t5rank lists OUTPUT --collection C --queries Q --qrels R --run RUN
        t5rank lists OUTPUT --dataset msmarco-passage/trec-dl-2019/judged
        t5rank lists OUTPUT --collection C --queries Q --qrels R --run RUN:1-200 --negatives 35
        t5rank lists OUTPUT --keywords --collection C --words 40 --query_words 3 7
        t5rank lists OUTPUT --pairs pairs.jsonl.gz

        The first three write lists of all candidates, for evaluation or training. The fourth writes
        training lists of every relevant document and of sampled hard negatives. The fifth makes up
        queries from the words of documents. The last takes pairs and triples, which training also
        reads as they are. After an interruption, the same command continues.

        The folder also has qrels.txt and run.txt, so that it can be evaluated:
        't5rank evaluate --qrels OUTPUT --run OUTPUT/run.txt'. The file qrels.txt has all judgements
        of the lists' queries; for evaluation lists, it also has those of queries that the run
        lacks. The file run.txt has the documents in the order of the source, with minus the rank as
        the score; documents of sampled lists have the score 0.
        """,
    )
    parser.add_argument("output", type=local_folder, metavar="OUTPUT", help="the folder to write")
    _add_sources(parser)
    _add_sampling(parser)
    _add_keywords(parser)
    _add_contamination(parser)
    work = parser.add_argument_group("work")
    work.add_argument(
        "--lists_per_shard",
        type=int,
        default=1000,
        metavar="N",
        help="queries a file [%(default)s]",
    )
    work.add_argument("--workers", type=int, default=1, metavar="N", help="processes [%(default)s]")
    work.add_argument("--beam", action="store_true", help="run on Apache Beam")
    work.add_argument(
        "--beam_options", default="", metavar="TEXT", help="options of Beam, such as '--runner=...'"
    )
    parser.set_defaults(command=_lists)


def _add_sources(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("sources")
    group.add_argument(
        "--qna",
        action="append",
        default=[],
        metavar="FILE",
        help="MS MARCO QnA: columnar .json[.gz], .jsonl rows, .parquet, or FOLDER:SPLIT of a "
        "dataset that TFDS prepared; may be repeated",
    )
    group.add_argument(
        "--pairs",
        action="append",
        default=[],
        metavar="FILE",
        help="lists, pairs or triples, one a line, .gz or not: JSON lines of BGE, Tevatron and "
        "sentence-transformers, TSV triples; ids need --collection and --queries; the format is "
        "found by content and said; may be repeated",
    )
    group.add_argument(
        "--dataset",
        metavar="ID",
        help="a dataset of ir_datasets, in place of --collection, --queries and --qrels; without "
        "--run its own candidates are taken",
    )
    group.add_argument(
        "--download", action="store_true", help="let ir_datasets download what it lacks"
    )
    group.add_argument("--collection", metavar="FILE", help="document id TAB text, uncompressed")
    group.add_argument("--queries", metavar="FILE", help="query id TAB text")
    group.add_argument("--qrels", metavar="FILE", help="judgements, TREC or MS MARCO")
    group.add_argument(
        "--run",
        action="append",
        default=[],
        metavar="RUN[:FIRST-LAST]",
        help="candidates, TREC or MS MARCO, uncompressed, at these ranks [all]; may be repeated",
    )
    group.add_argument(
        "--only_ids",
        metavar="REGEX",
        help="take only candidates whose whole id matches",
    )
    group.add_argument(
        "--folds",
        type=int,
        metavar="N",
        help="split the queries into N parts by crc32 of the ids",
    )
    group.add_argument(
        "--fold",
        type=_fold_range,
        action="append",
        metavar="I[-J]",
        help="take this part, counted from 0, or these parts; may be repeated",
    )
    group.add_argument(
        "--drop_without_relevant",
        action="store_true",
        help="leave out lists without a label above 0",
    )
    group.add_argument(
        "--unlabelled",
        action="store_true",
        help="accept QnA's passages without labels, as label 0",
    )
    add_lenient(parser, labelled="--unlabelled")


def _add_sampling(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("training lists")
    group.add_argument(
        "--negatives",
        type=int,
        metavar="N",
        help="sample N documents that are not judged relevant; a document with the query's id is "
        "never sampled, because in BEIR's sets it may be the query itself",
    )
    group.add_argument(
        "--near_duplicates",
        type=float,
        default=0.9,
        metavar="T",
        help="leave out negatives whose word 3-grams have at least this Jaccard similarity to "
        "those of a relevant document; 0 leaves out none [%(default)s]",
    )
    group.add_argument("--teacher", metavar="RUN", help="a run with a score for each document")
    group.add_argument(
        "--seed", type=int, default=0, metavar="S", help="seed of the sampling [%(default)s]"
    )


def _add_keywords(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("made-up queries, of words of a document")
    group.add_argument("--keywords", action="store_true", help="make up queries")
    group.add_argument("--words", type=int, metavar="N", help="show N words of a document")
    group.add_argument(
        "--query_words", type=int, nargs=2, metavar=("MIN", "MAX"), help="words of a query"
    )
    group.add_argument(
        "--queries_per_document", type=int, default=2, metavar="N", help="queries [%(default)s]"
    )
    group.add_argument(
        "--near",
        type=int,
        default=0,
        metavar="N",
        help="other candidates of a query that has it [%(default)s]",
    )
    group.add_argument(
        "--random",
        type=int,
        default=8,
        metavar="N",
        help="documents from anywhere else [%(default)s]",
    )


def _add_contamination(parser: argparse.ArgumentParser) -> None:
    group = parser.add_argument_group("contamination")
    group.add_argument(
        "--evaluation",
        action="append",
        default=[],
        metavar="NAME=DATASET or QUERIES[,QRELS[,COLLECTION]]",
        help="report what the lists share with these sets; may be repeated",
    )
    group.add_argument(
        "--exclude_contaminated",
        action="store_true",
        help="leave out lists that share something with them",
    )


def _lists(arguments: argparse.Namespace) -> int:
    from t5rank.lists.building import build_lists
    from t5rank.lists.report import report_text
    from t5rank.lists.shards import Writer

    check_at_least_one(
        arguments, "lists_per_shard", "workers", "negatives", "words", "queries_per_document"
    )
    source = _source(arguments)
    writer = Writer(
        source,
        arguments.output,
        arguments.lists_per_shard,
        drop_without_relevant=arguments.drop_without_relevant,
        evaluation_sets=_evaluation_sets(arguments, source),
        exclude_contaminated=arguments.exclude_contaminated,
    )
    print(report_text(build_lists(writer, _runner(arguments)), arguments.output))
    return 0


def _runner(arguments: argparse.Namespace) -> Any:
    from t5rank.lists.beam import BeamRunner
    from t5rank.lists.building import LocalRunner

    if arguments.beam_options and not arguments.beam:
        raise ValueError("Option '--beam_options' has no use without --beam; expected both.")
    if arguments.beam:
        return BeamRunner(tuple(shlex.split(arguments.beam_options)))
    return LocalRunner(arguments.workers)


def _source(arguments: argparse.Namespace) -> Any:
    from t5rank.lists.keywords import KeywordSource
    from t5rank.lists.pairs import PairSource
    from t5rank.lists.passages import PassageSource
    from t5rank.lists.qna import QnaSource
    from t5rank.lists.query_list import Sampling
    from t5rank.lists.runs import IndexedRun

    made_up = ("words", "query_words", "near")
    folds = _folds(arguments)
    strict = not arguments.lenient
    runs = [IndexedRun.parse(run, strict) for run in arguments.run]
    if arguments.qna:
        files = ("dataset", "collection", "queries", "qrels", "run", "only_ids")
        _refuse(arguments, "--qna", "pairs", "keywords", "negatives", "teacher", *files, *made_up)
        return QnaSource(arguments.qna, folds, not arguments.unlabelled)
    _refuse(arguments, "these lists; it is for --qna", "unlabelled")
    if arguments.pairs:
        others = ("dataset", "qrels", "run", "only_ids", "keywords", "negatives", "teacher")
        _refuse(arguments, "--pairs", *others, *made_up)
        texts = (arguments.collection, arguments.queries)
        return PairSource(arguments.pairs, *texts, folds, strict)
    if arguments.keywords:
        _refuse(arguments, "--keywords", "dataset", "queries", "qrels", "negatives", "teacher")
        _require(arguments, "--keywords", "collection", "words", "query_words")
        if len(runs) > 1:
            raise ValueError(f"Option '--run' comes {len(runs)} times with --keywords; expected 1.")
        return KeywordSource(
            arguments.collection,
            runs[0] if runs else None,
            arguments.words,
            tuple(arguments.query_words),
            arguments.queries_per_document,
            arguments.near,
            arguments.random,
            arguments.seed,
            arguments.only_ids,
            folds,
            strict,
        )
    _refuse(arguments, "these lists; it is for --keywords", *made_up)
    dataset, runs = _dataset(arguments, runs)
    sampling = None
    if arguments.negatives is not None:
        sampling = Sampling(arguments.negatives, arguments.near_duplicates, arguments.seed)
    teacher = IndexedRun(arguments.teacher, strict=strict) if arguments.teacher else None
    return PassageSource(dataset, runs, sampling, teacher, folds, arguments.only_ids)


def _fold_range(text: str) -> range:
    first, _, last = text.partition("-")
    return range(int(first), int(last or first) + 1)


def _dataset(arguments: argparse.Namespace, runs: list[Any]) -> tuple[Any, list[Any]]:
    """Texts and judgements, and the runs, from ir_datasets or from files."""
    from t5rank.lists.catalogue import CatalogueDataset
    from t5rank.lists.sources import DatasetFiles

    if not arguments.dataset:
        mode = "these lists (or --dataset, --qna, --pairs or --keywords)"
        _require(arguments, mode, "collection", "queries", "run")
        files = (arguments.collection, arguments.queries, arguments.qrels)
        return DatasetFiles(*files, strict=not arguments.lenient), runs
    _refuse(arguments, "--dataset", "collection", "queries", "qrels")
    dataset = CatalogueDataset(arguments.dataset, arguments.download)
    _ = dataset.texts  # builds the store once, before the workers start
    return dataset, runs or [dataset.candidates()]


def _folds(arguments: argparse.Namespace) -> Any:
    from t5rank.lists.sources import Folds

    if arguments.folds is None and arguments.fold is None:
        return Folds()
    chosen = sorted({fold for some in arguments.fold or () for fold in some})
    if arguments.folds is None or not chosen or not 0 <= chosen[0] <= chosen[-1] < arguments.folds:
        raise ValueError(
            f"Options '--folds' and '--fold' have {arguments.folds} and {chosen}; expected "
            "--folds N with each --fold from 0 to N - 1."
        )
    return Folds(arguments.folds, tuple(chosen))


def _evaluation_sets(arguments: argparse.Namespace, source: Any) -> tuple:
    from t5rank.lists.contamination import held_out_set, parse_evaluation

    if arguments.exclude_contaminated and not arguments.evaluation:
        raise ValueError("Option '--exclude_contaminated' has no set; expected --evaluation too.")
    own = getattr(source, "dataset", None)
    parsed = [
        parse_evaluation(
            text, arguments.collection, arguments.download, strict=not arguments.lenient
        )
        for text in arguments.evaluation
    ]
    return tuple(held_out_set(name, dataset, own) for name, dataset in parsed)


def _refuse(arguments: argparse.Namespace, mode: str, *names: str) -> None:
    for name in names:
        if getattr(arguments, name):
            raise ValueError(
                f"Option '--{name}' has no use with {mode}; expected it to be left out."
            )


def _require(arguments: argparse.Namespace, mode: str, *names: str) -> None:
    for name in names:
        if not getattr(arguments, name):
            raise ValueError(f"Option '--{name}' is missing; expected it for {mode}.")
