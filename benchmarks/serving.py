"""The rerank server under load, beside a naive one and beside scoring without a server.

    python benchmarks/serving.py --data DATA/msmarco_passage_dev --vocabulary spiece.model
        [--size small] [--parts load overload sizes] [--seconds 45]
        [--output docs/pages/results/serving]

T5 1.1 of random weights, real queries and passages. Servers are pinned to core 0 and the load
generator to core 1. Needs `pip install fastapi` for the naive server (`naive_server.py`); a system
that cannot run is left out, with the reason.

- capacity (always): pairs a second of a fixed mix of requests, half of its documents in requests of
  10 and half in requests of 100, with eight clients that wait for their answers; and of
  `Reranker.score_stream` on the same pairs and the same core. They take turns.
- load: an open loop. Poisson arrivals of the mix at shares of each system's own capacity, and of
  t5rank at what the naive server just carries, and at twice the naive server's capacity.
- overload: t5rank, with a shorter `--max_wait`, from 100% to 200% of its capacity.
- sizes: requests of one size, one after the other.

Latency counts from the time at which a request was due. With so few requests a second on one core,
p99 is nearly the slowest request: the table says how many there were.
"""

import argparse
import asyncio
import itertools
import json
import os
import sys
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import load
import models
import numpy as np
import systems
import timing
from served import Server, Watch, on_core, percentiles
from serving_report import Results, as_tables, write
from tqdm import tqdm

from t5rank import model_folder

OURS, ONNX, NAIVE, OFFLINE = "t5rank", "t5rank, ONNX Runtime", "FastAPI + transformers", "offline"
SERVER_CORE, CLIENT_CORE = 0, 1
MAX_LENGTH = 512
SMALL, LARGE = 10, 100  # documents of the mix's requests: ten of the one to one of the other
CLIENTS = 8
TOLERANCE = 1e-3
OVERLOAD = (1.0, 1.5, 2.0)
PACKAGES = ("jax", "onnxruntime", "torch", "transformers", "fastapi", "starlette", "uvicorn")


class Requests:
    """Requests of real queries and passages: each query with its own candidates, then others'."""

    def __init__(self, data: Path, folder: Path):
        self._lists = models.real_lists(data, pairs=4000)
        self._encoder = model_folder.load_config(folder)[1]
        self._made: dict[tuple[int, int], load.Request] = {}

    def of(self, place: int, size: int) -> load.Request:
        """The request of one query."""
        place %= len(self._lists)
        if (place, size) not in self._made:
            lists = itertools.islice(itertools.cycle(self._lists), place, None)
            texts = itertools.chain.from_iterable(documents for _, documents in lists)
            self._made[place, size] = load.make_request(
                self._encoder, self._lists[place][0], list(itertools.islice(texts, size))
            )
        return self._made[place, size]

    def mix(self, count: int) -> list[load.Request]:
        """The mix; the large requests are spread evenly."""
        sizes = (LARGE if i % 11 == 5 else SMALL for i in range(count))
        return [self.of(17 * i, size) for i, size in enumerate(sizes)]

    def first_with_raw_scores(self) -> load.Request:
        """A request for the model's own scores."""
        query, documents = self.of(0, SMALL).lists
        return load.make_request(self._encoder, query, documents, raw_scores=True)


def commands(folder: Path) -> dict[str, list[str]]:
    """How each server is begun; `folder` has the models."""
    ours = [sys.executable, "-m", "t5rank", "serve", "--port={port}"]
    naive = str(Path(__file__).with_name("naive_server.py"))
    token_id = model_folder.load_config(folder / "ours")[0].head.token_id  # type: ignore[union-attr]
    return {
        OURS: [*ours, f"--model={folder / 'ours'}"],
        ONNX: [*ours, f"--model={folder / 'onnx'}"],
        NAIVE: [sys.executable, naive, str(folder / "huggingface"), str(token_id), "{port}"],
    }


def prepare(folder: Path, options: argparse.Namespace) -> None:
    """Writes the model in the formats of the systems."""
    ours = folder / "ours"
    timing.apart(models.write_ours, ours, options.size, options.vocabulary, "float32", MAX_LENGTH)
    if NAIVE in options.only:
        timing.apart(models.write_huggingface, ours, folder / "huggingface")
    if ONNX in options.only:
        timing.apart(models.write_onnx, ours, folder / "onnx", [], False)


def started(folder: Path, names: Sequence[str], progress: tqdm) -> tuple[dict, dict[str, str]]:
    """The servers, and why some cannot run."""
    servers, failed = {}, {}
    for name in names:
        progress.set_postfix_str(f"starting {name}")
        try:
            servers[name] = Server(commands(folder)[name], SERVER_CORE, folder / f"{name}.log")
        except RuntimeError as error:
            failed[name] = str(error)
        progress.update()
    return servers, failed


