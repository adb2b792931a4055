"""Converts a checkpoint between t5rank, T5X and Hugging Face, array by array."""

import dataclasses
import logging
import os
from collections.abc import Mapping, Sequence
from typing import Any

import flax
import jax.numpy as jnp
from etils import epath

from t5rank import model_folder
from t5rank.checkpoints import (
    LazyArray,
    RestoreReport,
    Source,
    architecture,
    huggingface,
    open_checkpoint,
    orbax_writing,
)
from t5rank.checkpoints.paths import path
from t5rank.checkpoints.restoring import match
from t5rank.checkpoints.vocabularies import check_vocabulary
from t5rank.checkpoints.whole_folder import whole_folder
from t5rank.formats.json_files import write_json
from t5rank.formats.text_files import write_text
from t5rank.model_folder import CARD, huggingface_files, vector_files
from t5rank.model_folder.configuration import head_from_written_form
from t5rank.model_folder.published import published_names
from t5rank.models import kinds, network
from t5rank.models.kinds import Kind
from t5rank.models.ranking import RankingModel, model_of
from t5rank.runs.run_file import load_run
from t5rank.text import added_tokens
from t5rank.text.encoders import Encoder, as_prompt, make_encoder
from t5rank.text.texts import TextEncoder
from t5rank.text.vocabulary import Vocabulary
from t5rank.types import PyTree

TARGETS = ("t5rank", "t5x", "huggingface")
MAX_LENGTH = 512
_log = logging.getLogger(__name__)


@dataclasses.dataclass(frozen=True)
class Settings:
    """What a checkpoint alone does not say; None takes the source's own, or a default.

    Attributes:
      head: the name of a model kind: "rankt5", "monot5", "encoder", "dual_encoder".
      vocabulary: a SentencePiece file.
      prompt: of a reranker, with `{query}` and `{document}`; by default that of the kind.
      query_prompt: of a dual encoder, what stands before a query.
      document_prompt: of a dual encoder, what stands before a document.
      query_length: of a dual encoder, tokens of the longest query.
      max_length: tokens of the longest input; 512 by default.
      options: those of the kind: {"pooling": "mean"} of "encoder", {"tokens": Words("no", "yes")}
        of "monot5" (see `t5rank.models.answer_words`), {"similarity": "dot"} of "dual_encoder".
    """

    head: str | None = None
    vocabulary: str | os.PathLike[str] | None = None
    prompt: str | None = None
    query_prompt: str | None = None
    document_prompt: str | None = None
    query_length: int | None = None
    max_length: int | None = None
    options: Mapping[str, Any] = dataclasses.field(default_factory=dict)


def convert(
    source: str | os.PathLike[str],
    destination: str | os.PathLike[str],
    to: str,
    settings: Settings | None = None,
    step: int | None = None,
) -> RestoreReport:
    """Converts a checkpoint; memory stays near one copy of the weights, or below.

    Args:
      source: what `checkpoints.open_checkpoint` reads, or one of our model folders.
      destination: a new or empty folder. For "t5x", where `checkpoint_N` goes.
      to: "t5rank" writes a model folder, "t5x" its orbax layout, "huggingface" a folder for
        transformers: `T5ForConditionalGeneration`, or for the encoder head `T5EncoderModel`; of a
        dual encoder a folder for sentence-transformers, which transformers reads, too.
      settings: what the checkpoint does not say. Where it has no head and `to` is not "t5rank",
        the weights alone are converted.
      step: which checkpoint of a folder; by default the best one, or else the latest.

    Raises:
      ValueError: the source is damaged, no T5 or not what `settings` say, or something is in the
        destination.
      WriteError: the disk is full; nothing is left in the destination.
    """
    if to not in TARGETS:
        raise ValueError(f"Argument 'to' has '{to}'; expected one of {TARGETS}.")
    settings = settings or Settings()
    target = path(destination)
    if to != "t5x" and target.exists() and any(target.iterdir()):
        raise ValueError(f"Destination '{destination}' has files; expected a new or empty folder.")
    opened = _open(source, step)
    config = opened.config or architecture.infer(opened.shapes, f"Checkpoint '{opened.path}'")
    kind = _kind(opened, config, settings)
    if kind is None and to == "t5rank":
        raise ValueError(
            f"Checkpoint '{opened.path}' has no word about its score head; expected one of "
            f"{[*kinds.known()]}. Give --head."
        )
    _check_settings(kind, to, settings)
    module = _module(opened, config, kind, settings)
    wanted = architecture.parameter_shapes(module)
    _check_new_parameters(opened, kind, wanted)
    report = match(opened, wanted)
    arrays = {name: opened.arrays[was] for name, was in report.restored.items()}
    if to == "t5x":
        orbax_writing.write_orbax(target, opened.step, arrays)
        return report
    made = None if kind is None else _model_and_encoder(opened, module, kind, settings)
    with whole_folder(target) as folder:
        if to == "huggingface":
            run = load_run(path(opened.path).parent) if opened.settings else None
            _write_huggingface(folder, config, arrays, made, run)
        elif made is not None:
            model_folder.save_config(folder, *made)
            orbax_writing.write_orbax(folder, opened.step, arrays)
    if made is not None:
        _check_head(opened, *made, settings, arrays)
    return report


