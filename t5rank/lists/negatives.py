"""Choosing hard negatives, which are documents that a retriever ranks high and are not relevant."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator

_WORD = re.compile(r"\w+")


def shuffled(items: Iterable[str], seed: int, name: str) -> Iterator[str]:
    """Yields the items in a random order, which depends only on the items, the seed and the name.

    It uses nothing but `Random.random`, which Python promises never to change.

    >>> list(shuffled("abcd", 0, "q1"))
    ['a', 'b', 'd', 'c']
    """
    generator = random.Random(f"{seed}:{name}")
    left = list(items)
    while left:
        at = int(generator.random() * len(left))
        left[at], left[-1] = left[-1], left[at]
        yield left.pop()


def words(text: str) -> list[str]:
    """The words of a text in lower case, without punctuation.

    >>> words("It's a LIST.")
    ['it', 's', 'a', 'list']
    """
    return _WORD.findall(text.casefold())


class NearDuplicates:
    """Tells which texts are near-duplicates of some documents.

    Two texts are near-duplicates if the Jaccard similarity of their shingles (`shingles`) is at
    least the threshold. Texts of the same words are near-duplicates at every threshold but 0.

    Args:
      texts: the documents' texts.
      threshold: from 0 to 1; with 0 no text is a near-duplicate.

    >>> duplicates = NearDuplicates(["a list holds items in order"], 0.5)
    >>> "A list holds items in ORDER!" in duplicates
    True
    >>> "a list holds many items in order" in duplicates
    False
    """

    def __init__(self, texts: Iterable[str], threshold: float):
        self._threshold = threshold
        self._documents = [shingles(text) for text in texts] if threshold else []
        self._rare = [self._rare_words(document) for document in self._documents]

    def __contains__(self, text: str) -> bool:
        folded = text.casefold()
        if not any(word in folded for rare in self._rare for word in rare):
            return False
        own = shingles(text)
        return any(self._alike(own, other) for other in self._documents)

    def _rare_words(self, document: set[tuple[str, ...]]) -> set[str]:
        """Words of a document, such that every near-duplicate has at least one of them.

        A text that has none of them is no near-duplicate, and to see that is fast. A near-duplicate
        lacks at most (1 - threshold) of the document's shingles. So out of a set with one shingle
        more than that, it has at least one shingle, and the longest word of that shingle. The set
        holds the shingles with the longest words, because long words are rare.
        """
        number = int((1 - self._threshold) * len(document) + 1e-9) + 1
        longest = (max(shingle, key=lambda word: (len(word), word)) for shingle in document)
        return set(sorted(longest, key=len, reverse=True)[:number])

    def _alike(self, one: set, other: set) -> bool:
        common = len(one & other)
        return common >= self._threshold * (len(one) + len(other) - common)


def shingles(text: str) -> set[tuple[str, ...]]:
    """The sequences of three successive words; a shorter text is one sequence.

    >>> sorted(shingles("what is a list"))
    [('is', 'a', 'list'), ('what', 'is', 'a')]
    """
    found = words(text)
    return (
        {tuple(found or [""])}
        if len(found) < 3
        else set(zip(found, found[1:], found[2:], strict=False))
    )
