"""The two words that models like monoT5 answer with, by the names that they were published under.

monoT5 itself answers "false" and "true" (Nogueira et al. 2020); those after it that read other
languages answer with words of their own. The tables of pygaggle and of the package rerankers say
which; TWOLAR's authors name the token ids 6136 and 1176, which are "false" and "true".
"""

import re
from typing import NamedTuple


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


def known_words(name: str) -> Words | None:
    """The words of a published model, by its name on the hub, with its owner or without."""
    short = name.rsplit("/", 1)[-1]
    for pattern, words in _KNOWN.items():
        if re.fullmatch(pattern, short, re.IGNORECASE):
            return words
    return None
