"""Makes training lists out of a collection alone: the query is a few words of the passage sought.

    python keyword_lists.py MSMARCO_FOLDER OUTPUT_FOLDER --words 40 --query-words 3 7 --near 8

Reads collection.tsv and run.bm25.txt of the first folder, and writes collection.tsv, queries.tsv,
qrels.txt and run.txt into the second. Passages are cut to a window of `--words` words, so that a
small model sees short texts first. The other passages of a list are drawn from a list of the run
that holds the sought one (`--near`, about the same subject) and from all (`--random`).
"""

import argparse
import random
import re
from pathlib import Path

from tqdm import tqdm

from t5rank import trec


def main() -> None:
    """Runs the script; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("source", type=Path)
    parser.add_argument("output", type=Path)
    parser.add_argument("--words", type=int, required=True, help="the words of a passage")
    parser.add_argument("--query-words", type=int, nargs=2, required=True, metavar=("MIN", "MAX"))
    parser.add_argument("--queries", type=int, default=2, help="queries for each passage")
    parser.add_argument(
        "--near", type=int, default=0, help="passages of a list near the sought one"
    )
    parser.add_argument("--random", type=int, default=8, help="passages of a list from anywhere")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    rng = random.Random(options.seed)

    texts = trec.read_queries(options.source / "collection.tsv")
    windows = {doc_id: window(text, options.words, rng) for doc_id, text in texts.items()}
    together: dict[str, list[list[str]]] = {}
    for scored in trec.read_run(options.source / "run.bm25.txt").values():
        for doc_id in scored:
            together.setdefault(doc_id, []).append(list(scored))

    queries: dict[str, str] = {}
    for doc_id, text in windows.items():
        words = list(dict.fromkeys(re.findall(r"\b[A-Za-z]{3,12}\b", text)))
        if len(words) > options.query_words[1]:
            for number in range(options.queries):
                count = rng.randint(*options.query_words)
                queries[f"{doc_id}-{number}"] = " ".join(rng.sample(words, count))
    order = list(queries)
    rng.shuffle(order)

    names, run, qrels = list(windows), {}, {}
    for query_id in tqdm(order, unit="list"):
        sought = query_id.rpartition("-")[0]
        near = rng.choice(together[sought]) if sought in together else []
        near = rng.sample(near, min(options.near, len(near)))
        documents = dict.fromkeys([sought, *near, *rng.sample(names, options.random)])
        run[query_id] = {doc_id: -float(rank) for rank, doc_id in enumerate(documents)}
        qrels[query_id] = {sought: 1}

    options.output.mkdir(parents=True, exist_ok=True)
    trec.write_queries(options.output / "collection.tsv", windows)
    trec.write_queries(options.output / "queries.tsv", queries)
    trec.write_qrels(options.output / "qrels.txt", qrels)
    trec.write_run(options.output / "run.txt", run, tag="keywords")
    print(f"{len(run):,} lists in {options.output}")


def window(text: str, size: int, rng: random.Random) -> str:
    """So many words in a row, from anywhere in the text."""
    words = text.split()
    start = rng.randrange(max(1, len(words) - size + 1))
    return " ".join(words[start : start + size])


if __name__ == "__main__":
    main()
