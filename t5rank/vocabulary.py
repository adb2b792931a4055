"""A T5 SentencePiece vocabulary without TensorFlow.

It tokenizes as `seqio.SentencePieceVocabulary` does, which the tasks use: exactly as its `encode`,
and as its `encode_tf` but for the order of pieces in runs such as "_____", where cuts tie and
TensorFlow's own SentencePiece picks another one (33 of 30,159 MS MARCO passages).
"""

import functools
import os
from collections.abc import Sequence
from typing import Any

import sentencepiece
from etils import epath
from sentencepiece import sentencepiece_model_pb2 as protos

from t5rank.cores import core_count

PAD_ID = 0
EOS_ID = 1
EXTRA_IDS = 100
_WORD_START = "\u2581"


class Vocabulary:
    """Tokens of a SentencePiece model file, plus `<extra_id_0>` ... `<extra_id_99>` at its end.

    Args:
      file: a SentencePiece model with pad id 0 and end-of-sequence id 1, as T5's `spiece.model`. A
        file that already holds the extra ids is taken as it is.
      extra_ids: how many extra ids to add.

    Raises:
      ValueError: the file is missing, is no SentencePiece model, or has other special ids.
    """

    def __init__(self, file: str | os.PathLike[str], extra_ids: int = EXTRA_IDS):
        self.file = os.fspath(file)
        model = _read_model(self.file)
        self.extra_ids = 0 if _holds_extra_ids(model) else extra_ids
        for i in reversed(range(self.extra_ids)):
            piece_type = protos.ModelProto.SentencePiece.USER_DEFINED
            model.pieces.add(piece=f"{_WORD_START}<extra_id_{i}>", score=0.0, type=piece_type)
        self._processor = sentencepiece.SentencePieceProcessor()
        self._processor.LoadFromSerializedProto(model.SerializeToString())
        ids = (self._processor.pad_id(), self._processor.eos_id())
        if ids != (PAD_ID, EOS_ID):
            raise ValueError(
                f"Vocabulary '{self.file}' has pad and end-of-sequence ids {ids}; "
                f"expected {(PAD_ID, EOS_ID)}. Train it with pad_id=0, eos_id=1, unk_id=2."
            )

    def __len__(self) -> int:
        return self._processor.vocab_size()

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without an end-of-sequence token."""
        return self._processor.encode(text)

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text, on all cores."""
        return self._processor.encode(list(texts), num_threads=core_count())

    def keeps_words_apart(self) -> bool:
        """Whether no piece reaches over a space, so that words are tokenized one by one."""
        pieces = map(self._processor.id_to_piece, range(len(self)))
        reaches = any(_WORD_START in piece[1:] or " " in piece for piece in pieces)
        return not reaches and self.encode("a a") == self.encode("a") + self.encode(" a")

    def longest_piece(self) -> int:
        """The letters of the longest piece."""
        return max(len(self._processor.id_to_piece(i)) for i in range(len(self)))

    def takes_as_it_is(self, text: str) -> bool:
        """Whether each letter is read as itself, by normalization as a whole."""
        return self._processor.normalize(text).lstrip(_WORD_START) == text

    def check_rows(self, rows: int) -> None:
        """Raises ValueError where an embedding table has fewer rows than there are tokens."""
        if rows < len(self):
            raise ValueError(
                f"T5Config 'vocab_size' has {rows} rows; expected at least the {len(self)} tokens "
                f"of '{self.file}'."
            )

    def token_id(self, token: str) -> int:
        """The id of a whole word such as "true" or "<extra_id_10>".

        Raises:
          ValueError: the word is not one token of this vocabulary.
        """
        for piece in (_WORD_START + token, token):
            token_id = self._processor.piece_to_id(piece)
            if self._processor.id_to_piece(token_id) == piece:
                return token_id
        raise ValueError(
            f"Vocabulary '{self.file}' has no token {token!r}; expected it to be one piece. "
            "Train the vocabulary with it among user_defined_symbols, or choose another token."
        )


@functools.lru_cache(maxsize=4)
def _read_bytes(file: str, modified: float, length: int) -> bytes:
    del modified, length  # parts of the cache's key
    return epath.Path(file).read_bytes()


def _read_model(file: str) -> Any:
    try:
        status = epath.Path(file).stat()
        data = _read_bytes(file, status.mtime, status.length)
    except OSError as error:
        raise ValueError(
            f"Vocabulary '{file}' has no readable file ({error.strerror}); "
            "expected a SentencePiece model such as T5's spiece.model."
        ) from error
    try:
        model = protos.ModelProto.FromString(data)
    except Exception as error:  # protobuf's own error class moves between versions
        raise ValueError(
            f"Vocabulary '{file}' has {len(data)} bytes that do not parse; "
            "expected a SentencePiece model."
        ) from error
    if not model.pieces:
        raise ValueError(f"Vocabulary '{file}' has no pieces; expected a SentencePiece model.")
    return model


def _holds_extra_ids(model: Any) -> bool:
    names = {f"{_WORD_START}<extra_id_0>", "<extra_id_0>"}
    return any(piece.piece in names for piece in model.pieces)
