"""The figures of a model card as Hugging Face's hub reads them, its `model-index`.

It is written by hand: huggingface_hub would bring nine packages for this one line.
"""

import json
from collections.abc import Mapping
from typing import Any

_TASK = {"type": "text-ranking", "name": "Text Ranking"}


def model_index(run: Mapping[str, Any]) -> str:
    """The validation figure by which the checkpoint in use was chosen, as JSON, a part of YAML.

    Args:
      run: `run.json`, with a best checkpoint.
    """
    best, training = run["best"], run["training"]
    metric = best["metric"].removeprefix("-")
    tasks = ", ".join(training["validation_data"])
    result = {
        "task": _TASK,
        "dataset": {"type": tasks, "name": f"{tasks} (validation)", "split": "validation"},
        "metrics": [{"type": metric, "name": f"validation {metric}", "value": best["value"]}],
    }
    return json.dumps([{"name": f"T5 reranker, {training['loss']}", "results": [result]}])
