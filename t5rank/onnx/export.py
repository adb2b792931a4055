"""Exports a model folder to one that ONNX Runtime scores with.

OUTPUT/model.onnx, model.onnx.data   the scoring graph and its weights
OUTPUT/config.json, vocabulary.model as in the model folder
OUTPUT/int8.json, README.md          only int8: how far the scores are from those in float32
"""

import dataclasses
import os
import tempfile
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
from tqdm import tqdm

from t5rank import model_folder
from t5rank.data.ranked_list import RankedList
from t5rank.data.trec import Qrels
from t5rank.evaluation import DEFAULT_MEASURES, parse_measures
from t5rank.formats.json_files import write_json
from t5rank.formats.text_files import write_text
from t5rank.inference.onnx_session import OnnxScorer
from t5rank.inference.reranker import Reranker
from t5rank.models.ranking import RankingModel
from t5rank.onnx import network
from t5rank.onnx.agreement import Agreement, measured_agreement, readme
from t5rank.onnx.graph import Graph
from t5rank.onnx.products import Int8Product, ObservedProduct
from t5rank.onnx.smoothing import smoothed
from t5rank.text.prompts import PairEncoder
from t5rank.types import PyTree

CALIBRATION_PAIRS = 256
_CALIBRATION_SHARE = 8  # every eighth query is for calibration, the others are held out
_INPUTS = {network.TOKENS: ("int32", ["batch", "length"])}
_SCORES = ("float32", ["batch"])


def export(
    model_dir: str | os.PathLike[str], output: str | os.PathLike[str], step: int | None = None
) -> None:
    """Exports a model in float32.

    Args:
      model_dir: a model folder. Activations are float32, even if they were bfloat16 in training.
      output: a new or empty folder, which `Reranker.from_pretrained` loads.
      step: the step of the checkpoint; by default the best one, or the latest if none is best.

    Raises:
      ValueError: the folder is wrong, its model's kind has no graph, or `output` is not empty.
      MissingExtra: the package onnx is not installed.
    """
    model, encoder, params = _opened(model_dir, step)
    folder = _new_folder(output)
    graph = Graph(folder)
    graph.save(_INPUTS, {network.score_graph(graph, model, params): _SCORES})
    model_folder.save_config(folder, model, encoder)


def export_int8(
    model_dir: str | os.PathLike[str],
    output: str | os.PathLike[str],
    lists: Sequence[RankedList],
    qrels: Qrels | None = None,
    measures: str = DEFAULT_MEASURES,
    step: int | None = None,
    *,
    strict: bool = True,
    counts: Counter[str] | None = None,
) -> Agreement:
    """Exports a model whose encoder multiplies int8, and compares it with float32.

    Pairs of every eighth query calibrate the range of the activations. The others measure the
    difference between int8 and float32.

    Args:
      model_dir: a model folder.
      output: a new or empty folder, which `Reranker.from_pretrained` loads.
      lists: real queries and documents, like those that the model will score.
      qrels: judgements, with which the measures of both models are compared.
      measures: names of ir_measures.
      step: the step of the checkpoint; by default the best one, or the latest if none is best.
      strict: whether a query that leaves no room for a document is an error; see `PairEncoder`.
      counts: the number of cut queries is added to its `queries_cut`.

    Raises:
      ValueError: an error of `export`; there are fewer than two queries, or one leaves no room.
    """
    parse_measures(measures)
    calibration, held_out = _split(lists)
    model, encoder, params = _opened(model_dir, step)
    encoder = _checked(dataclasses.replace(encoder, strict=strict, counts=counts), lists)
    folder = _new_folder(output)
    largest = _calibrated(model, params, _tokens(encoder, calibration))
    params8, largest8 = smoothed(params, model.module.config, largest)
    graph = Graph(folder)
    scores = network.score_graph(graph, model, params8, Int8Product(largest8))
    graph.save(_INPUTS, {scores: _SCORES})
    model_folder.save_config(folder, model, encoder)
    rerankers = (Reranker.from_model(model, params, encoder), Reranker.from_pretrained(folder))
    rerankers[1].encoder = encoder
    agreement = measured_agreement(*rerankers, held_out, qrels, measures)
    write_json(folder / "int8.json", agreement.written_form())
    write_text(folder / "README.md", readme(agreement))
    return agreement


def _checked(encoder: PairEncoder, lists: Sequence[RankedList]) -> PairEncoder:
    """The encoder, after checking that every query leaves room, or counting those that are cut."""
    for query in dict.fromkeys(ranked.query for ranked in lists):
        encoder.pieces(query)
    return dataclasses.replace(encoder, counts=None)


def _opened(
    model_dir: str | os.PathLike[str], step: int | None
) -> tuple[RankingModel, PairEncoder, PyTree]:
    opened = model_folder.open_folder(model_dir, step)
    network.check_has_graph(opened.model)
    return opened.model, opened.encoder, jax.tree.map(np.asarray, opened.params())


def _new_folder(output: str | os.PathLike[str]) -> Path:
    folder = Path(output)
    if folder.exists() and any(folder.iterdir()):
        raise ValueError(f"Output '{output}' has files; expected a new or empty folder.")
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _split(lists: Sequence[RankedList]) -> tuple[list[RankedList], list[RankedList]]:
    if len(lists) < 2:
        raise ValueError(
            f"The lists have {len(lists)} queries; expected at least 2. Some "
            "calibrate int8, and others compare it with float32."
        )
    share = min(_CALIBRATION_SHARE, len(lists))
    held_out = [item for i, item in enumerate(lists) if i % share]
    return list(lists[::share]), held_out


def _tokens(encoder: PairEncoder, lists: Sequence[RankedList]) -> list[np.ndarray]:
    """Tokens of the calibration pairs, spread evenly over the lists."""
    pairs = [(item.query, document) for item in lists for document in item.documents]
    chosen = pairs[:: max(1, len(pairs) // CALIBRATION_PAIRS)][:CALIBRATION_PAIRS]
    return [encoder.encode(query, [document])[0].tokens for query, document in chosen]


def _calibrated(
    model: RankingModel, params: PyTree, rows: Sequence[np.ndarray]
) -> dict[str, np.ndarray]:
    """The largest `|x|` of each channel over `rows`, by site."""
    product = ObservedProduct()
    with tempfile.TemporaryDirectory() as folder:
        graph = Graph(folder)
        outputs: dict[str, Any] = {network.score_graph(graph, model, params, product): _SCORES}
        outputs |= {name: ("float32", [name]) for name in product.largest.values()}
        scorer = OnnxScorer(graph.save(_INPUTS, outputs))
        # One row at a time has no padding, whose activations do not matter.
        found = [
            scorer.outputs(row[None])[1:]
            for row in tqdm(rows, desc="calibrating", unit=" pairs", disable=None)
        ]
    largest = [np.max(values, axis=0) for values in zip(*found, strict=True)]
    return dict(zip(product.largest, largest, strict=True))
