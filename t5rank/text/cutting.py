"""Tokens of the beginning or the end of a text, without tokenizing all of it.

SentencePiece finds pieces from left to right: the best way to cut a text up to some letter does not
depend on what follows. No piece of T5's vocabularies has a space within, so every text may be cut
before a space, and the tokens before it stay. Where there is no space (Chinese, a run of letters),
one of any L neighbouring places is the end of a piece, L being the length of the longest piece:
what the texts that end at each of these have in common at their beginning, the whole text has, too.
Normalization may lengthen a text and put spaces into it (U+FDFA becomes 18 letters), so a beginning
is looked at normalized as well. A text for which none of this helps is tokenized whole.
"""

import functools
from collections.abc import Sequence

from t5rank.text.vocabulary import Vocabulary

_LETTERS = 6  # looked at first for each token that is wanted; English has four or five
_UNSURE = 64  # letters; one letter becomes at most 18, and few come together into one
_HUGE = 1 << 16  # letters; the end of such a text is looked at alone where no space is near
_MORE = 4  # times as many, where these were too few


class Cutter:
    """Cuts texts for one vocabulary.

    Args:
      vocabulary: tokenizes.
    """

    def __init__(self, vocabulary: Vocabulary):
        self._vocabulary = vocabulary

    # Both look at the whole vocabulary, and only a long text asks for them.
    @functools.cached_property
    def _keeps_words(self) -> bool:
        return self._vocabulary.keeps_words_apart()

    @functools.cached_property
    def _longest(self) -> int:
        return self._vocabulary.longest_piece()

    def letters(self, text: str, want: int) -> int:
        """About how many letters are tokenized where `want` tokens are needed."""
        size = _LETTERS * want
        is_cut = not self.is_short(text, want) and self._space_before(text, size) > 0
        return 2 * size if is_cut else len(text)

    def is_short(self, text: str, want: int) -> bool:
        """Whether a text is tokenized whole, so that its tokens are all there."""
        return len(text) <= 2 * _LETTERS * want

    def beginnings(self, texts: Sequence[str], want: int) -> list[list[int]]:
        """The first tokens of each text: at least `want` of them, or all."""
        size = _LETTERS * want
        cut = [text if self.is_short(text, want) else self._words(text, size) for text in texts]
        tokens = self._vocabulary.encode_batch(cut)
        for i, text in enumerate(texts):
            if len(tokens[i]) < want and len(cut[i]) < len(text):
                tokens[i] = self._beginning(text, want)
        return tokens

    def ends(self, texts: Sequence[str], want: int) -> list[list[int]]:
        """The last tokens of each text: at least `want` of them, or all.

        Where two ways to cut a run such as "?????" tie, it may be cut in the other one. The tokens
        of a text of more than 65,536 letters without spaces are those that are nearly certain.
        """
        return [self._end(text, want) for text in texts]

    def _beginning(self, text: str, want: int) -> list[int]:
        size = _LETTERS * want
        while 2 * size < len(text):
            if words := self._words(text, size) or self._normalized_words(text, size):
                tokens = self._vocabulary.encode(words)
            else:
                tokens = self._sure(text, size)
            if len(tokens) >= want:
                return tokens
            size *= _MORE
        return self._vocabulary.encode(text)

    def _end(self, text: str, want: int) -> list[int]:
        size = _LETTERS * want
        while 2 * size < len(text):
            words = self._last_words(text, size)
            if not words and len(text) > _HUGE:
                words = self._last_normalized_words(text, size)
            tokens = self._vocabulary.encode(words) if words else self._likely_end(text, size)
            if len(tokens) >= want:
                return tokens
            size *= _MORE
        return self._vocabulary.encode(text)

    def _words(self, text: str, size: int) -> str:
        """Whole words, of at most `size` letters; none where no space is near."""
        return text[: self._space_before(text, size)]

    def _normalized_words(self, text: str, size: int) -> str:
        """Whole words of the normalized first letters; none where they hold no space.

        The last letters of a beginning may be normalized otherwise than in the whole.
        """
        if not self._keeps_words:
            return ""
        normalized = self._vocabulary.normalized(text[:size])
        return normalized[: max(0, normalized.rfind(" ", 0, len(normalized) - _UNSURE))]

    def _last_words(self, text: str, size: int) -> str:
        start = len(text) - size
        place = text.find(" ", start, start + size // 2) if self._keeps_words else -1
        return text[place:] if place >= 0 else ""

    def _last_normalized_words(self, text: str, size: int) -> str:
        """Whole words of the normalized last letters; none where they hold no space."""
        if not self._keeps_words:
            return ""
        normalized = self._vocabulary.normalized(text[-size:])
        place = normalized.find(" ", _UNSURE)
        return normalized[place:] if place >= 0 else ""

    def _space_before(self, text: str, size: int) -> int:
        return max(0, text.rfind(" ", size // 2, size)) if self._keeps_words else 0

    def _sure(self, text: str, size: int) -> list[int]:
        """Tokens within the first letters that no continuation changes; maybe none."""
        around = text[size - self._longest : size + 1]
        costly = 2 * self._longest * size > len(text)
        if costly or not self._vocabulary.takes_as_it_is(around):
            return []
        ends = range(size - self._longest + 1, size + 1)
        tokens = self._vocabulary.encode_batch([text[:end] for end in ends])
        return _common_beginning(tokens)

    def _likely_end(self, text: str, size: int) -> list[int]:
        """Tokens at the end on which the texts from all of some neighbouring places agree."""
        costly = 2 * self._longest * size > len(text)
        if costly or len(text) <= _HUGE:
            return []
        start = len(text) - size
        starts = range(start, start + self._longest)
        tokens = self._vocabulary.encode_batch([text[first:] for first in starts])
        return _common_beginning([each[::-1] for each in tokens])[::-1]


def _common_beginning(lists: Sequence[list[int]]) -> list[int]:
    first, last = min(lists), max(lists)  # in the order of lists these differ first
    common = min(len(first), len(last))
    return first[: next((i for i in range(common) if first[i] != last[i]), common)]
