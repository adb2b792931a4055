"""What `gin/runs/t5x_*.gin` plug into T5X: datasets, the check of what was restored, run files.

These are functions of T5X's own interfaces, called by T5X; nothing of T5X is imported.
"""

import json
import logging
import os
import re
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import seqio
import tensorflow as tf
from flax import traverse_util
from gin import config as gin_config

from t5rank import checkpoints
from t5rank.checkpoints import AssignmentMap
from t5rank.data import trec
from t5rank.data.errors import GIN_OPTIONS, DataError
from t5rank.models.network import T5Config
from t5rank.tasks import checks, mixtures, registry
from t5rank.tasks.batches import batches_by_dataset
from t5rank.tasks.preprocessors import input_length
from t5rank.text.encoders import make_encoder
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import layouts
from t5rank.train.macros import check_macros

_log = logging.getLogger(__name__)
gin_config.register_finalize_hook(check_macros)  # T5X parses and finalizes


def t5x_config(config_class: Callable[..., Any], config: T5Config) -> Any:
    """The same architecture as T5X's `network.T5Config`, whose fields have the same names.

    Raises:
      ValueError: the layers have position biases of their own, which that network does not know.
    """
    fields = config.architecture()
    if fields.pop("relpos_bias_per_layer"):
        raise ValueError(
            "T5Config 'relpos_bias_per_layer' has True; expected False for T5X's network."
        )
    return config_class(**fields)


def absolute_path(path: str | None) -> str | None:
    """A path from the root, as orbax wants it; None, and addresses such as `gs://...`, as they are.

    >>> absolute_path("gs://models/t5"), absolute_path(None), absolute_path("/models/t5")
    ('gs://models/t5', None, '/models/t5')
    """
    return path if path is None or "://" in path else os.path.abspath(path)


def resumed_dataset(
    cfg: Any,
    shard_id: int,
    num_shards: int,
    feature_converter_cls: Callable[..., seqio.FeatureConverter],
    num_epochs: int | None = None,
    continue_from_last_checkpoint: bool = False,
    *,
    get_dataset_fn: Callable[..., tf.data.Dataset],
    model_dir: str,
    rows_per_list: int | None = None,
) -> tf.data.Dataset:
    """T5X's `get_dataset_fn`: training batches that go on where the model folder's last step was.

    Args:
      cfg: T5X's `DatasetConfig`, as the next ones.
      shard_id: of this host.
      num_shards: of hosts.
      feature_converter_cls: the model's.
      num_epochs: None for no end.
      continue_from_last_checkpoint: T5X's; not for datasets of seqio.
      get_dataset_fn: `t5x.utils.get_dataset`.
      model_dir: where the checkpoints are.
      rows_per_list: pack the documents of each list into so many rows (see `t5rank.train.layouts`):
        T5X wants every batch in one shape, with a first axis of BATCH_SIZE. None pads every
        document.
    """
    _check_lists(cfg)
    if mixtures.datasets_per_batch(cfg.mixture_or_task_name) is not None:
        lengths, size, seed = cfg.task_feature_lengths, cfg.batch_size, cfg.seed
        data = batches_by_dataset(
            *(cfg.mixture_or_task_name, lengths, size, seed, feature_converter_cls(pack=cfg.pack)),
            *(cfg.use_cached, seqio.ShardInfo(shard_id, num_shards)),
        )
    else:
        data = get_dataset_fn(
            *(cfg, shard_id, num_shards, feature_converter_cls, num_epochs),
            continue_from_last_checkpoint,
        )
    steps = checkpoints.steps(model_dir)
    if steps:
        _log.info("Reading past the %d batches that have been trained on.", steps[-1])
    data = data.skip(steps[-1] if steps else 0)
    return data if rows_per_list is None else _packed(data, rows_per_list)


def _check_lists(cfg: Any) -> None:
    """Raises ValueError for lists that are malformed, before the first step; warns of labels."""
    names = registry.task_names(cfg.mixture_or_task_name)
    if not all(map(registry.is_ours, names)):
        return
    vocabulary_file, prompt = registry.text_settings(cfg.mixture_or_task_name)
    length = input_length(cfg.task_feature_lengths)
    encoder = make_encoder(Vocabulary(vocabulary_file), prompt, length)
    for name in names:
        if cfg.split not in seqio.get_mixture_or_task(name).splits:
            continue
        try:
            found = checks.check_lists(name, cfg.split, encoder, cfg.use_cached)
        except DataError as error:
            raise ValueError(error.message_for(GIN_OPTIONS)) from None
        warning = found and checks.label_warning(found)
        if found and warning:
            _log.warning("LITTLE TO LEARN: %s %s.", found.which, warning)


