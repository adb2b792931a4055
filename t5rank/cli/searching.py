"""`t5rank search`."""

import argparse
import os
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING

from t5rank.cli.options import (
    add_command,
    add_lenient,
    add_model,
    check_at_least_one,
    load_embedder,
    say_irregular,
)
from t5rank.cli.streams import check_text, is_stream, opened, say

if TYPE_CHECKING:
    from t5rank.search.engines import Engine
    from t5rank.search.runs import QueryVectors
    from t5rank.search.vectors import VectorFolder


def add_search(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "search",
        "find the best documents of queries by their vectors",
        """
        Writes a TREC run of what 't5rank encode' encoded, with which 't5rank rerank',
        't5rank evaluate' and 't5rank lists --run RUN:20-500' go on. --output - prints it.

        t5rank search --vectors DIR --model MODEL --queries queries.tsv --output run.txt
        t5rank search --vectors DIR --query_vectors DIR --output run.txt

        Search is exact: the vectors are read block by block, and memory does not grow with them.
        --index searches with faiss, and keeps the index beside the vectors. --upload uploads the
        vectors to Qdrant, and searches there if there are queries. Both say how much they find of
        what exact search finds.
        """,
    )
    parser.add_argument("--vectors", required=True, metavar="DIR", help="the documents' vectors")
    parser.add_argument("--queries", metavar="FILE", help="query id TAB text, for --model")
    parser.add_argument("--query_vectors", metavar="DIR", help="the queries' vectors")
    add_model(parser, required=False)
    parser.add_argument("--output", metavar="FILE", help="the TREC run to write; - prints it")
    parser.add_argument(
        "--topk", type=int, default=1000, metavar="K", help="documents of a query [%(default)s]"
    )
    engines = parser.add_mutually_exclusive_group()
    engines.add_argument(
        "--index", metavar="FACTORY", help="an index of faiss, such as HNSW32 or IVF4096,PQ64"
    )
    engines.add_argument(
        "--upload",
        metavar="TARGET",
        help="Qdrant: http://HOST:PORT/COLLECTION, or path:FOLDER/COLLECTION without a server",
    )
    parser.add_argument(
        "--index_parameters",
        metavar="NAME=N,...",
        help="faiss' own of searching, such as nprobe=16 or efSearch=64",
    )
    parser.add_argument("--tag", default="t5rank", help="the run's name [%(default)s]")
    add_lenient(parser)
    parser.set_defaults(command=_search)


def _search(arguments: argparse.Namespace) -> int:
    from t5rank.search.runs import search
    from t5rank.search.vectors import VectorFolder

    _check(arguments)
    vectors = VectorFolder.open(arguments.vectors)
    if vectors.manifest.text != "document":
        raise ValueError(f"Folder '{arguments.vectors}' has queries; expected documents.")
    engine = _engine(arguments, vectors)
    if not arguments.output:
        return 0
    counts: Counter[str] = Counter()
    queries = _queries(arguments, vectors, counts)
    hits = search(engine, queries, vectors, arguments.topk)
    written = _write(arguments, queries.ids, hits)
    say_irregular(counts)
    output = arguments.output
    say(f"Wrote {written:,} documents of {len(queries.ids):,} queries to {output}.", output)
    return 0


def _check(arguments: argparse.Namespace) -> None:
    from t5rank.data import trec

    check_at_least_one(arguments, "topk")
    check_text(arguments, "tag")
    if not trec.is_id(arguments.tag):
        raise ValueError(f"Option '--tag' has {arguments.tag!r}; expected one word.")
    if arguments.index_parameters and not arguments.index:
        raise ValueError("Option '--index_parameters' has no use without --index; expected both.")
    of_model = [name for name in ("queries", "model") if getattr(arguments, name)]
    given = [*of_model, *(["query_vectors"] if arguments.query_vectors else [])]
    if arguments.upload and not given and not arguments.output:
        return
    if given not in (["queries", "model"], ["query_vectors"]):
        raise ValueError(
            f"Options have {', '.join(f'--{name}' for name in given) or 'no queries'}; expected "
            "--queries with --model, or --query_vectors alone."
        )
    if not arguments.output:
        raise ValueError("Option '--output' is missing; expected the run to write.")


def _engine(arguments: argparse.Namespace, vectors: "VectorFolder") -> "Engine":
    from t5rank.search.engines import ExactEngine
    from t5rank.search.faiss_index import FaissEngine
    from t5rank.search.qdrant import QdrantEngine

    if arguments.index:
        return FaissEngine(vectors, arguments.index, arguments.index_parameters)
    if not arguments.upload:
        return ExactEngine(vectors)
    engine = QdrantEngine.open(arguments.upload)
    count = engine.upload(vectors)
    say(f"Uploaded {count:,} vectors to {arguments.upload}.", arguments.output)
    return engine


def _queries(
    arguments: argparse.Namespace, vectors: "VectorFolder", counts: Counter[str]
) -> "QueryVectors":
    from t5rank.data.trec import read_queries
    from t5rank.search.encoding import Queries
    from t5rank.search.runs import encoded_queries, stored_queries
    from t5rank.search.vectors import VectorFolder

    if arguments.query_vectors:
        return stored_queries(VectorFolder.open(arguments.query_vectors), vectors)
    read = read_queries(arguments.queries, strict=not arguments.lenient, counts=counts)
    texts = Queries(arguments.queries, read)
    return encoded_queries(load_embedder(arguments, counts), texts, vectors)


def _write(arguments: argparse.Namespace, query_ids: list[str], hits) -> int:
    """Writes the run; a file comes to its place as a whole."""
    from t5rank.search.runs import write_run

    if is_stream(arguments.output):
        with opened(arguments.output) as file:
            return write_run(file, query_ids, hits, arguments.tag)
    output = Path(arguments.output)
    unfinished = output.with_name(f"unfinished.{os.getpid()}.{output.name}")  # .gz stays the end
    try:
        with opened(str(unfinished)) as file:
            written = write_run(file, query_ids, hits, arguments.tag)
        unfinished.replace(output)
    finally:
        unfinished.unlink(missing_ok=True)
    return written
