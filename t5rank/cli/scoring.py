"""`t5rank score`, `t5rank rerank` and `t5rank merge`."""

import argparse
from collections import Counter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from t5rank.cli.options import (
    add_command,
    add_lenient,
    add_model,
    check_at_least_one,
    load_model,
    say_irregular,
)
from t5rank.cli.streams import (
    check_text,
    input_lines,
    is_stream,
    local_folder,
    opened,
    say,
    whole_text,
)
from t5rank.process.remote import check_local

if TYPE_CHECKING:
    from t5rank.data.ranked_list import RankedList


def add_score(commands) -> None:
    parser = add_command(
        commands,
        "score",
        "score documents from standard input",
        """
        It reads one document a line, and prints 'score TAB document' in the same order.

        printf '%s\\n' 'A list is mutable.' 'A tuple is not.' |
            t5rank score --model DIR --query 'what is a list'
        """,
    )
    add_model(parser)
    parser.add_argument("--query", required=True, metavar="TEXT", help="the query")
    parser.add_argument("--sort", action="store_true", help="print the best first")
    add_lenient(parser)
    parser.set_defaults(command=_score)


def _score(arguments: argparse.Namespace) -> int:
    counts: Counter[str] = Counter()
    query = whole_text(arguments.query, "Option '--query'", not arguments.lenient, counts)
    documents = input_lines(not arguments.lenient, counts)
    reranker = load_model(arguments, counts)
    if arguments.sort:
        ranked = reranker.rank(query, documents)
        pairs = [(item.score, item.document) for item in ranked]
    else:
        pairs = list(zip(reranker.score(query, documents), documents, strict=True))
    for score, document in pairs:
        print(f"{score:.6f}\t{document}")
    say_irregular(counts)
    return 0


def add_rerank(commands) -> None:
    parser = add_command(
        commands,
        "rerank",
        "rerank a run file",
        """
        It scores every candidate of the run, and writes a TREC run. After an interruption, the same
        command continues.

        --lists takes the place of --queries, --collection and --run. The lists are your own, or
        those of 't5rank lists', and need no labels. --output - writes to standard output.
        """,
    )
    add_model(parser)
    parser.add_argument("--queries", metavar="FILE", help="query id TAB text")
    parser.add_argument("--collection", metavar="FILE", help="document id TAB text")
    parser.add_argument("--run", metavar="FILE", help="candidates, TREC or MS MARCO")
    parser.add_argument(
        "--lists",
        metavar="PATH",
        help="JSON lines (t5rank.data.jsonl) or a folder of them, in place of these three",
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="the TREC run to write; - prints it"
    )
    parser.add_argument("--depth", type=int, metavar="N", help="rerank the N best of the run [all]")
    parser.add_argument("--topn", type=int, metavar="N", help="write the N best documents [all]")
    parser.add_argument("--tag", default="t5rank", help="the run's name [%(default)s]")
    add_lenient(parser)
    parser.set_defaults(command=_rerank)


def _rerank(arguments: argparse.Namespace) -> int:
    from t5rank import model_folder
    from t5rank.data import trec
    from t5rank.data.files import fingerprint
    from t5rank.inference.reranking import rerank_run, rerank_stream

    check_at_least_one(arguments, "depth", "topn")
    check_text(arguments, "tag")
    if not trec.is_id(arguments.tag):
        raise ValueError(f"Option '--tag' has {arguments.tag!r}; expected one word.")
    for name in ("queries", "collection", "run", "lists", "output"):
        check_local(getattr(arguments, name) or "")
    counts: Counter[str] = Counter()
    lists, files, sizes = _candidates(arguments, counts)
    options: dict[str, Any] = {
        "topn": arguments.topn,
        "tag": arguments.tag,
        "total": sum(min(size, arguments.depth or size) for size in sizes) or None,
    }
    output = arguments.output
    if is_stream(output):
        with opened(output) as file:
            written = rerank_stream(load_model(arguments, counts), lists, file, **options)
    else:
        opened_folder = model_folder.open_folder(arguments.model, arguments.step)
        files += [opened_folder.path / model_folder.CONFIG, opened_folder.weights]
        settings = fingerprint(files, arguments.depth)
        options |= {"settings": settings, "lenient": arguments.lenient}
        reranker = load_model(arguments, counts, opened_folder)
        written = rerank_run(reranker, lists, output, **options)
    say_irregular(counts)
    say(
        f"Wrote {written.documents:,} documents of {written.queries:,} queries to {output}.", output
    )
    return 0


def _candidates(
    arguments: argparse.Namespace, counts: Counter[str]
) -> tuple[Iterable["RankedList"], list[Any], Iterable[int]]:
    """The lists, the files that they come from, and how many documents each has, if known."""
    from t5rank.data import trec
    from t5rank.data.folder import list_sizes
    from t5rank.data.jsonl import jsonl_files, read_jsonl
    from t5rank.data.ranked_list import first_of_each_query
    from t5rank.lists.passages import read_passage_lists

    files = {name: getattr(arguments, name) for name in ("queries", "collection", "run")}
    given = [file for file in files.values() if file]
    if len(given) != (0 if arguments.lists else len(files)):
        raise ValueError(
            f"Options have {len(given)} of --{', --'.join(files)}, and {arguments.lists!r} for "
            "--lists; expected the three, or --lists alone."
        )
    strict = not arguments.lenient
    if arguments.lists:
        whole = read_jsonl(arguments.lists, labelled=False, strict=strict, counts=counts)
        once = whole if strict else first_of_each_query(whole, counts)
        cut = (ranked.first(arguments.depth) for ranked in once)
        return cut, jsonl_files(arguments.lists), list_sizes(arguments.lists)
    lists = read_passage_lists(
        arguments.collection,
        arguments.queries,
        None,
        arguments.run,
        topn=arguments.depth,
        strict=strict,
        counts=counts,
    )
    return lists, given, trec.count_documents(arguments.run).values()


def add_merge(commands) -> None:
    parser = add_command(
        commands,
        "merge",
        "merge the shards of an inference into one run",
        """
        It reads the files NAME.trec-00000-of-0000n, ... that `t5x.infer` with NUM_SHARDS=n wrote
        into a folder, and writes one TREC run. All shards must be there and finished. --output -
        writes to standard output.
        """,
    )
    parser.add_argument(
        "folder", type=local_folder, metavar="DIR", help="INFER_OUTPUT_DIR of the inference"
    )
    parser.add_argument(
        "--output", required=True, metavar="FILE", help="the TREC run to write; - prints it"
    )
    add_lenient(parser)
    parser.set_defaults(command=_merge)


def _merge(arguments: argparse.Namespace) -> int:
    from t5rank.data import trec
    from t5rank.data.files import shards

    files = shards(arguments.folder, ".trec")
    counts: Counter[str] = Counter()
    run = trec.merged_runs(files, strict=not arguments.lenient, counts=counts)
    with opened(arguments.output) as file:
        file.writelines(trec.run_lines(run))
    say_irregular(counts)
    say(
        f"Wrote {len(run):,} queries of {len(files)} files to {arguments.output}.", arguments.output
    )
    return 0
