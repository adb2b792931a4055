"""The figures of a model card as Hugging Face's hub reads them, its `model-index`.

It is written by hand: huggingface_hub would bring nine packages for this one line.
"""

import json
from collections.abc import Mapping
from typing import Any, NamedTuple


class Task(NamedTuple):
    """What a model does: in the hub's words, in a tag, and in the name of its figures."""

    type: str
    name: str
    tag: str
    model: str


RERANKING = Task("text-ranking", "Text Ranking", "reranker", "T5 reranker")
RETRIEVAL = Task("sentence-similarity", "Sentence Similarity", "retriever", "T5 dual encoder")


def model_index(run: Mapping[str, Any], task: Task) -> str:
    """The validation figure by which the checkpoint in use was chosen, as JSON, a part of YAML.

    Args:
      run: `run.json`, with a best checkpoint.
      task: what the model does.
    """
    best, training = run["best"], run["training"]
    metric = best["metric"].removeprefix("-")
    tasks = ", ".join(training["validation_data"])
    result = {
        "task": {"type": task.type, "name": task.name},
        "dataset": {"type": tasks, "name": f"{tasks} (validation)", "split": "validation"},
        "metrics": [{"type": metric, "name": f"validation {metric}", "value": best["value"]}],
    }
    return json.dumps([{"name": f"{task.model}, {training['loss']}", "results": [result]}])
