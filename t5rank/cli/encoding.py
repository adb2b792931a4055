"""`t5rank encode`."""

import argparse
import re
from collections import Counter
from typing import TYPE_CHECKING

from t5rank.cli.options import (
    add_command,
    add_lenient,
    add_model,
    check_at_least_one,
    load_embedder,
    say_irregular,
)
from t5rank.cli.streams import new_folder
from t5rank.search import VECTORS_PER_SHARD

if TYPE_CHECKING:
    from t5rank.search.encoding import Share, Texts


def add_encode(commands) -> None:
    """Adds the command."""
    parser = add_command(
        commands,
        "encode",
        "encode a collection, or queries, into vectors",
        """
        Writes a folder of vectors that 't5rank search' reads, and that faiss and numpy read, too:
        vectors-00000-of-0000N.npy, ids-00000-of-0000N.txt and manifest.json.

        t5rank encode --model DIR --collection collection.tsv --output vectors
        t5rank encode --model DIR --queries queries.tsv --output query_vectors

        Interrupted, it goes on where it was when the same command is given again: shards that are
        whole stay. Several hosts give the same command with --shard 0/4 to --shard 3/4, and write
        into one folder, or into folders whose files are put together later.
        """,
    )
    add_model(parser)
    texts = parser.add_mutually_exclusive_group(required=True)
    texts.add_argument(
        "--collection",
        nargs="+",
        metavar="FILE",
        help="document id TAB text; BEIR's corpus.jsonl; or lists, JSON lines or a folder of them",
    )
    texts.add_argument("--queries", metavar="FILE", help="query id TAB text")
    parser.add_argument(
        "--output", required=True, type=new_folder, metavar="DIR", help="the folder to write"
    )
    parser.add_argument(
        "--shard", default="0/1", metavar="I/N", help="this host's part, from 0 [%(default)s]"
    )
    parser.add_argument(
        "--dtype",
        choices=["float32", "float16"],
        default="float32",
        help="of the vectors in the folder; float16 takes half the space [%(default)s]",
    )
    parser.add_argument(
        "--vectors_per_shard",
        type=int,
        default=VECTORS_PER_SHARD,
        metavar="N",
        help="vectors of a file; an interruption loses one at most [%(default)s]",
    )
    add_lenient(parser)
    parser.set_defaults(command=_encode)


def _encode(arguments: argparse.Namespace) -> int:
    from t5rank.search.encoding import encode

    check_at_least_one(arguments, "vectors_per_shard")
    share = _share(arguments.shard)
    counts: Counter[str] = Counter()
    texts = _texts(arguments, counts)
    done = encode(
        load_embedder(arguments, counts),
        texts,
        arguments.output,
        "query" if arguments.queries else "document",
        dtype=arguments.dtype,
        share=share,
        vectors_per_shard=arguments.vectors_per_shard,
    )
    say_irregular(counts)
    kept = f", kept {done.kept:,}" if done.kept else ""
    print(f"Encoded {done.written:,} texts{kept}: {arguments.output}.")
    if done.missing:
        print(f"Shards of other hosts are missing: {done.missing} of {done.manifest.shards}.")
    return 0


def _texts(arguments: argparse.Namespace, counts: Counter[str]) -> "Texts":
    from t5rank.data.documents import Documents
    from t5rank.data.trec import read_queries
    from t5rank.search.encoding import Queries

    strict = not arguments.lenient
    if arguments.queries:
        queries = read_queries(arguments.queries, strict=strict, counts=counts)
        return Queries(arguments.queries, queries)
    return Documents(arguments.collection, strict=strict, counts=counts)


def _share(text: str) -> "Share":
    from t5rank.search.encoding import Share

    match = re.fullmatch(r"(\d+)/(\d+)", text)
    share = Share(int(match[1]), int(match[2])) if match else Share(1, 1)
    if share.host >= share.hosts:
        raise ValueError(f"Option '--shard' has '{text}'; expected I/N with I from 0 to N - 1.")
    return share
