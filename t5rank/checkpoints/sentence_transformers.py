"""Folders of sentence-transformers with a T5 dual encoder (Sentence-T5, GTR), in and out.

`modules.json` lists the steps from a text to its vector. What t5rank computes is a T5 encoder, the
mean over its tokens, maybe a projection without bias, and maybe vectors of length 1:

    modules.json                          Transformer, Pooling, [Dense], [Normalize]
    config.json, model.safetensors, ...   the encoder, see t5rank.checkpoints.huggingface
    1_Pooling/config.json                 that it is the mean
    2_Dense/config.json, model.safetensors  `linear.weight` `[dim, d_model]`
    sentence_bert_config.json             the longest input
    config_sentence_transformers.json     prompts, and how vectors are compared

The layout changed with version 6: other names of classes and settings. Both are read. The older one
is written, which all versions read.
"""

import dataclasses
import json
import logging
from collections.abc import Mapping
from typing import Any

from etils import epath

from t5rank.checkpoints import huggingface, safetensors_files
from t5rank.checkpoints.sources import LazyArray, Source
from t5rank.formats.json_files import read_object, read_object_if_any, write_json
from t5rank.models import kinds
from t5rank.models.network import T5Config
from t5rank.text import added_tokens

FORMAT = "sentence-transformers"
PROJECTION = "projection_layer/kernel"
_MODULES = "modules.json"
_CONFIG = "config_sentence_transformers.json"
_TRANSFORMER = "sentence_bert_config.json"
_OTHERS = "t5rank.safetensors"  # what is of training alone, such as a learned temperature
_WEIGHT = "linear.weight"
_MODELS = "sentence_transformers.models"
_ORDERS = [
    ["Transformer", "Pooling", *more]
    for more in ([], ["Dense"], ["Normalize"], ["Dense", "Normalize"])
]
_UNLIMITED = 10**9  # transformers' tokenizers say 10**30 where there is no longest input
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")  # in the order of sentence-transformers
_log = logging.getLogger(__name__)


def is_folder(folder: epath.Path) -> bool:
    """Whether it is a folder of sentence-transformers."""
    return (folder / _MODULES).is_file()


def read(folder: epath.Path) -> Source:
    """A dual encoder, with its prompts, its longest input and how its vectors are compared.

    Raises:
      ValueError: a file is damaged, or says what t5rank does not compute.
    """
    what = f"Checkpoint '{folder}'"
    modules = _modules(folder, what)
    source = huggingface.read(modules["Transformer"])
    arrays = dict(source.arrays)
    _check(what, _read_pooling(modules["Pooling"]), _POOLING)
    if "Dense" in modules:
        arrays[PROJECTION] = _projection(modules["Dense"], what)
    if (folder / _OTHERS).is_file():
        arrays |= safetensors_files.read(folder / _OTHERS)
    settings = source.settings or _settings(folder, modules, what)
    return dataclasses.replace(
        source, path=str(folder), format=FORMAT, arrays=arrays, settings=settings
    )


def _modules(folder: epath.Path, what: str) -> dict[str, epath.Path]:
    """The folders of the modules by the names of their classes."""
    try:
        listed = json.loads((folder / _MODULES).read_bytes())
        types = [str(module["type"]) for module in listed]
        paths = [folder / module["path"] for module in listed]
    except (ValueError, KeyError, TypeError) as error:
        raise ValueError(
            f"File '{folder / _MODULES}' is damaged ({error!r}); expected a list of modules."
        ) from None
    names = [kind.rpartition(".")[2] for kind in types]
    ours = all(kind.startswith("sentence_transformers.") for kind in types)
    if names not in _ORDERS or not ours:
        raise ValueError(
            f"{what} has the modules {', '.join(types)}; expected those of sentence-transformers: "
            "Transformer, Pooling, and after them at most Dense and then Normalize."
        )
    return dict(zip(names, paths, strict=True))


# By the name of a setting: what it is where nothing is said, and what t5rank computes.
_Expected = Mapping[str, tuple[Any, tuple[Any, ...]]]
_POOLING: _Expected = {"pooling_mode": ("mean", ("mean",)), "include_prompt": (True, (True,))}
_DENSE: _Expected = {
    "bias": (True, (False,)),
    "activation_function": (
        "torch.nn.modules.activation.Tanh",
        ("torch.nn.modules.linear.Identity",),
    ),
    "use_residual": (False, (False,)),
    "module_input_name": ("sentence_embedding", ("sentence_embedding",)),
    "module_output_name": ("sentence_embedding", ("sentence_embedding", None)),
}
_NORMALIZE: _Expected = {name: _DENSE[name] for name in ("module_input_name", "module_output_name")}
_TEXTS: _Expected = {
    "do_lower_case": (False, (False, None)),
    "transformer_task": ("feature-extraction", ("feature-extraction",)),
    "module_output_name": ("token_embeddings", ("token_embeddings",)),
}
_MODEL: _Expected = {
    "model_type": ("SentenceTransformer", ("SentenceTransformer",)),
    "similarity_fn_name": ("cosine", ("cosine", "dot", None)),
}


def _check(what: str, config: Mapping[str, Any], expected: _Expected) -> None:
    for name, (default, computed) in expected.items():
        value = config.get(name, default)
        if value not in computed:
            raise ValueError(f"{what} has {name} {value!r}; expected one of {computed}.")


