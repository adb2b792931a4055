"""`tokenizer.json`, the file of Hugging Face's `tokenizers`, from and to a SentencePiece model.

What is written reads a text as `t5rank.text.vocabulary.Vocabulary` does. T5's own tokens need care:
to `tokenizers` their names are pieces like others, which a text may hold. `<extra_id_0>` and those
after it are therefore written as added tokens, which a text is not split at, and `<pad>`, `</s>`
and `<unk>` are cut in two before pieces are looked for, at a place where no other piece goes on.
"""

import base64
import dataclasses
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Any

from etils import epath
from sentencepiece import sentencepiece_model_pb2 as protos

from t5rank.formats.json_files import read_object
from t5rank.text.added_tokens import OWN, AddedToken, plain

_WORD_START = "\u2581"
_WORDS = [
    {"type": "WhitespaceSplit"},
    {
        "type": "Metaspace",
        "replacement": _WORD_START,
        "prepend_scheme": "always",
        "split": True,
    },
]
# What stands for the id in the names of all extra ids.
_EXTRA_ID = re.compile(r"<extra_id_\d+>")
_log = logging.getLogger(__name__)
_Piece = protos.ModelProto.SentencePiece


def read(file: epath.Path, whole: bool = False) -> protos.ModelProto:
    """A SentencePiece model of the same pieces, without T5's extra ids at their end.

    Args:
      file: the file.
      whole: whether transformers takes all of it (its `PreTrainedTokenizerFast`). `T5Tokenizer`
        takes the pieces and the characters' normalization alone; how words are cut is its own.

    Raises:
      ValueError: the file is damaged, or no T5's.
    """
    data = read_object(file)
    try:
        model = data["model"]
        pieces = [(str(piece), float(score)) for piece, score in model["vocab"]]
        found = {
            "type": model.get("type", "Unigram"),
            "unk_id": model.get("unk_id"),
            "byte_fallback": bool(model.get("byte_fallback")),
        }
        if whole:
            found["pre_tokenizer"] = _without_cuts(data["pre_tokenizer"], pieces)
        characters = _characters(data.get("normalizer"), whole)
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"Tokenizer '{file}' has an error: {error!r}; expected T5's.") from error
    expected = {"type": "Unigram", "unk_id": 2, "byte_fallback": False, "pre_tokenizer": _WORDS}
    for name, value in found.items():
        if value != expected[name]:
            raise ValueError(
                f"Tokenizer '{file}' has {name} {value!r}; expected T5's {expected[name]!r}."
            )
    return _model(_without_extra_ids(pieces), characters)


def check(file: epath.Path, model: protos.ModelProto, whole: bool) -> None:
    """Raises ValueError where a `tokenizer.json` has other pieces than a SentencePiece model."""
    found = read(file, whole)
    if _pieces(found) != _pieces(model):
        raise ValueError(
            f"Tokenizer '{file}' has other pieces than the SentencePiece model; expected the same. "
            "Remove the file that the model was not trained with."
        )


def _pieces(model: protos.ModelProto) -> tuple[list[tuple[str, float]], bytes]:
    pieces = [(plain(piece.piece), piece.score) for piece in model.pieces]
    return pieces, model.normalizer_spec.precompiled_charsmap


def _without_extra_ids(pieces: list[tuple[str, float]]) -> list[tuple[str, float]]:
    count = 0
    while count < len(pieces) and pieces[-1 - count][0] == f"<extra_id_{count}>":
        count += 1
    return pieces[: len(pieces) - count]


def _without_cuts(pre_tokenizer: Mapping[str, Any], pieces: Sequence[tuple[str, float]]) -> Any:
    steps = pre_tokenizer.get("pretokenizers", pre_tokenizer)
    ours = [*_WORDS, *_cuts([plain(piece) for piece, _ in pieces])]
    return _WORDS if steps == ours else steps


def _characters(normalizer: Mapping[str, Any] | None, whole: bool) -> bytes:
    steps = [] if normalizer is None else normalizer.get("normalizers", [normalizer])
    known = [step for step in steps if step["type"] == "Precompiled"]
    if whole and len(known) != len(steps):
        raise ValueError(f"normalizers {[step['type'] for step in steps]}")
    return base64.b64decode(known[0]["precompiled_charsmap"]) if known else b""


