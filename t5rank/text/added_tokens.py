"""Tokens that the maker of a model added to T5's vocabulary, such as "[TITLE]".

They are read from the files of Hugging Face's tokenizer as transformers 5 reads them for T5, and a
text is split at them as its `tokenizers` does: at the leftmost match, the longest of several;
first at tokens that match the text as it is written, then, in what is left, at those that match the
normalized text. What stands between them is tokenized by itself.

T5's own tokens (`<pad>`, `</s>`, `<unk>`, `<extra_id_0>`) are no added tokens: in a text they are
text. Spaces beside a token are dropped whether it says `lstrip` and `rstrip` or not, as T5's
tokenizer drops them anyway.
"""

import dataclasses
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from etils import epath

from t5rank.formats.json_files import read_object_if_any

OWN = re.compile(r"\u2581?<(?:pad|/s|unk|extra_id_\d+)>")
CONFIG = "tokenizer_config.json"
TOKENIZER = "tokenizer.json"
_SPECIAL_MAP = "special_tokens_map.json"
_LEGACY = "added_tokens.json"
_NAMED = tuple(f"{name}_token" for name in ("bos", "eos", "unk", "sep", "pad", "cls", "mask"))
# Letters by Unicode's property Alphabetic, which its categories do not say.
_CIRCLED = re.compile(
    "[\u24b6-\u24e9\U0001f130-\U0001f149\U0001f150-\U0001f169\U0001f170-\U0001f189]"
)


@dataclasses.dataclass(frozen=True)
class AddedToken:
    """One token, with the names of Hugging Face's `AddedToken`.

    Attributes:
      content: its text.
      single_word: whether letters and digits may not touch it.
      lstrip: whether it takes the spaces before it.
      rstrip: whether it takes the spaces after it.
      normalized: whether it is looked for in the normalized text.
      special: whether a tokenizer with `split_special_tokens` leaves it alone.
    """

    content: str
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False


class Splitter:
    """Splits a text at added tokens.

    Args:
      tokens: ids to the tokens that a text is split at.
      normalize: the vocabulary's normalization, without a word on spaces.
    """

    def __init__(self, tokens: Mapping[int, AddedToken], normalize: Callable[[str], str]):
        self._normalize = normalize
        written = {t.content: (i, t) for i, t in tokens.items() if not t.normalized}
        normalized = {normalize(t.content): (i, t) for i, t in tokens.items() if t.normalized}
        self._passes = [(_alternatives(found), found) for found in (written, normalized) if found]
        self._normalizes = bool(normalized)

    def __call__(self, text: str) -> list[str | int]:
        """Texts to tokenize, and ids."""
        parts: list[str | int] = [text]
        for pattern, tokens in self._passes:
            if self._normalizes and tokens is self._passes[-1][1]:
                parts = [self._normalize(p) if isinstance(p, str) else p for p in parts]
            parts = [
                piece
                for part in parts
                for piece in (_split(part, pattern, tokens) if isinstance(part, str) else [part])
            ]
        return parts


def _alternatives(contents: Mapping[str, Any]) -> re.Pattern:
    return re.compile("|".join(map(re.escape, sorted(contents, key=len, reverse=True))))


def _split(
    text: str, pattern: re.Pattern, tokens: Mapping[str, tuple[int, AddedToken]]
) -> Iterator[str | int]:
    end = 0
    for match in pattern.finditer(text):
        token_id, token = tokens[match[0]]
        touched = _is_word(text[: match.start()][-1:]) or _is_word(text[match.end() :][:1])
        if token.single_word and touched:
            continue
        yield text[end : match.start()]
        yield token_id
        end = match.end()
    yield text[end:]


def _is_word(character: str) -> bool:
    """Whether it is a `\\w` of Unicode's regular expressions, as in Rust."""
    if not character:
        return False
    category = unicodedata.category(character)
    return (
        category[0] in "LM"
        or category in ("Nd", "Nl", "Pc")
        or character in "\u200c\u200d"
        or bool(_CIRCLED.match(character))
    )


