"""Reads and writes Hugging Face's T5 folders: `config.json` and safetensors or PyTorch's files.

Their linear layers are transposed (`[out, in]`), and the relative position bias is in the first
layer. T5 1.0 computes its logits with the embedding, scaled by `d_model**-0.5`; T5 1.1, Flan-T5 and
mT5 have an `lm_head`.

A folder that we write also holds `t5rank.json` (head, prompt, input length). If the model's kind
has parameters that T5 lacks, they are in `score_head.safetensors`; those of the encoder head are
`weight` `[1, d_model]` and `bias` `[1]`. The folder's README.md says how to compute the score.
"""

import dataclasses
from collections.abc import Mapping
from typing import Any

import numpy as np
from etils import epath

from t5rank.checkpoints import architecture, huggingface_config, safetensors_files, torch_files
from t5rank.checkpoints.huggingface_config import CONFIG
from t5rank.checkpoints.sources import LazyArray, Source
from t5rank.formats.json_files import read_object, read_object_if_any, write_json
from t5rank.models import kinds, network
from t5rank.models.network import T5Config
from t5rank.text import added_tokens

FORMAT = "Hugging Face"
SETTINGS = "t5rank.json"
VOCABULARY = "spiece.model"
SCORE_HEAD = "score_head.safetensors"
_SHARD_BYTES = 5 * 10**9
_FILES = {
    "model.safetensors": safetensors_files.read,
    "pytorch_model.bin": torch_files.read,
}
_ADAPTER = "adapter_config.json"
_MERGE = " It is an adapter: merge it into its model with PEFT, and convert what that saves."
_SHARED = "shared.weight"
_LM_HEAD = "lm_head.weight"
# Old files hold these tensors; they are copies of others, or T5 never reads them.
_COPIES = ("encoder.embed_tokens.weight", "decoder.embed_tokens.weight")


def _layer_parts(*blocks: tuple[str, str, str]) -> dict[str, str]:
    """Their names of a layer's parts; a block is `(our attention, our norm, their attention)`."""
    names = {}
    for i, (attention, norm, theirs) in enumerate(blocks):
        names[f"{norm}/scale"] = f"layer.{i}.layer_norm"
        for ours, letter in zip(("query", "key", "value", "out"), "qkvo", strict=True):
            names[f"{attention}/{ours}/kernel"] = f"layer.{i}.{theirs}.{letter}"
    for kernel in ("wi", "wi_0", "wi_1", "wo"):
        names[f"mlp/{kernel}/kernel"] = f"layer.{len(blocks)}.DenseReluDense.{kernel}"
    names["pre_mlp_layer_norm/scale"] = f"layer.{len(blocks)}.layer_norm"
    return names


_PARTS = {
    "encoder": _layer_parts(("attention", "pre_attention_layer_norm", "SelfAttention")),
    "decoder": _layer_parts(
        ("self_attention", "pre_self_attention_layer_norm", "SelfAttention"),
        ("encoder_decoder_attention", "pre_cross_attention_layer_norm", "EncDecAttention"),
    ),
}
_RELPOS = "block.0.layer.0.SelfAttention.relative_attention_bias"


def their_name(name: str) -> str:
    """Hugging Face's name of a parameter of T5X's tree.

    >>> their_name("encoder/layers_3/mlp/wo/kernel")
    'encoder.block.3.layer.1.DenseReluDense.wo.weight'
    """
    if name == architecture.EMBEDDING:
        return _SHARED
    if name == architecture.LOGITS:
        return _LM_HEAD
    stack, first, rest = (*name.split("/", 2), "", "")[:3]
    if rest == "rel_embedding":
        return f"{stack}.{_RELPOS}.weight"
    if first == f"{stack}_norm":
        return f"{stack}.final_layer_norm.weight"
    part = _PARTS.get(stack, {}).get(rest)
    if part is None:
        raise ValueError(
            f"Parameter '{name}' has no name in a T5 of Hugging Face; expected it among the "
            "new_parameters of its model kind."
        )
    return f"{stack}.block.{first.removeprefix('layers_')}.{part}.weight"


def _is_transposed(name: str) -> bool:
    return name.endswith(("/kernel", "/rel_embedding"))


