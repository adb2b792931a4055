"""Checks that a vocabulary is the one that a checkpoint was trained with, as far as possible.

A checkpoint has the rows of an embedding, and does not say which tokens they belong to. If a
vocabulary lies beside the checkpoint, the pieces are compared. If not, only the size can be
compared: T5 pads its table to a multiple of 128 rows, so fewer than 128 rows have no token.
"""

from t5rank.checkpoints.sources import Source
from t5rank.text.vocabulary import Vocabulary

_PADDING = 128


def check_vocabulary(source: Source, vocabulary: Vocabulary, rows: int) -> None:
    """Raises ValueError where a checkpoint was trained with another vocabulary.

    Args:
      source: the checkpoint.
      vocabulary: the vocabulary to use with it.
      rows: how many rows its embedding has.
    """
    vocabulary.check_rows(rows)
    if source.vocabulary is not None:
        beside = Vocabulary(source.vocabulary, source.settings.get("extra_ids"), source.tokenizer)
        if beside.names != vocabulary.names:
            raise ValueError(
                f"Checkpoint '{source.path}' has another vocabulary beside it, "
                f"'{beside.file}' with {len(beside)} tokens; expected the pieces of "
                f"'{vocabulary.file}' with {len(vocabulary)}. Give the checkpoint's own."
            )
    elif rows - len(vocabulary) >= _PADDING:
        raise ValueError(
            f"Checkpoint '{source.path}' has {rows} rows of embeddings; expected the "
            f"{len(vocabulary)} tokens of '{vocabulary.file}', padded to a multiple of {_PADDING} "
            "at most. Is it another model's vocabulary?"
        )
