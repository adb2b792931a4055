"""The systems that `benchmarks/scoring.py` compares, tokenization included.

Each function takes the folder of the models and the lists, and gives a function that scores all
pairs: float32 `[pairs]`, in order.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np
from models import MAX_LENGTH, Lists

from t5rank import model_folder
from t5rank.inference.batching import padded
from t5rank.inference.compilation_cache import use_compilation_cache
from t5rank.inference.reranker import Reranker
from t5rank.inference.scoring import ModelScorer
from t5rank.models.ranking import RankingModel

Run = Callable[[], np.ndarray]
# The peers' best on two cores, and a batch that fills an accelerator.
_PEERS_BATCH = 16 if jax.default_backend() == "cpu" else 256


def ours(folder: Path, lists: Lists) -> Run:
    """t5rank's `Reranker`."""
    use_compilation_cache()
    return _scores(Reranker.from_pretrained(folder / "ours"), lists)


def onnx(folder: Path, lists: Lists, name: str = "onnx") -> Run:
    """t5rank's `Reranker` on ONNX Runtime."""
    return _scores(Reranker.from_pretrained(folder / name), lists)


def onnx_int8(folder: Path, lists: Lists) -> Run:
    """The same, int8."""
    return onnx(folder, lists, "onnx_int8")


def _scores(reranker: Reranker, lists: Lists) -> Run:
    return lambda: np.concatenate(reranker.score_lists(lists))


def rax_example(folder: Path, lists: Lists) -> Run:
    """T5X's network as Rax's example runs it: padded to 256, with the whole vocabulary's logits."""
    from t5x.examples.t5 import network as t5x_network

    from t5rank.t5x.plugin import t5x_config

    use_compilation_cache()
    opened = model_folder.open_folder(folder / "ours", 1)
    model, encoder, params = opened.model, opened.encoder, opened.params()
    config = t5x_config(t5x_network.T5Config, model.module.config)  # type: ignore[attr-defined]
    theirs = ModelScorer(RankingModel(t5x_network.Transformer(config), model.head), params)

    def run() -> np.ndarray:
        rows = [pair.tokens for item in lists for pair in encoder.encode(*item)]
        batches = [rows[i : i + _PEERS_BATCH] for i in range(0, len(rows), _PEERS_BATCH)]
        shape = (_PEERS_BATCH, MAX_LENGTH)
        scores = [np.asarray(theirs(padded(batch, shape))) for batch in batches]
        return np.concatenate(scores)[: len(rows)]

    return run


def transformers_eager(folder: Path, lists: Lists) -> Run:
    """transformers' T5, batches sorted by length."""
    return _transformers(folder, lists, "eager", is_sorted=True)


def transformers_sdpa(folder: Path, lists: Lists) -> Run:
    """The same with torch's own attention."""
    return _transformers(folder, lists, "sdpa", is_sorted=True)


def transformers_padded(folder: Path, lists: Lists) -> Run:
    """transformers' T5, every input padded to the longest of all."""
    return _transformers(folder, lists, "eager", is_sorted=False)


def _transformers(folder: Path, lists: Lists, attention: str, *, is_sorted: bool) -> Run:
    import torch
    import transformers

    theirs = str(folder / "huggingface")
    tokenizer = transformers.AutoTokenizer.from_pretrained(theirs)
    model = transformers.T5ForConditionalGeneration.from_pretrained(
        theirs, attn_implementation=attention, dtype=_dtype(folder)
    ).eval()
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model.to(device)
    token_id = _token_id(folder)
    texts = _texts(lists)
    limits = {"truncation": True, "max_length": MAX_LENGTH, "return_tensors": "pt"}

    @torch.inference_mode()
    def score(batch: dict) -> np.ndarray:
        batch = {name: value.to(device) for name, value in batch.items()}
        start = torch.zeros((len(batch["input_ids"]), 1), dtype=torch.long, device=device)
        logits = model(**batch, decoder_input_ids=start).logits[:, 0, token_id]
        return logits.float().cpu().numpy()

    def run() -> np.ndarray:
        if not is_sorted:
            encoded = tokenizer(texts, padding=True, **limits)
            parts = {name: value.split(_PEERS_BATCH) for name, value in encoded.items()}
            batches = [
                dict(zip(parts, part, strict=True)) for part in zip(*parts.values(), strict=True)
            ]
            return np.concatenate([score(batch) for batch in batches])
        rows = tokenizer(texts, truncation=True, max_length=MAX_LENGTH)["input_ids"]
        return _by_length(
            rows, lambda some: score(tokenizer.pad({"input_ids": some}, return_tensors="pt"))
        )

    return run


def ctranslate2(folder: Path, lists: Lists, compute_type: str = "float32") -> Run:
    """CTranslate2, batches sorted by length."""
    import ctranslate2

    translator = ctranslate2.Translator(
        str(folder / "ctranslate2"), compute_type=compute_type, intra_threads=os.cpu_count() or 1
    )
    import sentencepiece

    pieces = sentencepiece.SentencePieceProcessor(str(folder / "huggingface" / "spiece.model"))
    token_id, texts = _token_id(folder), _texts(lists)

    def score(rows: Sequence[list[str]]) -> np.ndarray:
        # score_batch would score the end of the sequence too.
        results = translator.translate_batch(
            rows, beam_size=1, max_decoding_length=1, return_logits_vocab=True
        )
        return np.array([np.asarray(result.logits[0][0])[token_id] for result in results])

    def run() -> np.ndarray:
        rows = pieces.encode(texts, out_type=str)
        return _by_length([[*row[: MAX_LENGTH - 1], "</s>"] for row in rows], score)

    return run


def ctranslate2_int8(folder: Path, lists: Lists) -> Run:
    """The same, int8."""
    return ctranslate2(folder, lists, "int8")


def _by_length(rows: Sequence, score: Callable[..., np.ndarray]) -> np.ndarray:
    scores = np.zeros(len(rows), np.float32)
    order = sorted(range(len(rows)), key=lambda i: -len(rows[i]))
    for start in range(0, len(rows), _PEERS_BATCH):
        batch = order[start : start + _PEERS_BATCH]
        scores[batch] = score([rows[i] for i in batch])
    return scores


def _texts(lists: Lists) -> list[str]:
    return [f"Query: {query} Document: {document}" for query, texts in lists for document in texts]


def _dtype(folder: Path) -> str:
    model, _ = model_folder.load_config(folder / "ours")
    return model.module.config.dtype  # type: ignore[attr-defined]


def _token_id(folder: Path) -> int:
    model, _ = model_folder.load_config(folder / "ours")
    return model.head.token_id  # type: ignore[union-attr]
