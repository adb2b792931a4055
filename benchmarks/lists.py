"""How time and memory of `t5rank lists` grow with the collection.

    python benchmarks/lists.py --folder FOLDER [--passages 100000 1000000 10000000]
        [--candidates 100] [--negatives 35] [--output results/lists]

For each size: a collection of made-up passages with MS MARCO's lengths, queries in proportion to it
(503 for 8,842 passages), each with one relevant passage and a run of `--candidates`; then `t5rank
lists --negatives` in a process of its own. Measured are the seconds of the whole command and until
its first shard is there (the indexing); the most memory that only the process has (`RssAnon`, asked
for ten times a second); and the most that is resident at all (`VmHWM`, the maxrss of getrusage),
which counts pages of the mapped files that the system takes back when it needs them. What was made
is removed after each size.
"""

import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from tqdm import tqdm

QUERIES_PER_PASSAGE = 503 / 8842
MEAN_WORDS, DEVIATION = 56, 22  # of MS MARCO's passages
VOCABULARY = 50_000
_BLOCK = 10_000


def make(folder: Path, passages: int, candidates: int, seed: int = 0) -> int:
    """Writes collection.tsv, queries.tsv, qrels.txt and run.txt; returns how many queries."""
    rng = np.random.default_rng(seed)
    words = np.array(
        [f"{'etaoinshrdlu'[i % 12]}{np.base_repr(i, 36).lower()}" for i in range(VOCABULARY)]
    )
    frequency = 1 / np.arange(1, VOCABULARY + 1)
    cumulative = np.cumsum(frequency / frequency.sum())
    # Words are drawn once and each passage is a piece of them: drawing anew would take longer than
    # what is measured.
    stream = words[np.minimum(np.searchsorted(cumulative, rng.random(4_000_000)), VOCABULARY - 1)]
    stream = stream.tolist()
    with open(folder / "collection.tsv", "w") as file:
        for start in tqdm(range(0, passages, _BLOCK), desc="collection", disable=None):
            count = min(_BLOCK, passages - start)
            sizes = np.clip(rng.normal(MEAN_WORDS, DEVIATION, count).astype(int), 5, 200).tolist()
            places = rng.integers(0, len(stream) - 200, count).tolist()
            file.writelines(
                f"{start + i}\t{' '.join(stream[p : p + n])}\n"
                for i, (p, n) in enumerate(zip(places, sizes, strict=True))
            )
    queries = round(passages * QUERIES_PER_PASSAGE)
    tails = [f" {rank + 1} {1000 - rank} made\n" for rank in range(candidates)]
    with (
        open(folder / "queries.tsv", "w") as texts,
        open(folder / "qrels.txt", "w") as qrels,
        open(folder / "run.txt", "w") as run,
    ):
        for query in tqdm(range(queries), desc="run", disable=None):
            at = int(rng.integers(len(stream) - 8))
            texts.write(f"{query}\t{' '.join(stream[at : at + 6])}\n")
            documents = np.unique(rng.integers(0, passages, candidates)).tolist()
            qrels.write(f"{query} 0 {documents[query % len(documents)]} 1\n")
            run.writelines(f"{query} Q0 {d}{t}" for d, t in zip(documents, tails, strict=False))
    return queries


def measure(folder: Path, negatives: int, workers: int, most: float) -> dict[str, Any]:
    """Runs the command; seconds, memory, and what it wrote."""
    files = {
        name: folder / name for name in ("collection.tsv", "queries.tsv", "qrels.txt", "run.txt")
    }
    options = [f"--{file.stem}={file}" for file in files.values()]
    command = [sys.executable, "-m", "t5rank", "lists", str(folder / "out"), *options]
    command += [f"--negatives={negatives}", f"--workers={workers}"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = {"RssAnon": 0, "VmHWM": 0}
    first = None
    while process.poll() is None:
        for name, value in _memory(process.pid).items():
            peak[name] = max(peak[name], value)
        if first is None and any((folder / "out" / "unfinished").glob("00000.json")):
            first = time.perf_counter() - begin
        if time.perf_counter() - begin > most:
            process.terminate()
        time.sleep(0.1)
    seconds = time.perf_counter() - begin
    done = (folder / "out" / "manifest.json").is_file()
    return {"seconds": seconds, "first_shard": first, "done": done, **peak}


def _memory(process: int) -> dict[str, int]:
    try:
        status = Path(f"/proc/{process}/status").read_text()
    except OSError:
        return {}
    rows = (line.split() for line in status.splitlines())
    return {row[0][:-1]: int(row[1]) * 1024 for row in rows if row[0] in ("RssAnon:", "VmHWM:")}