def _model(pieces: Sequence[tuple[str, float]], characters: bytes) -> protos.ModelProto:
    kinds = {0: _Piece.CONTROL, 1: _Piece.CONTROL, 2: _Piece.UNKNOWN}
    model = protos.ModelProto()
    for i, (piece, score) in enumerate(pieces):
        model.pieces.add(piece=piece, score=score, type=kinds.get(i, _Piece.NORMAL))
    trainer = model.trainer_spec
    trainer.model_type, trainer.vocab_size = trainer.UNIGRAM, len(pieces)
    trainer.pad_id, trainer.eos_id, trainer.unk_id, trainer.bos_id = 0, 1, 2, -1
    trainer.pad_piece, trainer.eos_piece, trainer.unk_piece = (name for name, _ in pieces[:3])
    model.normalizer_spec.name = "precompiled"
    model.normalizer_spec.precompiled_charsmap = characters
    return model


def written_form(
    model: protos.ModelProto, extra_ids: int, added: Mapping[int, AddedToken]
) -> dict[str, Any]:
    """What `tokenizer.json` holds; `split_special_tokens` has to be set beside it.

    Args:
      model: the SentencePiece model.
      extra_ids: how many extra ids follow its pieces.
      added: tokens that were added, by id.
    """
    names = [plain(piece.piece) for piece in model.pieces]
    end = names[1]
    own = own_tokens(names, extra_ids)
    entries = {**own, **added}
    return {
        "version": "1.0",
        "truncation": None,
        "padding": None,
        "added_tokens": [{"id": i, **dataclasses.asdict(entries[i])} for i in sorted(entries)],
        "normalizer": _normalizer(model.normalizer_spec.precompiled_charsmap),
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [*_WORDS, *_cuts(names)]},
        "post_processor": {
            "type": "TemplateProcessing",
            "single": [_sequence("A"), _special(end)],
            "pair": [_sequence("A"), _special(end), _sequence("B"), _special(end)],
            "special_tokens": {end: {"id": end, "ids": [1], "tokens": [end]}},
        },
        "decoder": _WORDS[1],
        "model": {
            "type": "Unigram",
            "unk_id": 2,
            "vocab": [[name, piece.score] for name, piece in zip(names, model.pieces, strict=True)],
            "byte_fallback": model.trainer_spec.byte_fallback,
        },
    }


def own_tokens(names: Sequence[str], extra_ids: int) -> dict[int, AddedToken]:
    """T5's own tokens by id.

    Args:
      names: of the pieces.
      extra_ids: how many extra ids follow.
    """
    own = {i: name for i, name in enumerate(names) if i < 3 or OWN.fullmatch(name)}
    own |= {len(names) + extra_ids - 1 - i: f"<extra_id_{i}>" for i in range(extra_ids)}
    return {i: AddedToken(name, normalized=False, special=True) for i, name in own.items()}


def _normalizer(characters: bytes) -> dict[str, Any] | None:
    text = base64.b64encode(characters).decode()
    return {"type": "Precompiled", "precompiled_charsmap": text} if characters else None


def _sequence(name: str) -> dict[str, Any]:
    return {"Sequence": {"id": name, "type_id": 0}}


def _special(name: str) -> dict[str, Any]:
    return {"SpecialToken": {"id": name, "type_id": 0}}


def _cuts(names: Sequence[str]) -> list[dict[str, Any]]:
    """The step that cuts the names of T5's own pieces in two, where any can be cut."""
    own = [name for i, name in enumerate(names) if i < 3 or OWN.fullmatch(name)]
    others = "\0".join(name for i, name in enumerate(names) if i > 2 and not OWN.fullmatch(name))
    single = set(names)
    patterns = []
    for name in dict.fromkeys(_EXTRA_ID.sub("<extra_id_0>", name) for name in own):
        at = _cut(name, others, single)
        if at is None:
            _log.warning(
                "Vocabulary has pieces like every part of %r: Hugging Face's tokenizer reads it "
                "in a text as the token, t5rank as text.",
                name,
            )
        else:
            rest = re.escape(name[at:]).replace("extra_id_0>", r"extra_id_\d+>")
            patterns.append(f"{re.escape(name[:at])}(?={rest})")
    if not patterns:
        return []
    pattern = {"Regex": "|".join(patterns)}
    step = {"type": "Split", "pattern": pattern, "behavior": "MergedWithPrevious", "invert": False}
    return [step]


def _cut(name: str, others: str, single: set[str]) -> int | None:
    """Where no other piece goes on; two unknown characters, which are one token, stay together."""
    places = (
        at
        for at in range(1, len(name))
        if name[at - 1 : at + 1] not in others and single & {name[at - 1], name[at]}
    )
    return next(places, None)