def _check_head(
    source: Source,
    model: RankingModel,
    encoder: Encoder,
    settings: Settings,
    arrays: Mapping[str, LazyArray],
) -> None:
    """Lets the kind look at a model whose head is new."""
    if model.kind.check is not None and _is_new_head(source, model.kind, settings):
        model.kind.check(model, encoder, lambda: _in_memory(arrays))


def _check_new_parameters(source: Source, kind: Kind | None, wanted: architecture.Shapes) -> None:
    """Refuses a checkpoint without the parameters that only training makes."""
    new = [] if kind is None else [*kind.new_parameters]
    missing = sorted(name for name in new if name in wanted and name not in source.arrays)
    if kind is not None and missing:
        modules = sorted({name.rpartition("/")[0] for name in missing})
        rules = ", ".join(f"(r'target/{module}/.*', None)" for module in modules)
        raise ValueError(
            f"Checkpoint '{source.path}' has no parameter {' or '.join(map(repr, missing))}; "
            f"expected what training a {kind.name} makes. Train from this checkpoint, with "
            f"ASSIGNMENT_MAP = ({rules},). {kind.without_new}".rstrip()
        )


def _in_memory(arrays: Mapping[str, LazyArray]) -> PyTree:
    values = {name: jnp.asarray(array.as_float32().read()) for name, array in arrays.items()}
    return flax.traverse_util.unflatten_dict(values, sep="/")


def _check_settings(kind: Kind | None, to: str, settings: Settings) -> None:
    """Refuses settings that would have no effect."""
    fields = [field.name for field in dataclasses.fields(settings)]
    given = [name for name in fields if getattr(settings, name) is not None]
    idle = [name for name in given if name not in ("head", "options")] + [*settings.options]
    if idle and (kind is None or to == "t5x"):
        why = "weights alone are written" if kind is None else "T5X's layout holds weights alone"
        raise ValueError(f"Options {_options(idle)} have no effect: {why}. Leave them out.")
    _check_prompts(kind, given)
    for name in settings.options:
        having = [k.name for k in kinds.known().values() if name in _option_names(k)]
        if kind is None or kind.name not in having:
            raise ValueError(
                f"Option '--{name}' has no effect on the head '{kind and kind.name}'; expected "
                f"head {' or '.join(map(repr, having)) or 'none'}. Leave it out."
            )


def _check_prompts(kind: Kind | None, given: Sequence[str]) -> None:
    """Refuses the prompts of rerankers for a dual encoder, and the other way round."""
    if kind is None:
        return
    pairs, texts = ["prompt"], ["query_prompt", "document_prompt", "query_length"]
    theirs, others = (pairs, texts) if isinstance(kind.prompt, str) else (texts, pairs)
    wrong = [name for name in others if name in given]
    if wrong:
        how = "together" if theirs is pairs else "apart from each other"
        raise ValueError(
            f"Options {_options(wrong)} have no effect on the head '{kind.name}', which reads a "
            f"query and a document {how}; expected {_options(theirs)}."
        )


def _option_names(kind: Kind) -> list[str]:
    return [option.name for option in kind.options]


def _options(names: Sequence[str]) -> str:
    return ", ".join(f"'--{name}'" for name in names)


def _head_options(kind: Kind, settings: Settings) -> dict[str, Any]:
    """The options that are not the network's."""
    ours = kind.network_settings
    return {name: value for name, value in settings.options.items() if name not in ours}


def _is_new_head(source: Source, kind: Kind, settings: Settings) -> bool:
    given = settings.head is not None or bool(_head_options(kind, settings))
    return not source.settings or given