def _packed(data: tf.data.Dataset, rows: int) -> tf.data.Dataset:
    lists, _, input_length = data.element_spec["encoder_input_tokens"].shape
    length = max(input_length, 256)
    slots = length // 32  # one shape for all batches
    tokens, documents = (lists, rows, length), (lists, rows, slots)
    signature = {
        "encoder_input_tokens": tf.TensorSpec(tokens, tf.int32),
        "encoder_segment_ids": tf.TensorSpec(tokens, tf.int32),
        "label": tf.TensorSpec(documents, tf.float32),
        "mask": tf.TensorSpec(documents, tf.bool),
        "list_ids": tf.TensorSpec(documents, tf.int32),
    }
    if "relevant_keys" in data.element_spec:
        number = data.element_spec["relevant_keys"].shape[-1]
        signature |= {
            "keys": tf.TensorSpec(documents, tf.int32),
            "query_slots": tf.TensorSpec((lists, 1), tf.int32),
            "relevant_keys": tf.TensorSpec((lists, 1, number), tf.int32),
        }
    return tf.data.Dataset.from_generator(
        lambda: layouts.packed(data.as_numpy_iterator(), lists, 0, length, slots, rows),
        output_signature=signature,
    ).prefetch(tf.data.AUTOTUNE)


def whole_list_datasets(
    cfg: Any,
    shard_id: int,
    num_shards: int,
    eval_steps: int | None,
    feature_converter_cls: Callable[..., seqio.FeatureConverter],
) -> dict[str, tf.data.Dataset]:
    """T5X's `train_eval_get_dataset_fn`: every list of the split, whole and once.

    T5X's own repeats the data. Lists are padded to the longest one, the last batch is completed
    with empty lists, which no metric counts.

    Args:
      cfg: T5X's `DatasetConfig`, as the next ones; its lengths need `inputs` only.
      shard_id: of this host.
      num_shards: of hosts.
      eval_steps: how many batches; None for all.
      feature_converter_cls: the model's.

    Raises:
      ValueError: a split has no list, or the batch size cannot be divided by the hosts.
    """
    if cfg.batch_size % num_shards:
        raise ValueError(
            f"BATCH_SIZE has {cfg.batch_size} lists; expected a multiple of the {num_shards} hosts."
        )
    _check_lists(cfg)
    datasets = {}
    for task in seqio.get_subtasks(seqio.get_mixture_or_task(cfg.mixture_or_task_name)):
        if cfg.split not in task.splits:
            continue
        length = input_length(cfg.task_feature_lengths)
        whole = {"inputs": (None, length), "targets": None, "label": None, "mask": None}
        lists = task.get_dataset(
            whole, split=cfg.split, shuffle=False, use_cached=cfg.use_cached, num_epochs=1
        )
        sizes = [int(n) for n in lists.map(lambda x: tf.size(x["label"])).as_numpy_iterator()]
        if not sizes:
            raise ValueError(
                f"Task '{task.name}' has no list in '{cfg.split}'; expected at least one."
            )
        size = max(sizes)
        lengths = {"inputs": (size, length), "targets": (size, 1), "label": (size,)}
        padded = feature_converter_cls(pack=False)(lists, {**lengths, "mask": (size,)})
        missing = -len(sizes) % cfg.batch_size
        datasets[task.name] = (
            padded.concatenate(_empty_lists(padded, missing))
            .shard(num_shards, shard_id)
            .batch(cfg.batch_size // num_shards, drop_remainder=True)
            .take(-1 if eval_steps is None else eval_steps)
            .cache()
        )
    return datasets


def _empty_lists(like: tf.data.Dataset, number: int) -> tf.data.Dataset:
    empty = tf.nest.map_structure(lambda spec: tf.zeros(spec.shape, spec.dtype), like.element_spec)
    return tf.data.Dataset.from_tensors(empty).repeat(number)


def check_restored(
    state: Mapping[str, Any],
    wanted: Mapping[str, Any],
    *,
    assignment_map: AssignmentMap = (),
    is_resuming: bool = False,
) -> Mapping[str, Any]:
    """T5X's `state_transformation_fns`: says what is restored, and refuses to fill gaps unasked.

    T5X starts what a checkpoint lacks from random numbers, silently.

    Args:
      state: the checkpoint's, after the assignment map.
      wanted: the model's.
      assignment_map: T5X's `(pattern, replacement)`; a replacement of None says that a parameter
        is new.
      is_resuming: whether the run itself goes on: then nothing may be new.

    Raises:
      ValueError: a parameter is missing that the map does not call new.
    """
    has, needs = (
        set(traverse_util.flatten_dict(tree["target"], sep="/")) for tree in (state, wanted)
    )
    new = [pattern for pattern, name in assignment_map if name is None and not is_resuming]
    missing = sorted(needs - has)
    unasked = [n for n in missing if not any(re.fullmatch(p, f"target/{n}") for p in new)]
    if unasked:
        raise ValueError(
            f"Checkpoint has no parameter '{unasked[0]}' ({len(unasked)} missing); expected all of "
            "the model's. Is it another size or version of T5? What is to start from random "
            f"numbers must be named: ASSIGNMENT_MAP = [('target/{unasked[0]}', None), ...]."
        )
    _log.info(
        "Restored %d parameters; new: %s; left over: %s.",
        len(needs & has),
        ", ".join(missing) or "none",
        ", ".join(sorted(has - needs)) or "none",
    )
    return state


def write_vectors(
    path: str,
    inferences: tuple[Sequence[Any], Mapping[str, Any]],
    task_ds: tf.data.Dataset,
    mode: str,
    vocabulary: seqio.Vocabulary | None = None,
) -> None:
    """T5X's `write_fn` of `t5x.infer`: the vectors of a chunk of lists as JSON lines.

    A line is `{"id", "text": "query" | "document", "vector"}`. A document of several lists comes
    several times.

    Args:
      path: the chunk's file.
      inferences: vectors `[1 + list_size, dim]` of every list, its query's first.
      task_ds: the lists.
      mode: of `t5x.infer`: "predict".
      vocabulary: not used.

    Raises:
      ValueError: a vector is not finite.
    """
    del mode, vocabulary
    with tf.io.gfile.GFile(path, "w") as file:
        for example, found in zip(task_ds.as_numpy_iterator(), inferences[0], strict=True):
            vectors = np.asarray(found, np.float32)
            texts = [(example["query_id"], "query")]
            texts += [(doc_id, "document") for doc_id in example["doc_ids"]]
            if not np.isfinite(vectors[: len(texts)]).all():
                raise ValueError(
                    f"Vectors of query '{example['query_id'].decode()}' and its documents are not "
                    "finite; expected all to be. Is the checkpoint from a diverged run?"
                )
            for (name, text), vector in zip(texts, vectors.tolist(), strict=False):
                line = {"id": name.decode(), "text": text, "vector": vector}
                file.write(json.dumps(line) + "\n")


def write_run(
    path: str,
    inferences: tuple[Sequence[Any], Mapping[str, Any]],
    task_ds: tf.data.Dataset,
    mode: str,
    vocabulary: seqio.Vocabulary | None = None,
) -> None:
    """T5X's `write_fn` of `t5x.infer`: the scores of a chunk of lists as a TREC run.

    Args:
      path: the chunk's file.
      inferences: scores `[list_size]` of every list, and auxiliary values, which are not used.
      task_ds: the lists.
      mode: of `t5x.infer`; scores are the same in all.
      vocabulary: not used.

    Raises:
      ValueError: a query comes twice, or a score is not finite.
    """
    del mode, vocabulary
    run: trec.Run = {}
    for example, scores in zip(task_ds.as_numpy_iterator(), inferences[0], strict=True):
        query_id = example["query_id"].decode()
        if query_id in run:
            raise ValueError(f"Query '{query_id}' is in two lists; expected one list a query.")
        real = np.asarray(example["mask"], bool)
        doc_ids = [doc_id.decode() for doc_id in example["doc_ids"][real]]
        run[query_id] = dict(
            zip(doc_ids, np.asarray(scores, np.float32)[: len(real)][real].tolist(), strict=True)
        )
    with tf.io.gfile.GFile(path, "w") as file:
        file.write("".join(trec.run_lines(run)))
