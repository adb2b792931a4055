"""Tiny models, and servers of them in processes of their own."""

import contextlib
import dataclasses
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import jax

from t5rank import checkpoints, model_folder
from t5rank.models import monot5, network, ranking, rankt5
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.text.prompts import MONOT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

CONFIG = network.T5Config(
    vocab_size=1152,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
)
HEADS = {
    "rankt5": (network.Transformer(CONFIG), rankt5.RankT5Head(40)),
    "monot5": (network.Transformer(CONFIG), monot5.MonoT5Head(40, 41)),
    "encoder": (EncoderScorer(CONFIG, pooling="mean"), EncoderHead()),
}


def save_model(
    folder: Path,
    vocabulary_file: str,
    head: str = "rankt5",
    seed: int = 0,
    step: int = 1,
    scale: float = 1.0,
) -> Path:
    """A model folder with random parameters, times `scale`; inputs of up to 64 tokens."""
    model = ranking.RankingModel(*HEADS[head])
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(MONOT5), 64)
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    params = model.get_initial_variables(jax.random.key(seed), shapes)["params"].unfreeze()
    params = jax.tree.map(lambda leaf: scale * leaf, params)
    model_folder.save_config(folder, model, encoder)
    with checkpoints.Checkpointer(folder, keep=9) as saver:
        saver.save(step, optimizers.adamw().create(params))
    return folder


@dataclasses.dataclass
class Server:
    """A running server.

    Attributes:
      process: its process.
      port: where it listens.
      log_file: what it writes.
    """

    process: subprocess.Popen
    port: int
    log_file: Path

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def log(self) -> str:
        return self.log_file.read_text()

    def metric(self, name: str, **labels: str) -> float:
        """The sum of a metric's series that have these labels."""
        lines = httpx.get(f"{self.url}/metrics").text.splitlines()
        wanted = [f'{key}="{value}"' for key, value in labels.items()]
        found = [line for line in lines if re.match(rf"{name}[{{ ]", line)]
        return sum(float(x.split()[-1]) for x in found if all(w in x for w in wanted))

    def stop(self) -> int:
        """Ends it as an operator would; returns its exit status."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(timeout=30)


@contextlib.contextmanager
def running(
    *options: str,
    ready: bool = True,
    environment: dict | None = None,
    command: tuple[str, ...] = ("-m", "t5rank"),
) -> Iterator[Server]:
    """A server on a port of its own, ready unless that is not asked for."""
    with tempfile.TemporaryDirectory() as folder:
        log_file = Path(folder, "log")
        with log_file.open("w") as log:
            process = subprocess.Popen(
                [sys.executable, *command, "serve", "--port=0", *options],
                stdout=log,
                stderr=log,
                env=os.environ | (environment or {}),
            )
        server = Server(process, 0, log_file)
        try:
            listening = wait_for(lambda: re.search(r"127\.0\.0\.1:(\d+)", server.log), server)
            server.port = int(listening[1])
            if ready:
                wait_for(lambda: httpx.get(f"{server.url}/ready").status_code == 200, server)
            yield server
        finally:
            process.kill()
            process.wait()


def wait_for(condition, server: Server | None = None, seconds: float = 120):
    """What `condition` gives, once that is true."""
    end = time.monotonic() + seconds
    while not (value := condition()):
        ended = server is not None and server.process.poll() is not None
        assert not ended and time.monotonic() < end, server.log if server else condition
        time.sleep(0.05)
    return value