def read(folder: epath.Path, pieces: Sequence[str]) -> dict[int, AddedToken]:
    """The tokens that a Hugging Face tokenizer has beside its vocabulary.

    Args:
      folder: with `tokenizer_config.json`, `tokenizer.json`, `special_tokens_map.json` or
        `added_tokens.json`; nothing is added where there is none.
      pieces: the vocabulary, T5's extra ids included.

    Raises:
      ValueError: a file is damaged, or says what is not read here as transformers would read it:
        another end of sequence, or an id that transformers would not give.
    """
    config, stated = _stated(folder)
    splits = not config.get("split_special_tokens", False)
    _check_end(folder, config, pieces)
    ids = {plain(piece): token_id for token_id, piece in enumerate(pieces)}
    added: dict[int, AddedToken] = {}
    for token_id, token in [*sorted(stated.items()), *((None, name) for name in _named(config))]:
        if token_id is None and token.content in ids:
            continue
        given = ids.setdefault(token.content, len(ids))
        if token_id not in (None, given):
            raise ValueError(
                f"Tokenizer '{folder}' has token {token.content!r} with id {token_id}; expected "
                f"{given}, the id that transformers gives it. Does the vocabulary belong to it?"
            )
        own = bool(OWN.fullmatch(token.content))
        if given >= len(pieces) or not own:
            added[given] = dataclasses.replace(token, special=own or (token.special and not splits))
    return added


def is_tokenizer(folder: epath.Path) -> bool:
    """Whether a folder has a tokenizer's settings."""
    return any((folder / name).is_file() for name in (CONFIG, TOKENIZER, _SPECIAL_MAP, _LEGACY))


def written_form(tokens: Mapping[int, AddedToken]) -> dict[str, Any]:
    """`tokenizer_config.json` that `read` reads the same tokens from."""
    decoder = {str(token_id): dataclasses.asdict(token) for token_id, token in tokens.items()}
    return {"added_tokens_decoder": decoder, "split_special_tokens": True}


def plain(piece: str) -> str:
    """A piece's name, of T5's own tokens without the mark of a word's start."""
    return piece.removeprefix("\u2581") if OWN.fullmatch(piece) else piece


def _stated(folder: epath.Path) -> tuple[dict[str, Any], dict[int, AddedToken]]:
    """The settings, and the tokens whose ids are said; by the rules of transformers 5."""
    config = read_object_if_any(folder / CONFIG)
    listed = read_object_if_any(folder / TOKENIZER).get("added_tokens", [])
    whole = {token["id"]: _token(token) for token in listed}
    if "added_tokens_decoder" in config:
        stated = {int(i): _token(token) for i, token in config["added_tokens_decoder"].items()}
        return config, whole | stated if is_read_whole(config) else stated
    others = read_object_if_any(folder / _SPECIAL_MAP)
    others.pop("additional_special_tokens", None)  # which transformers reads in CONFIG alone
    config |= others
    special = {token.content for token in _named(config | {"additional_special_tokens": []})}
    legacy = {
        token_id: AddedToken(text, normalized=text not in special, special=text in special)
        for text, token_id in read_object_if_any(folder / _LEGACY).items()
    }
    return config, legacy | whole


def is_read_whole(config: Mapping[str, Any]) -> bool:
    """Whether transformers takes `tokenizer.json` as it is, and not for its pieces alone."""
    return config.get("tokenizer_class") in ("PreTrainedTokenizerFast", "TokenizersBackend")


def _named(config: Mapping[str, Any]) -> list[AddedToken]:
    """The tokens that a configuration names without an id."""
    keys = [key for key in config if key.endswith("_token") and isinstance(config[key], str)]
    names = [config[key] for key in dict.fromkeys((*_NAMED, *keys)) if config.get(key)]
    extra = config.get("extra_special_tokens") or config.get("additional_special_tokens") or []
    names += extra.values() if isinstance(extra, Mapping) else extra
    return [_token(name, special=True) for name in names]


def _token(value: str | Mapping[str, Any], special: bool = False) -> AddedToken:
    if isinstance(value, str):
        return AddedToken(value, normalized=not special, special=special)
    names = {field.name for field in dataclasses.fields(AddedToken)}
    given: dict[str, Any] = {"special": special} | {
        name: value[name] for name in value if name in names
    }
    return AddedToken(**{"normalized": not given["special"]} | given)


def _check_end(folder: epath.Path, config: Mapping[str, Any], pieces: Sequence[str]) -> None:
    end = _token(config.get("eos_token") or pieces[1]).content
    if end != pieces[1]:
        raise ValueError(
            f"Tokenizer '{folder}' has end of sequence {end!r}; expected {pieces[1]!r}, T5's."
        )
