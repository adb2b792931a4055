"""How time and memory of `t5rank lists` grow with the collection.

    python benchmarks/lists.py --folder FOLDER [--passages 100000 1000000 10000000]
        [--candidates 100] [--most_queries 150000] [--negatives 35] [--workers 1]
        [--output docs/pages/results/lists]

For each size: a collection of made-up passages with MS MARCO's lengths, queries in proportion to it
(503 for 8,842 passages, at most `--most_queries`), each with one relevant passage and a run of
`--candidates`; then `t5rank lists --negatives` in a process of its own. Measured are the seconds of
the whole command and until its first shard is there (the indexing); the most memory that only the
process has (`RssAnon`, asked for ten times a second); and the most that is resident at all
(`VmHWM`, the maxrss of getrusage), which counts pages of the mapped files that the system takes
back when it needs them. With workers both are sums. What was made is removed after each size.
"""

import argparse
import json
import shutil
import subprocess
import sys
import time
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import timing
from tqdm import tqdm

from t5rank.data.folder import read_manifest

QUERIES_PER_PASSAGE = 503 / 8842
MEAN_WORDS, DEVIATION = 56, 22  # of MS MARCO's passages
VOCABULARY = 50_000
_BLOCK = 10_000


def make(folder: Path, passages: int, candidates: int, most_queries: int, seed: int = 0) -> int:
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
    queries = min(round(passages * QUERIES_PER_PASSAGE), most_queries)
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


def measure(folder: Path, options: argparse.Namespace) -> dict[str, float]:
    """Runs the command once; seconds, bytes of memory and how much it wrote."""
    output = folder / "out"
    files = [f"--{name}={folder / name}.tsv" for name in ("collection", "queries")]
    files += [f"--{name}={folder / name}.txt" for name in ("qrels", "run")]
    command = [sys.executable, "-m", "t5rank", "lists", str(output), *files]
    command += [f"--negatives={options.negatives}", f"--workers={options.workers}"]
    begin = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    peak = {"RssAnon": 0, "VmHWM": 0}
    first = 0.0
    while process.poll() is None:
        _raise(peak, process.pid)
        if not first and (output / "unfinished" / "00000.json").is_file():
            first = time.perf_counter() - begin
        time.sleep(0.1)
    seconds = time.perf_counter() - begin
    if process.returncode:
        raise RuntimeError(f"The command ended with {process.returncode}.")
    manifest = read_manifest(output)
    written = sum(shard["bytes"] for shard in manifest["shards"])
    return {
        "seconds": seconds,
        "first_shard": first,
        "own_memory": peak["RssAnon"],
        "resident_memory": peak["VmHWM"],
        "lists": manifest["counts"]["lists"],
        "documents": manifest["counts"]["documents"],
        "bytes_read": sum(source["bytes"] for source in manifest["sources"]),
        "bytes_written": written,
    }


def _raise(peak: dict[str, int], process: int) -> None:
    """Brings the peaks up to the process and those that it started."""
    found = dict.fromkeys(peak, 0)
    for each in [process, *_descendants(process)]:
        try:
            status = Path(f"/proc/{each}/status").read_text()
        except OSError:  # it has ended
            continue
        rows = (line.split() for line in status.splitlines())
        for row in rows:
            if row[0][:-1] in found:
                found[row[0][:-1]] += int(row[1]) * 1024
    for name, value in found.items():
        peak[name] = max(peak[name], value)


def _descendants(process: int) -> list[int]:
    try:
        children = Path(f"/proc/{process}/task/{process}/children").read_text().split()
    except OSError:
        return []
    return [found for child in map(int, children) for found in (child, *_descendants(child))]


def table(figures: dict[int, dict[str, float]]) -> str:
    """The figures as Markdown."""
    names = ["passages", "lists", "to the first shard (s)", "all (s)", "ms a list"]
    names += ["own memory (MB)", "resident (MB)"]
    lines = [f"| {' | '.join(names)} |", "|---" * len(names) + "|"]
    for size, row in figures.items():
        each = 1000 * (row["seconds"] - row["first_shard"]) / max(row["lists"] - 1000, 1)
        lines.append(
            f"| {size:,} | {row['lists']:,} | {row['first_shard']:.1f} | {row['seconds']:.1f} | "
            f"{each:.2f} | {row['own_memory'] / 1e6:,.0f} | {row['resident_memory'] / 1e6:,.0f} |"
        )
    return "\n".join(lines)


def draw(figures: dict[int, dict[str, float]], path: Path) -> None:
    """Seconds and memory against passages, on logarithmic axes."""
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.6))
    sizes = list(figures)
    for key, title in (("seconds", "all"), ("first_shard", "until the first shard")):
        left.loglog(sizes, [row[key] for row in figures.values()], marker=".", label=title)
    for key, title in (("own_memory", "own"), ("resident_memory", "resident, mapped files too")):
        right.loglog(sizes, [row[key] / 1e6 for row in figures.values()], marker=".", label=title)
    for panel, title in ((left, "seconds"), (right, "memory, MB")):
        panel.set(title=title, xlabel="passages")
        panel.grid(alpha=0.3, which="both")
        panel.legend(fontsize="small")
    figure.tight_layout()
    figure.savefig(path, dpi=120)
    plt.close(figure)


def main() -> None:
    """Runs the script; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--folder", type=Path, required=True, help="where there is room")
    parser.add_argument("--passages", type=int, nargs="+", default=[10**5, 10**6, 10**7])
    parser.add_argument("--candidates", type=int, default=100)
    parser.add_argument(
        "--most_queries", type=int, default=150_000, help="more would take too long"
    )
    parser.add_argument("--negatives", type=int, default=35)
    parser.add_argument("--workers", type=int, default=1)
    parser.add_argument("--output", type=Path, default=Path("docs/pages/results/lists"))
    options = parser.parse_args()
    figures: dict[int, dict[str, float]] = {}
    for passages in options.passages:
        folder = options.folder / f"lists{passages}"
        folder.mkdir(parents=True)
        try:
            make(folder, passages, options.candidates, options.most_queries)
            figures[passages] = measure(folder, options)
        finally:
            shutil.rmtree(folder)
        found = {"machine": timing.machine(["t5rank", "numpy"]), "figures": figures}
        options.output.with_suffix(".json").write_text(json.dumps(found, indent=1) + "\n")
        draw(figures, options.output.with_suffix(".png"))
        print(table(figures))


if __name__ == "__main__":
    main()