def read(folder: epath.Path) -> Source:
    """Opens a `T5ForConditionalGeneration`, `MT5ForConditionalGeneration` or `T5EncoderModel`.

    Raises:
      ValueError: the model is no T5, or its files are damaged or do not fit `config.json`.
    """
    what = f"Checkpoint '{folder}'"
    config = read_object(folder / CONFIG)
    tensors = read_tensors(folder)
    decoder = any(name.startswith("decoder.block.") for name in tensors)
    t5 = huggingface_config.read(config, decoder, what)
    _name_embedding(tensors, what)
    if t5.logits_via_embedding and _LM_HEAD in tensors and not _equal(tensors, _LM_HEAD, _SHARED):
        t5 = dataclasses.replace(t5, logits_via_embedding=False)
        tensors[_LM_HEAD] = _scaled(tensors[_LM_HEAD], t5.emb_dim**-0.5)
    arrays, used = {}, {*_COPIES, _LM_HEAD, _SHARED}
    for name, shape in architecture.parameter_shapes(network.Transformer(t5)).items():
        if decoder or not name.startswith("decoder/"):
            arrays[name] = _tensor(tensors, name, shape, what)
            used.add(their_name(name))
    settings = read_object_if_any(folder / SETTINGS)
    arrays |= _new_parameters(folder, settings, what)
    vocabularies = [folder / VOCABULARY, folder / added_tokens.TOKENIZER]
    found = [str(file) for file in vocabularies if file.is_file()]
    return Source(
        path=str(folder),
        format=FORMAT,
        arrays=arrays,
        others=tuple(name for name in tensors if name not in used),
        config=t5,
        settings=settings,
        vocabulary=found[0] if found else None,
        tokenizer=str(folder) if added_tokens.is_tokenizer(folder) else None,
    )


def _new_parameters(
    folder: epath.Path, settings: Mapping[str, Any], what: str
) -> dict[str, LazyArray]:
    """The parameters that T5 lacks, under the names of the model's kind."""
    if not (folder / SCORE_HEAD).is_file():
        return {}
    tensors = safetensors_files.read(folder / SCORE_HEAD)
    if "head" in settings:
        candidates = [kinds.of_head_named(settings["head"])]
    else:
        candidates = [*kinds.known().values()]
    for kind in candidates:
        if {*kind.new_parameters.values()} == {*tensors}:
            return {
                name: tensors[theirs].T if _is_transposed(name) else tensors[theirs]
                for name, theirs in kind.new_parameters.items()
            }
    raise ValueError(
        f"{what} has {SCORE_HEAD} with {[*tensors]}; expected "
        f"{' or '.join(str([*kind.new_parameters.values()]) for kind in candidates)}."
    )


def read_tensors(folder: epath.Path) -> dict[str, LazyArray]:
    """The tensors of a folder by name, of one file or of several shards.

    Raises:
      ValueError: there are none, or a file is damaged or missing.
    """
    for name, reader in _FILES.items():
        if (folder / name).is_file():
            return reader(folder / name)
        if (folder / f"{name}.index.json").is_file():
            shard_of = _weight_map(folder / f"{name}.index.json")
            shards = {shard: reader(_existing(folder / shard)) for shard in {*shard_of.values()}}
            missing = [tensor for tensor, shard in shard_of.items() if tensor not in shards[shard]]
            if missing:
                raise ValueError(
                    f"Checkpoint '{folder}' has no tensor '{missing[0]}' in "
                    f"'{shard_of[missing[0]]}'; expected it by '{name}.index.json'."
                )
            return {tensor: shards[shard][tensor] for tensor, shard in shard_of.items()}
    raise ValueError(
        f"Checkpoint '{folder}' has no weights; expected one of {[*_FILES]} or a file "
        f"'.index.json' of their shards.{_MERGE if (folder / _ADAPTER).is_file() else ''}"
    )


def _weight_map(index: epath.Path) -> dict[str, str]:
    shard_of = read_object(index).get("weight_map")
    if not shard_of or not isinstance(shard_of, dict):
        raise ValueError(
            f"File '{index}' has no 'weight_map' of tensors to files; expected one, as "
            "transformers writes it. Is it cut short?"
        )
    return shard_of


def _existing(file: epath.Path) -> epath.Path:
    if not file.is_file():
        raise ValueError(
            f"Checkpoint '{file.parent}' has no file '{file.name}'; its index names it."
        )
    return file