def _open(source: str | os.PathLike[str], step: int | None) -> Source:
    folder = path(source)
    if model_folder.is_model_folder(folder):
        whole = model_folder.open_folder(folder, step)
        opened, model, encoder = open_checkpoint(whole.checkpoint()), whole.model, whole.encoder
    else:
        opened, folder = open_checkpoint(folder, step), folder.parent
        if not model_folder.is_model_folder(folder):
            return opened
        model, encoder = model_folder.load_config(folder)
    return dataclasses.replace(
        opened,
        config=model.module.config,
        settings=model_folder.written_form(model, encoder),
        vocabulary=encoder.vocabulary.file,
        tokenizer=os.fspath(folder) if added_tokens.is_tokenizer(folder) else None,
    )


def _kind(source: Source, config: network.T5Config, settings: Settings) -> Kind | None:
    """The kind that is asked for, or else that of the source, where it tells."""
    known = kinds.known()
    if settings.head is not None:
        if settings.head not in known:
            raise ValueError(f"Setting 'head' has '{settings.head}'; expected one of {[*known]}.")
        return known[settings.head]
    if source.settings:
        return kinds.of_head_named(source.settings["head"])
    found = kinds.with_parameters(source.arrays)
    if found is None and not config.num_decoder_layers:
        without = [kind for kind in known.values() if not kind.has_decoder]
        return without[0] if len(without) == 1 else None
    return found


def _module(source: Source, config: network.T5Config, kind: Kind | None, settings: Settings) -> Any:
    if kind is None:
        return network.Transformer(config)
    given = {**kind.inferred(source.shapes), **source.settings, **settings.options}
    return kind.network(config, **{n: given[n] for n in kind.network_settings if n in given})


def _model_and_encoder(
    source: Source, module: Any, kind: Kind, settings: Settings
) -> tuple[RankingModel, Encoder]:
    file = settings.vocabulary or source.vocabulary
    if file is None:
        raise ValueError(
            f"Checkpoint '{source.path}' has no vocabulary beside it; expected a SentencePiece "
            "file such as T5's spiece.model. Give --vocabulary."
        )
    vocabulary = Vocabulary(file, source.settings.get("extra_ids"), source.tokenizer)
    check_vocabulary(source, vocabulary, module.config.vocab_size)
    if _is_new_head(source, kind, settings):
        options = _head_options(kind, settings) or _published_options(source, kind)
        head = kind.new_head(vocabulary, **options)
    else:
        head = head_from_written_form(source.settings, source.path)
    prompt = _prompt(source, kind, settings)
    max_length = settings.max_length or source.settings.get("max_length") or MAX_LENGTH
    return model_of(module, head), make_encoder(vocabulary, prompt, max_length)


def _prompt(source: Source, kind: Kind, settings: Settings) -> Any:
    """The prompt that is given, or else the source's, or else the kind's."""
    own = as_prompt(source.settings.get("prompt") or kind.prompt)
    prompt = own if type(own) is type(kind.prompt) else kind.prompt
    parts: dict[str, Any] = {
        "query": settings.query_prompt,
        "document": settings.document_prompt,
        "query_length": settings.query_length,
    }
    given: dict[str, Any] = {name: value for name, value in parts.items() if value is not None}
    if isinstance(prompt, str):
        return settings.prompt or prompt
    return dataclasses.replace(prompt, **given)


def _published_options(source: Source, kind: Kind) -> Mapping[str, Any]:
    """The head's options of a model that was published under a name that its kind knows."""
    if source.format != huggingface.FORMAT:
        return {}
    for name in published_names(path(source.path)):
        options = kind.published_options(name)
        if options is not None:
            said = ", ".join(f"{option} {value}" for option, value in options.items())
            _log.info("Options are those of '%s': %s.", name, said)
            return options
    return {}


def _write_huggingface(
    folder: epath.Path,
    config: network.T5Config,
    arrays: Mapping[str, LazyArray],
    made: tuple[RankingModel, Encoder] | None,
    run: dict[str, Any] | None,
) -> None:
    """Weights alone, or with tokenizer, head and README.md."""
    if made is None:
        huggingface.write_weights(folder, config, arrays)
        return
    model, encoder = made
    if isinstance(encoder, TextEncoder):
        vector_files.write(folder, model, encoder, arrays)
        card = vector_files.card(model, encoder, run)
    else:
        huggingface.write_weights(folder, config, arrays, model.kind.new_parameters)
        card = huggingface_files.card(model, encoder, run)
    huggingface_files.write_tokenizer(folder, encoder.vocabulary, encoder.max_length)
    write_json(folder / huggingface.SETTINGS, model_folder.written_form(model, encoder))
    write_text(folder / CARD, card)
