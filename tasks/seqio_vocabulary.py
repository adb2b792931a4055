"""`t5rank.text.vocabulary.Vocabulary` for seqio's tasks and T5X."""

import os
from collections.abc import Sequence

import numpy as np
import seqio
import tensorflow as tf

from t5rank.text.vocabulary import Vocabulary


class TextVocabulary(seqio.SentencePieceVocabulary):
    """Tokenizes by `Vocabulary`, so that TensorFlow has the same tokens as everything else.

    Args:
      file: see `Vocabulary`.

    Raises:
      ValueError: as `Vocabulary`.
    """

    def __init__(self, file: str | os.PathLike[str]):
        vocabulary = Vocabulary(file)
        super().__init__(vocabulary.file, extra_ids=vocabulary.extra_ids)
        self._model = vocabulary

    def _model_context(self) -> Vocabulary:
        # The base class leaves `_model` out of copies and pickles, and of what makes two equal.
        if self._model is None:
            self._model = Vocabulary(self.sentencepiece_model_file)
        return self._model

    @property
    def tokenizer(self) -> "seqio.vocabularies.sentencepiece_processor.SentencePieceProcessor":
        """The SentencePiece model in Python, which knows no added tokens."""
        return self._model_context().processor

    @property
    def sp_model(self) -> bytes:
        """The SentencePiece model's bytes."""
        return self._model_context().text_model

    @property
    def _base_vocab_size(self) -> int:
        return len(self._model_context())

    def _encode(self, s: str) -> Sequence[int]:
        return self._model_context().encode(s)

    def _encode_tf(self, s: tf.Tensor) -> tf.Tensor | tf.RaggedTensor:
        vocabulary = self._model_context()

        def encode(texts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            rows = vocabulary.encode_batch([text.decode() for text in texts])
            tokens = np.asarray([token for row in rows for token in row], np.int32)
            return tokens, np.asarray([len(row) for row in rows], np.int64)

        texts = tf.convert_to_tensor(s)
        tokens, lengths = tf.numpy_function(encode, [tf.reshape(texts, [-1])], (tf.int32, tf.int64))
        tokens.set_shape([None])
        lengths.set_shape([None])
        return (
            tokens if texts.shape.rank == 0 else tf.RaggedTensor.from_row_lengths(tokens, lengths)
        )