def scores(server: Server, request: load.Request) -> np.ndarray:
    """The scores of one request, in the order of its documents."""
    (reply,) = asyncio.run(load.closed_loop(server.port, [request], 1))
    results = json.loads(reply.body)["results"]
    return np.array([r["relevance_score"] for r in sorted(results, key=lambda r: r["index"])])


def check(servers: dict[str, Server], requests: Requests) -> dict[str, float]:
    """Largest differences of the scores from t5rank's.

    Raises:
      ValueError: one is too large.
    """
    request = requests.first_with_raw_scores()
    expected = scores(servers[OURS], request)
    differences = {}
    for name, server in servers.items():
        difference = float(np.abs(scores(server, request) - expected).max())
        if difference > TOLERANCE:
            raise ValueError(
                f"System '{name}' has scores {difference:.1e} from those of {OURS}; expected "
                f"{TOLERANCE} at most."
            )
        differences[name] = difference
    return differences


def capacities(
    servers: dict[str, Server], folder: Path, requests: Requests, turns: int, progress: tqdm
) -> Results:
    """Each system's rate on the same pairs; medians of the turns."""
    mix = requests.mix(11)
    lists = [request.lists for request in mix]
    pairs = sum(request.size for request in mix)
    progress.set_postfix_str(f"loading {OFFLINE}")
    with on_core(SERVER_CORE):
        offline = timing.Worker(OFFLINE, systems.ours, (folder, lists))
    if error := offline.answer():
        raise RuntimeError(error)
    progress.update()
    watched: dict[str, list[Results]] = {name: [] for name in servers}
    for turn in range(turns):
        for name in [OFFLINE, *servers][:: -1 if turn % 2 else 1]:
            progress.set_postfix_str(f"capacity of {name}")
            if name == OFFLINE:
                offline.run()
            else:
                watch = Watch(servers[name])
                replies = asyncio.run(load.closed_loop(servers[name].port, mix, CLIENTS))
                watched[name].append(watch.figures(replies))
            progress.update()
    offline.close()
    rates = [pairs / seconds for seconds in offline.figures.seconds]
    memory = offline.figures.peak_memory
    found: Results = {OFFLINE: {"pairs_per_s": float(np.median(rates)), "turns": rates}}
    found[OFFLINE]["peak_memory_bytes"] = memory
    tokens = float(np.mean(np.concatenate([request.lengths for request in mix])))
    for name, each in watched.items():
        rates = [figures["pairs_per_s"] for figures in each]
        found[name] = each[-1] | {"pairs_per_s": float(np.median(rates)), "turns": rates}
    for each in found.values():
        each["tokens_per_s"] = tokens * each["pairs_per_s"]
        each["of_offline"] = each["pairs_per_s"] / found[OFFLINE]["pairs_per_s"]
    return found


def loads(rates: dict[str, float]) -> list[tuple[str, float]]:
    """Systems and pairs a second that are sent to them."""
    points = [(name, share * rate) for name, rate in rates.items() for share in (0.5, 0.9)]
    if NAIVE in rates:
        points += [(OURS, 0.9 * rates[NAIVE]), (OURS, 2 * rates[NAIVE])]
    return sorted(points)


def at_rate(server: Server, requests: Requests, rate: float, seconds: float) -> Results:
    """An open loop of the mix at so many pairs a second, with health checks beside it.

    It lasts for about `seconds`, and for at least eleven requests.
    """
    count = max(11, round(rate * seconds / ((10 * SMALL + LARGE) / 11)))
    mix = requests.mix(count)
    seconds = sum(request.size for request in mix) / rate

    async def run() -> tuple[list[load.Reply], list[load.Reply]]:
        async with load.probing(server.port, "/health", 0.2) as health:
            replies = await load.open_loop(server.port, mix, load.arrivals(count, seconds))
        return replies, health

    watch = Watch(server)
    replies, health = asyncio.run(run())
    found = {"offered_pairs_per_s": rate, **watch.figures(replies)}
    return found | {"health": percentiles([reply.seconds for reply in health])}


def one_size(server: Server, requests: Requests, size: int, count: int) -> Results:
    """Requests of one size, one after the other, with health checks beside them."""

    async def run() -> tuple[list[load.Reply], list[load.Reply]]:
        async with load.probing(server.port, "/health", 0.1) as health:
            mix = [requests.of(17 * i, size) for i in range(count)]
            replies = await load.closed_loop(server.port, mix, 1)
        return replies, health

    watch = Watch(server)
    replies, health = asyncio.run(run())
    return watch.figures(replies) | {"health": percentiles([reply.seconds for reply in health])}


