"""The model card: README.md of a model folder, in the layout of Hugging Face's hub.

It says what `config.json` and `run.json` say, for people, and how to use the model. The sections on
training also stand in the README.md of a folder that was exported to Hugging Face.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from t5rank.formats.numbers import shown
from t5rank.formats.tables import markdown_table
from t5rank.model_folder.model_index import RERANKING, RETRIEVAL, Task, model_index
from t5rank.models.ranking import RankingModel
from t5rank.text.encoders import Encoder, described
from t5rank.text.prompts import PairEncoder

WRITTEN = "<!-- Written by t5rank. Without this line the file is yours, and stays as it is. -->"
RunRecord = Mapping[str, Any]


def model_card(model: RankingModel, encoder: Encoder, run: RunRecord) -> str:
    """README.md of a trained model.

    Args:
      model: the model.
      encoder: its tokenization.
      run: `run.json`, see `t5rank.train.run_record`.
    """
    is_reranker = isinstance(encoder, PairEncoder)
    task = RERANKING if is_reranker else RETRIEVAL
    sections = [
        head("t5rank", run["training"]["initial_checkpoint"], run, task),
        WRITTEN,
        f"# {task.model}, {run['training']['loss']}",
        _state(run),
        _READS if is_reranker else _READS_APART,
        "## Use",
        _USE if is_reranker else _USE_VECTORS,
        "## Model",
        _network(model, encoder, run),
        *training_sections(run),
    ]
    return "\n\n".join(section for section in sections if section) + "\n"


def head(
    library: str,
    base_model: str | None = None,
    run: RunRecord | None = None,
    task: Task = RERANKING,
) -> str:
    """The YAML block that the hub reads, with the best figure of a run.

    Args:
      library: what loads the model.
      base_model: what it was trained from.
      run: `run.json`.
      task: what it does.
    """
    lines = [
        f"library_name: {library}",
        f"pipeline_tag: {task.type}",
        f"tags: [t5rank, {task.tag}]",
    ]
    if library == "t5rank":
        lines.append("# license: the one you choose")
    if base_model is not None:
        lines.append(f"base_model: {base_model!r}  # its folder's name: make it the hub's")
    if run is not None and run["best"] is not None:
        lines.append(f"model-index: {model_index(run, task)}")
    return "\n".join(["---", *lines, "---"])


def with_training(card: str, run: RunRecord | None) -> str:
    """A README.md with the sections on training, where there was any."""
    return card if run is None else "\n\n".join([card.rstrip(), *training_sections(run)]) + "\n"


def training_sections(run: RunRecord) -> list[str]:
    """Data, training, figures, cost, limits and versions, each after its heading."""
    return [
        "## Training data",
        _data(run),
        "## Training",
        _training(run),
        "## Figures",
        _figures(run),
        "## Cost",
        _cost(run),
        "## Limits",
        _LIMITS,
        "## Versions",
        ", ".join(f"{name} {version}" for name, version in run["versions"].items()),
    ]


def _state(run: RunRecord) -> str:
    if run["reason"] == "interrupted":
        return (
            f"**Interrupted at step {run['steps']:,} of {run['train_steps']:,}: this is not a "
            "finished model.** The same command goes on."
        )
    return ""


def _network(model: RankingModel, encoder: Encoder, run: RunRecord) -> str:
    config = model.module.config  # type: ignore[attr-defined]
    layers = f"encoder of {config.num_encoder_layers} layers"
    if model.kind.has_decoder:
        layers = (
            f"{config.num_encoder_layers} encoder and {config.num_decoder_layers} decoder layers"
        )
    rows = {
        "network": f"T5, {layers}",
        "parameters": f"{run['parameters']:,}",
        "sizes": f"width {config.emb_dim}, {config.num_heads} heads of {config.head_dim}, MLP "
        f"{config.mlp_dim} ({', '.join(config.mlp_activations)})",
        "score": model.kind.describe(model, encoder),
        "input": described(encoder),
        "longest input": _longest_input(encoder),
        "vocabulary": f"{len(encoder.vocabulary):,} tokens, `vocabulary.model`",
    }
    return _table(["", ""], rows.items())


def _longest_input(encoder: Encoder) -> str:
    if isinstance(encoder, PairEncoder):
        return f"{encoder.max_length} tokens; of longer ones the document is cut"
    return f"{encoder.query_length} tokens of a query, {encoder.max_length} of a document"


def _data(run: RunRecord) -> str:
    settings = run["training"]
    parts = {"train": settings["data"], "validation": settings["validation_data"]}
    rows = [
        (split, task, ", ".join(f"{kind} `{file}`" for kind, file in files.items()) or "not known")
        for split, tasks in parts.items()
        for task, files in tasks.items()
    ]
    table = _table(["split", "task", "files"], rows)
    return f"{table}\n\nTraining lists have up to {settings['list_size']} documents."


def _training(run: RunRecord) -> str:
    settings = run["training"]
    start = settings["initial_checkpoint"]
    rows = {
        "started from": "random parameters" if start is None else f"`{start}`",
        "loss": settings["loss"],
        "optimizer": settings["optimizer"],
        "learning rate": f"{_number(settings['learning_rate'])} at most, {settings['schedule']}",
        "dropout": settings["dropout_rate"],
        "activations": settings["activations"],
        "lists a step": settings["batch_size"],
        "steps": f"{run['steps']:,} of {run['train_steps']:,}, {run['reason']}",
        "random seed": settings["random_seed"],
    }
    return f"{_table(['', ''], rows.items())}\n\nAll settings: `config.gin`."


def _figures(run: RunRecord) -> str:
    best, metrics = run["best"], run["validation"]
    if not metrics:
        return "It was not validated."
    lines = []
    if best is not None:
        lines.append(
            f"The best checkpoint, the one in use, is that of step {best['step']:,}: "
            f"{best['metric']} {shown(best['value'])}."
        )
    settings = run["training"]
    lines.append(f"The last validation, over {metrics['lists']:,.0f} lists")
    if settings["validation_topn"] is not None:
        lines[-1] += f" cut to their first {settings['validation_topn']} documents"
    for task, number in settings["validation_queries"].items():
        lines[-1] += f", and the {number:,} queries of the qrels of {task}"
    lines[-1] += ":"
    same = metrics["answerable/lists"] == metrics["lists"]
    rows = [
        (name, shown(value))
        for name, value in metrics.items()
        if not name.endswith("lists") and not (same and "answerable/" in name)
    ]
    return "\n\n".join([" ".join(lines), _table(["metric", "value"], rows), _RULES])


def _cost(run: RunRecord) -> str:
    seconds, peak = run["seconds"], run["peak_operations_per_second"]
    rows = {
        "devices": f"{run['devices']} x {run['device_kind']}",
        "time of training": f"{seconds:,.0f} s, compilation included, validation left out",
        "documents": f"{run['documents']:,.0f}",
        "tokens": f"{run['tokens']:,.0f}, padding left out",
        "operations": f"{run['operations']:.3g}",
    }
    if peak and seconds:
        rows["MFU"] = f"{run['operations'] / seconds / peak:.1%} of the devices' bfloat16 peak"
    return _table(["", ""], rows.items())


def _number(value: float | None) -> str:
    return "unknown" if value is None else f"{value:.3g}"


def _table(header: Sequence[str], rows: Iterable[Sequence[Any]]) -> str:
    lines = [header, *([str(cell) for cell in row] for row in rows)]
    return markdown_table(lines, text_columns=None, padded=False)


_READS = "It reads a query and a document together and gives one score; higher is better."
_READS_APART = (
    "It gives a vector of a query and a vector of a document. The larger their dot product, the "
    "better the document."
)
_USE_VECTORS = """\
```python
from t5rank import Embedder

embedder = Embedder.from_pretrained(".")  # this folder
queries = embedder.encode_queries(["what is a list"])
documents = embedder.encode_documents(["A list is ...", "A tuple is ..."])
queries @ documents.T
```

`t5rank convert . FOLDER --to huggingface` writes it for sentence-transformers."""
_USE = """\
```python
from t5rank import Reranker

reranker = Reranker.from_pretrained(".")  # this folder
reranker.score("what is a list", ["A list is ...", "A tuple is ..."])
```

`t5rank serve --model .` speaks the rerank APIs of Cohere, Jina, Voyage, TEI, NIM and vLLM."""
_RULES = (
    "These are means over lists, what a list lacks counting for nothing; `answerable/` is over the "
    "lists with a relevant document. `run/` is the list order as a run against the qrels: over all "
    "their queries, those without a list counting 0. Tied documents rank by descending id."
)
_LIMITS = (
    "Validation chose the checkpoint, so its figures are no test figures, and they are no official "
    "ones unless the lists are the official run and the qrels the official ones. They hold for "
    "candidates like those of the validation lists. Nobody has looked here at languages, domains "
    "or biases that the training data lack or have."
)
