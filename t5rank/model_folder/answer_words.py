"""The two words that models like monoT5 answer with, by the names that they were published under.

monoT5 itself answers "false" and "true" (Nogueira et al. 2020); those after it that read other
languages answer with words of their own. The tables of pygaggle and of the package rerankers say
which; TWOLAR's authors name the token ids 6136 and 1176, which are "false" and "true".
"""

import re
from collections.abc import Iterator
from typing import NamedTuple

from etils import epath

from t5rank.checkpoints.huggingface_config import CONFIG
from t5rank.formats.json_files import read_object_if_any


class Words(NamedTuple):
    """What a model answers for a document that is not relevant, and for one that is.

    A word is a piece of the vocabulary with or without the mark of a word's start, or a token id.
    """

    false: str | int
    true: str | int


MONOT5 = Words("false", "true")
# castorini/monot5-*, unicamp-dl/InRanker-* and Dundalia/TWOLAR-* answer as monoT5 does.
_KNOWN = {
    r"mt5-base-(en-|en-pt-)?(mm|msm)arco.*": Words("no", "yes"),
    r"ptt5-base-(en-)?pt-msmarco.*": Words("n\u00e3o", "sim"),
    r"monoptt5-.*": Words("N\u00e3o", "Sim"),
    r"mt5-3b-mmarco.*|mt5-13b-mmarco.*": Words("\u2581", "true"),
}


def parse(text: str) -> Words:
    """Words of "FALSE,TRUE"; a word of digits is an id.

    Raises:
      ValueError: these are not two words.
    """
    words = text.split(",")
    if len(words) != 2 or not all(words):
        raise ValueError(
            f"Option '--tokens' has '{text}'; expected FALSE,TRUE: two words or two ids, such as "
            "no,yes."
        )
    return Words(*(int(word) if word.isascii() and word.isdigit() else word for word in words))


def known_words(folder: epath.Path) -> tuple[str, Words] | None:
    """A model's published name and its words, where a Hugging Face folder says that name.

    The folder's own name counts first (that of the hub's cache too), then `_name_or_path` in its
    `config.json`, then the title of its README.md and what that loads.
    """
    for name in _names(folder):
        for pattern, words in _KNOWN.items():
            if re.fullmatch(pattern, name.rsplit("/", 1)[-1], re.IGNORECASE):
                return name, words
    return None


def _names(folder: epath.Path) -> Iterator[str]:
    yield folder.name
    if folder.parent.name == "snapshots":  # models--OWNER--NAME/snapshots/COMMIT
        yield folder.parent.parent.name.rsplit("--", 1)[-1]
    yield str(read_object_if_any(folder / CONFIG).get("_name_or_path", "")).rstrip("/")
    card = folder / "README.md"
    if card.is_file():
        text = card.read_bytes().decode(errors="replace")
        yield from re.findall(r"^# +(\S+) *$", text, re.MULTILINE)[:1]
        yield from re.findall(r"""from_pretrained\(\s*["']([^"']+)["']""", text)
        yield from re.findall(r"""model_name *= *["']([^"']+)["']""", text)