class Run:
    """One run of the benchmark."""

    def __init__(self, options: argparse.Namespace, folder: Path, progress: tqdm):
        self.options, self.folder, self.progress = options, folder, progress
        self.requests = Requests(options.data, folder / "ours")
        self.servers, self.failed = started(folder, options.only, progress)
        self.rates: dict[str, float] = {}

    def measured(self) -> Results:
        """All figures of the parts that were asked for."""
        servers = self.servers
        differences = check(servers, self.requests)
        capacity = capacities(
            servers, self.folder, self.requests, self.options.turns, self.progress
        )
        self.rates = {name: capacity[name]["pairs_per_s"] for name in servers}
        results: Results = {"capacity": capacity, "score_differences": differences}
        parts: dict[str, Callable[[], Any]] = {
            "load": self._load,
            "sizes": self._sizes,
            "overload": self._overload,
        }
        for name, part in parts.items():
            if name in self.options.parts:
                results[name] = part()
        return results | {"left_out": self.failed}

    def memory(self) -> Results:
        """Peak memory of each server, in bytes, since it was ready and before."""
        return {
            name: {
                "serving_bytes": server.peak_memory(),
                "starting_bytes": server.memory_when_ready,
                "ready_after_s": server.seconds,
            }
            for name, server in self.servers.items()
        }

    def close(self) -> None:
        """Ends the servers."""
        for server in self.servers.values():
            server.stop()

    def _load(self) -> list[Results]:
        found = []
        for name, rate in self._steps(loads(self.rates), "load on {}: {:.1f} pairs/s"):
            figures = at_rate(self.servers[name], self.requests, rate, self.options.seconds)
            found.append(self._of(name) | {"share": rate / self.rates[name], **figures})
        return found

    def _overload(self) -> list[Results]:
        most = self.options.overload_wait
        command = [*commands(self.folder)[OURS], f"--max_wait={most}"]
        server = Server(command, SERVER_CORE, self.folder / "overload.log")
        found = []
        try:
            for share in self._steps([(s,) for s in OVERLOAD], "overload: {:.0%}"):
                rate = share[0] * self.rates[OURS]
                figures = at_rate(server, self.requests, rate, self.options.overload_seconds)
                found.append(self._of(OURS) | {"share": share[0], "max_wait": most, **figures})
        finally:
            server.stop()
        return found

    def _of(self, name: str) -> Results:
        return {"system": name, "capacity_pairs_per_s": self.rates[name]}

    def _sizes(self) -> list[Results]:
        cases = [
            (name, size, max(1, 200 // size))
            for size in self.options.sizes
            for name in self.servers
            if size <= (size if name == OURS else self.options.largest)
        ]
        return [
            {"system": n, "size": size, **one_size(self.servers[n], self.requests, size, count)}
            for n, size, count in self._steps(cases, "{}: requests of {}")
        ]

    def _steps(self, cases: list[tuple], text: str):
        self.progress.total += len(cases)
        for case in cases:
            self.progress.set_postfix_str(text.format(*case))
            yield case
            self.progress.update()


def main() -> None:
    """Runs the benchmark; see the module."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--data", type=Path, required=True, help="collection, queries, run.bm25")
    parser.add_argument("--vocabulary", required=True, help="T5's spiece.model")
    parser.add_argument("--size", default="small", choices=models.CONFIGS)
    parser.add_argument("--only", nargs="*", default=[ONNX, NAIVE], help="systems beside t5rank")
    parts = ["load", "overload", "sizes"]
    parser.add_argument("--parts", nargs="*", default=parts, choices=parts)
    parser.add_argument("--turns", type=int, default=2, help="of the capacities")
    parser.add_argument("--seconds", type=float, default=40, help="of each load")
    parser.add_argument("--overload_seconds", type=float, default=45, help="of each overload")
    parser.add_argument("--overload_wait", type=float, default=15, help="--max_wait under overload")
    parser.add_argument("--sizes", type=int, nargs="*", default=[10, 100, 1000])
    parser.add_argument("--largest", type=int, default=100, help="size for other systems")
    parser.add_argument("--output", type=Path, help="writes OUTPUT.json and .png")
    options = parser.parse_args()
    options.only = [OURS, *(name for name in options.only if name != OURS)]
    os.sched_setaffinity(0, {CLIENT_CORE})
    with tempfile.TemporaryDirectory() as name, tqdm(total=0) as progress:
        folder = Path(name)
        progress.total = (1 + options.turns) * (1 + len(options.only))
        progress.set_postfix_str("making the model")
        prepare(folder, options)
        run = Run(options, folder, progress)
        try:
            results = run.measured()
            results["memory"] = run.memory()
        finally:
            run.close()
    results["machine"] = timing.machine(PACKAGES)
    for system, reason in results["left_out"].items():
        print(f"{system} is left out: {reason}", file=sys.stderr)
    print(as_tables(results), results["machine"], sep="\n\n")
    if options.output:
        write(results, options.output)


if __name__ == "__main__":
    main()
