"""`t5rank score`, `t5rank rerank` and `t5rank merge`."""

import argparse
import os
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

from t5rank.cli.options import add_command, add_model, check_at_least_one, load_model

if TYPE_CHECKING:
    from t5rank.data.lists import RankedList


def add_score(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "score",
        "score documents from standard input",
        """
        Reads one document a line and prints 'score TAB document' in the same order.

        printf '%s\\n' 'A list is mutable.' 'A tuple is not.' |
            t5rank score --model DIR --query 'what is a list'
        """,
    )
    add_model(parser)
    parser.add_argument("--query", required=True, metavar="TEXT", help="the query")
    parser.add_argument("--sort", action="store_true", help="print the best first")
    parser.set_defaults(command=_score)


def _score(arguments: argparse.Namespace) -> int:
    documents = [line.rstrip("\r\n") for line in sys.stdin]
    if not documents:
        raise ValueError("Standard input has no line; expected one document a line.")
    reranker = load_model(arguments)
    if arguments.sort:
        ranked = reranker.rank(arguments.query, documents)
        pairs = [(item.score, item.document) for item in ranked]
    else:
        pairs = list(zip(reranker.score(arguments.query, documents), documents, strict=True))
    for score, document in pairs:
        print(f"{score:.6f}\t{document}")
    return 0


def add_rerank(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "rerank",
        "rerank a run file",
        """
        Scores every candidate of the run and writes a TREC run. Interrupted, it goes on where it
        was when the same command is given again.
        """,
    )
    add_model(parser)
    parser.add_argument("--queries", metavar="FILE", help="query id TAB text")
    parser.add_argument("--collection", metavar="FILE", help="document id TAB text")
    parser.add_argument("--run", metavar="FILE", help="candidates, TREC or MS MARCO")
    parser.add_argument(
        "--lists", metavar="DIR", help="what 't5rank lists' wrote, in place of these three"
    )
    parser.add_argument("--output", required=True, metavar="FILE", help="the TREC run to write")
    parser.add_argument("--depth", type=int, metavar="N", help="rerank the N best of the run [all]")
    parser.add_argument("--topn", type=int, metavar="N", help="write the N best documents [all]")
    parser.add_argument("--tag", default="t5rank", help="the run's name [%(default)s]")
    parser.set_defaults(command=_rerank)


def _rerank(arguments: argparse.Namespace) -> int:
    from t5rank import model_folder
    from t5rank.data.files import fingerprint
    from t5rank.rerank import rerank_run

    check_at_least_one(arguments, "depth", "topn")
    lists, files, sizes = _candidates(arguments)
    files += [
        os.path.join(arguments.model, model_folder.CONFIG),
        model_folder.weights_path(arguments.model, arguments.step),
    ]
    written = rerank_run(
        load_model(arguments),
        lists,
        arguments.output,
        settings=fingerprint(files, arguments.depth),
        topn=arguments.topn,
        tag=arguments.tag,
        total=sum(min(size, arguments.depth or size) for size in sizes),
    )
    print(
        f"Wrote {written.documents:,} documents of {written.queries:,} queries to "
        f"{arguments.output}."
    )
    return 0


def _candidates(
    arguments: argparse.Namespace,
) -> tuple[Iterable["RankedList"], list[str], Iterable[int]]:
    """The lists, the files that they are read from, and how many documents each has."""
    from t5rank import trec
    from t5rank.data.folder import MANIFEST, read_manifest
    from t5rank.data.jsonl import read_jsonl
    from t5rank.data.passages import read_passage_lists

    files = {name: getattr(arguments, name) for name in ("queries", "collection", "run")}
    given = [file for file in files.values() if file]
    if len(given) != (0 if arguments.lists else len(files)):
        raise ValueError(
            f"Options have {len(given)} of --{', --'.join(files)}, and {arguments.lists!r} for "
            "--lists; expected the three, or --lists alone."
        )
    if arguments.lists:
        histogram = read_manifest(arguments.lists)["histograms"]["list_length"]
        sizes = [int(size) for size, count in histogram.items() for _ in range(count)]
        whole = read_jsonl(arguments.lists)
        cut = (ranked.first(arguments.depth) for ranked in whole)
        return cut, [os.path.join(arguments.lists, MANIFEST)], sizes
    counts = trec.count_documents(arguments.run).values()
    lists = read_passage_lists(
        arguments.collection, arguments.queries, None, arguments.run, topn=arguments.depth
    )
    return lists, given, counts


def add_merge(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "merge",
        "make one run of the shards of an inference",
        """
        Reads what `t5x.infer` with NUM_SHARDS=n wrote into a folder (NAME.trec-00000-of-0000n, ...)
        and writes one TREC run. All shards must be there and finished.
        """,
    )
    parser.add_argument("folder", metavar="DIR", help="INFER_OUTPUT_DIR of the inference")
    parser.add_argument("--output", required=True, metavar="FILE", help="the TREC run to write")
    parser.set_defaults(command=_merge)


def _merge(arguments: argparse.Namespace) -> int:
    from t5rank import trec
    from t5rank.data.files import shards

    files = shards(arguments.folder, ".trec")
    queries = trec.merge_runs(files, arguments.output)
    print(f"Wrote {queries:,} queries of {len(files)} files to {arguments.output}.")
    return 0