def _tensor(
    tensors: Mapping[str, LazyArray], name: str, shape: tuple[int, ...], what: str
) -> LazyArray:
    theirs = their_name(name)
    if theirs == _LM_HEAD and theirs not in tensors:  # transformers 5: tied, but not scaled
        theirs = _SHARED
    if theirs not in tensors:
        raise ValueError(f"{what} has no tensor '{theirs}'; expected it by {CONFIG}.")
    array = tensors[theirs].T if _is_transposed(name) else tensors[theirs]
    if array.shape != shape:
        has, expected = tensors[theirs].shape, shape[::-1] if _is_transposed(name) else shape
        raise ValueError(
            f"{what} has tensor '{theirs}' of shape {has}; expected {expected} by {CONFIG}."
        )
    return array


def _name_embedding(tensors: dict[str, LazyArray], what: str) -> None:
    """Gives the embedding the name `shared.weight`, whichever name it has, as transformers does.

    Raises:
      ValueError: there are several different embeddings.
    """
    names = [name for name in (_SHARED, *_COPIES, _LM_HEAD) if name in tensors]
    if names:
        tensors.setdefault(_SHARED, tensors[names[0]])
    for name in names:
        if name in _COPIES and not _equal(tensors, name, _SHARED):
            raise ValueError(
                f"{what} has '{name}' other than '{names[0]}'; expected one embedding, as T5's."
            )


def _scaled(array: LazyArray, factor: float) -> LazyArray:
    """The matrix of the logits, scaled: transformers 5 calls it "tied" and scales its input."""
    return LazyArray(
        array.shape,
        np.dtype(np.float32),
        lambda: array.read().astype(np.float32) * np.float32(factor),
    )


def _equal(tensors: Mapping[str, LazyArray], a: str, b: str) -> bool:
    if b not in tensors or tensors[a] is tensors[b]:
        return True
    if tensors[a].shape != tensors[b].shape:
        return False
    return np.array_equal(tensors[a].read(), tensors[b].read())


def write_weights(
    folder: epath.Path,
    config: T5Config,
    arrays: Mapping[str, LazyArray],
    new_parameters: Mapping[str, str] | None = None,
    shard_bytes: int = _SHARD_BYTES,
) -> None:
    """Writes `config.json` and the weights, in float32 and in shards, one tensor at a time.

    Args:
      folder: the folder to write.
      config: the architecture.
      arrays: the parameters, under the names of T5X's tree.
      new_parameters: parameters that T5 lacks, to their names in `score_head.safetensors`.
      shard_bytes: the size of a file at most.

    Raises:
      ValueError: transformers' T5 has no such architecture or parameter.
      WriteError: the disk is full.
    """
    decoder = any(name.startswith("decoder/") for name in arrays)
    settings = huggingface_config.written_form(config, decoder)
    tensors, new = {}, {}
    for name, array in arrays.items():
        theirs = array.as_float32().T if _is_transposed(name) else array.as_float32()
        if new_parameters and name in new_parameters:
            new[new_parameters[name]] = theirs
        else:
            tensors[their_name(name)] = theirs
    folder.mkdir(parents=True, exist_ok=True)
    if new:
        safetensors_files.write(folder / SCORE_HEAD, new)
    _write_shards(folder, tensors, shard_bytes)
    write_json(folder / CONFIG, settings)
    if decoder:
        ids = {"decoder_start_token_id": 0, "eos_token_id": 1, "pad_token_id": 0}
        write_json(folder / "generation_config.json", ids)


def _write_shards(folder: epath.Path, tensors: Mapping[str, LazyArray], shard_bytes: int) -> None:
    shards: list[dict[str, LazyArray]] = [{}]
    size = total = 0
    for name in tensors:
        length = int(np.prod(tensors[name].shape)) * 4
        if size and size + length > shard_bytes:
            shards.append({})
            size = 0
        shards[-1][name] = tensors[name]
        size, total = size + length, total + length
    if len(shards) == 1:
        safetensors_files.write(folder / "model.safetensors", shards[0])
        return
    shard_of: dict[str, str] = {}
    for i, shard in enumerate(shards, start=1):
        file = f"model-{i:05d}-of-{len(shards):05d}.safetensors"
        safetensors_files.write(folder / file, shard)
        shard_of |= dict.fromkeys(shard, file)
    index = {"metadata": {"total_size": total}, "weight_map": shard_of}
    write_json(folder / "model.safetensors.index.json", index)