def _read_pooling(folder: epath.Path) -> dict[str, Any]:
    """Its settings, with the name of its mode, or a list of several, as the newer layout has it."""
    config = read_object(folder / "config.json")
    older = "pooling_mode_"
    modes = [
        name.removeprefix(older).removesuffix("_tokens").removesuffix("_token")
        for name, is_on in config.items()
        if name.startswith(older) and is_on
    ]
    mode = config.get("pooling_mode", modes or "mean")
    return config | {"pooling_mode": mode[0] if isinstance(mode, list) and len(mode) == 1 else mode}


def _projection(folder: epath.Path, what: str) -> LazyArray:
    _check(what, read_object(folder / "config.json"), _DENSE)
    tensors = huggingface.read_tensors(folder)
    if [*tensors] != [_WEIGHT]:
        raise ValueError(f"Folder '{folder}' has the tensors {[*tensors]}; expected '{_WEIGHT}'.")
    return tensors[_WEIGHT].T


def _settings(folder: epath.Path, modules: Mapping[str, epath.Path], what: str) -> dict[str, Any]:
    """What `t5rank.json` would say."""
    config = read_object_if_any(folder / _CONFIG)
    _check(what, config, _MODEL)
    if "Normalize" in modules:
        _check(what, read_object_if_any(modules["Normalize"] / "config.json"), _NORMALIZE)
    is_dot = "Normalize" not in modules and config.get("similarity_fn_name") == "dot"
    settings: dict[str, Any] = {
        "head": kinds.known()["dual_encoder"].head.__name__,
        "head_settings": {"similarity": "dot" if is_dot else "cosine"},
        "prompt": _prompts(config, what),
    }
    if "Dense" not in modules:
        settings["dim"] = None
    longest = _longest(modules["Transformer"], what)
    return settings if longest is None else settings | {"max_length": longest}


def _prompts(config: Mapping[str, Any], what: str) -> dict[str, str]:
    """Those that `encode_query` and `encode_document` take."""
    prompts = config.get("prompts") or {}
    of_documents = next((name for name in _DOCUMENT_PROMPTS if name in prompts), "document")
    chosen = {"query": prompts.get("query") or "", "document": prompts.get(of_documents) or ""}
    others = [name for name in prompts if name not in ("query", of_documents) and prompts[name]]
    if others:
        _log.warning(
            "%s has the prompts %s, which are left out. Queries get %r, documents %r. Give "
            "--query_prompt and --document_prompt where others are right.",
            what,
            others,
            *chosen.values(),
        )
    return chosen


def _longest(folder: epath.Path, what: str) -> int | None:
    """Tokens of the longest input; None where there is no limit."""
    config = read_object_if_any(folder / _TRANSFORMER)
    _check(what, config, _TEXTS)
    tokenizer = read_object_if_any(folder / added_tokens.CONFIG)
    length = config.get("max_seq_length") or tokenizer.get("model_max_length")
    return None if length is None or length > _UNLIMITED else int(length)


def write(
    folder: epath.Path,
    config: T5Config,
    arrays: Mapping[str, LazyArray],
    similarity: str,
    prompts: Mapping[str, str],
    max_length: int,
) -> None:
    """Writes all but the tokenizer, in the layout of the versions before 6.

    Args:
      folder: where.
      config: the architecture.
      arrays: the parameters, in the names of T5X's tree.
      similarity: "cosine" or "dot".
      prompts: what stands before a "query" and before a "document".
      max_length: tokens of the longest input.
    """
    t5 = {n: a for n, a in arrays.items() if n.startswith(("encoder/", "token_embedder/"))}
    huggingface.write_weights(folder, config, t5)
    others = {n: a for n, a in arrays.items() if n not in t5 and n != PROJECTION}
    if others:
        safetensors_files.write(folder / _OTHERS, others)
    configs: dict[str, dict[str, Any] | None] = {"Pooling": _pooling(config.emb_dim)}
    if PROJECTION in arrays:
        configs["Dense"] = _dense(arrays[PROJECTION].shape)
    if similarity == "cosine":
        configs["Normalize"] = None
    places = {name: f"{i}_{name}" for i, name in enumerate(configs, start=1)}
    for name, module in configs.items():
        (folder / places[name]).mkdir()
        if module is not None:
            write_json(folder / places[name] / "config.json", module)
    if PROJECTION in arrays:
        weight = arrays[PROJECTION].as_float32().T
        safetensors_files.write(folder / places["Dense"] / "model.safetensors", {_WEIGHT: weight})
    listed = [
        {"idx": i, "name": str(i), "path": place, "type": f"{_MODELS}.{name}"}
        for i, (name, place) in enumerate({"Transformer": "", **places}.items())
    ]
    write_json(folder / _MODULES, listed)
    write_json(folder / _TRANSFORMER, {"max_seq_length": max_length, "do_lower_case": False})
    said = {"prompts": dict(prompts), "default_prompt_name": None, "similarity_fn_name": similarity}
    write_json(folder / _CONFIG, said)


def _pooling(size: int) -> dict[str, Any]:
    modes = ("cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens")
    is_mean = {f"pooling_mode_{mode}": mode == "mean_tokens" for mode in modes}
    return {"word_embedding_dimension": size, **is_mean}


def _dense(shape: tuple[int, ...]) -> dict[str, Any]:
    identity = _DENSE["activation_function"][1][0]
    sizes = {"in_features": shape[0], "out_features": shape[1]}
    return {**sizes, "bias": False, "activation_function": identity}
