"""Ten minutes of everything at once against the rerank server: its memory must not grow.

    python benchmarks/soak.py --model MODEL_DIR [--minutes 10] [--output docs/pages/results/soak]

Rerank requests of 1 to 300 documents in every dialect, clients that leave before the answer, wrong
bodies, metrics and pages, all the time. The resident memory is read every second. It fails if that
grows by more than 2% from the run's second fifth to its last, if anything is answered with a 5xx,
or if anything is compiled.
"""

import argparse
import asyncio
import collections
import json
import random
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
from tqdm import tqdm

WORDS = (
    "the",
    "a",
    "list",
    "tuple",
    "of",
    "query",
    "passage",
    "rank",
    "score",
    "what",
    "is",
    "for",
)
GROWTH = 0.02
BODIES = (
    lambda query, texts: ("/v2/rerank", {"query": query, "documents": texts, "top_n": 3}),
    lambda query, texts: ("/rerank", {"query": query, "texts": texts, "return_text": True}),
    lambda query, texts: (
        "/v1/ranking",
        {"query": {"text": query}, "passages": [{"text": t} for t in texts]},
    ),
    lambda query, texts: ("/v1/rerank", {"query": query, "documents": texts, "truncation": True}),
    lambda query, texts: ("/score", {"text_1": query, "text_2": texts}),
    lambda query, texts: ("/rerank", {"query": query, "documents": texts, "top_n": True}),
    lambda query, texts: ("/rerank", {"query": query, "documents": [None, *texts]}),
)


def sentence(most: int) -> str:
    """Some words."""
    return " ".join(random.choices(WORDS, k=random.randint(0, most)))


async def ask(client: httpx.AsyncClient, counts: collections.Counter) -> None:
    """One request of any kind; every tenth client leaves early."""
    if random.random() < 0.1:
        await client.get(random.choice(("/", "/docs", "/openapi.json", "/v1/models", "/nothing")))
        return
    texts = [sentence(80) for _ in range(random.choice((1, 1, 3, 10, 30, 100, 300)))]
    path, body = random.choice(BODIES)(sentence(12), texts)
    leaves = random.random() < 0.1
    try:
        answer = await client.post(path, json=body, timeout=random.random() / 10 if leaves else 300)
        counts[answer.status_code] += 1
    except httpx.TimeoutException:
        counts["left"] += 1


async def client_loop(url: str, end: float, counts: collections.Counter) -> None:
    """One client after the other, until the end."""
    while time.monotonic() < end:
        async with httpx.AsyncClient(base_url=url) as client:
            for _ in range(20):
                await ask(client, counts)
                if time.monotonic() > end:
                    return


def value(metrics: str, name: str) -> float:
    """The sum of a metric's series."""
    lines = [line for line in metrics.splitlines() if re.match(rf"{name}[{{ ]", line)]
    return sum(float(line.split()[-1]) for line in lines)


async def soak(url: str, seconds: float, clients: int) -> dict:
    """Memory over time, and what was answered."""
    counts: collections.Counter = collections.Counter()
    start = time.monotonic()
    loops = [client_loop(url, start + seconds, counts) for _ in range(clients)]
    tasks = [asyncio.create_task(loop) for loop in loops]
    memory = []
    with tqdm(total=round(seconds), unit="s", desc="soaking", disable=None) as progress:
        async with httpx.AsyncClient(base_url=url, timeout=30) as client:
            while (passed := time.monotonic() - start) < seconds:
                text = (await client.get("/metrics")).text
                memory.append((passed, value(text, "process_resident_memory_bytes")))
                progress.update(round(passed) - progress.n)
                await asyncio.sleep(1)
            await asyncio.gather(*tasks)
            text = (await client.get("/metrics")).text
    return {
        "memory": memory,
        "answers": {str(status): count for status, count in sorted(counts.items(), key=str)},
        "documents": value(text, "t5rank_documents_total"),
        "compiles": value(text, "t5rank_compiles_after_ready_total"),
        "open_files": value(text, "process_open_fds"),
    }


def growth(memory: list[tuple[float, float]]) -> float:
    """Mean of the last fifth over that of the second fifth, less 1."""
    fifth = len(memory) // 5
    early = [size for _, size in memory[fifth : 2 * fifth]]
    late = [size for _, size in memory[-fifth:]]
    return (sum(late) / len(late)) / (sum(early) / len(early)) - 1


def draw(result: dict, file: Path) -> None:
    """Memory against time."""
    import matplotlib

    matplotlib.use("Agg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(6, 3.2))
    axes.plot(*zip(*[(t / 60, size / 2**20) for t, size in result["memory"]], strict=True))
    axes.set(xlabel="minutes", ylabel="resident memory, MiB", ylim=(0, None), title="soak")
    axes.grid(alpha=0.3)
    figure.tight_layout()
    figure.savefig(file, dpi=120)


def main() -> int:
    """Runs a server and its soak."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True)
    parser.add_argument("--minutes", type=float, default=10)
    parser.add_argument("--clients", type=int, default=6)
    parser.add_argument("--output", default="docs/pages/results/soak", help="writes .json and .png")
    arguments = parser.parse_args()
    random.seed(0)
    command = [sys.executable, "-m", "t5rank", "serve", "--port=0", "--model", arguments.model]
    with tempfile.TemporaryFile("w+") as log:
        process = subprocess.Popen(command, stderr=log)
        try:
            while not (found := re.search(r"http://[\d.]+:\d+", _text(log))):
                time.sleep(0.2)
            while httpx.get(f"{found[0]}/ready").status_code != 200:
                time.sleep(0.5)
            result = asyncio.run(soak(found[0], 60 * arguments.minutes, arguments.clients))
        finally:
            process.terminate()
            result_of_exit = process.wait(timeout=120)
    result |= {"growth": growth(result["memory"]), "exit": result_of_exit}
    Path(f"{arguments.output}.json").write_text(json.dumps(result) + "\n")
    draw(result, Path(f"{arguments.output}.png"))
    print({key: value for key, value in result.items() if key != "memory"})
    failed = [status for status in result["answers"] if status.startswith("5")]
    return int(result["growth"] > GROWTH or bool(failed) or result["compiles"] > 0)


def _text(file) -> str:
    file.seek(0)
    return file.read()


if __name__ == "__main__":
    sys.exit(main())
