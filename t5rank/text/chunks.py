"""Which tokens of a document are read where it is too long for one input."""

import dataclasses

_OVERLAP = 4  # a chunk shares a quarter of its tokens with the one before


@dataclasses.dataclass(frozen=True)
class Chunking:
    """How a document becomes inputs.

    Attributes:
      max_document_tokens: tokens of a document in one input; as many as there is room for by
        default.
      max_chunks: a longer document becomes so many inputs, which overlap.
      keep_end: whether the beginning of a document is cut instead of its end.
    """

    max_document_tokens: int | None = None
    max_chunks: int = 1
    keep_end: bool = False

    def tokens(self, room: int) -> int:
        """Tokens of a document in one input that has room for `room`."""
        return min(room, self.max_document_tokens or room)

    def wanted(self, room: int) -> int:
        """Tokens of a document that are looked at: one more tells that something is cut."""
        return self.covered(room, self.max_chunks) + 1

    def covered(self, room: int, chunks: int) -> int:
        """Tokens of a document in so many chunks together."""
        size = self.tokens(room)
        return size + (chunks - 1) * _stride(size)

    def chunks(self, document: list[int], room: int) -> list[list[int]]:
        """The tokens of each input, one at least."""
        size = self.tokens(room)
        stride = _stride(size)
        count = min(self.max_chunks, 1 + -(-max(0, len(document) - size) // stride))
        start = max(0, len(document) - self.covered(room, count)) if self.keep_end else 0
        starts = (start + i * stride for i in range(count))
        return [document[i : i + size] for i in starts]


def _stride(size: int) -> int:
    return max(1, size - size // _OVERLAP)
