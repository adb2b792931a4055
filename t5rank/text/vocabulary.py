"""A T5 SentencePiece vocabulary without TensorFlow.

It tokenizes as `seqio.SentencePieceVocabulary` does, with two differences. T5's own tokens, such as
`</s>`, `<pad>`, `<unk>` or `<extra_id_10>`, are text in a text, so that no query or document can
write such a token into a prompt. In runs such as "_____" several cuts have the same score, and
tensorflow-text takes another one (33 of 30,159 MS MARCO passages); nothing here uses it.
"""

import functools
import os
from collections.abc import Mapping, Sequence
from typing import Any

import sentencepiece
from etils import epath
from sentencepiece import sentencepiece_model_pb2 as protos

from t5rank.formats.json_files import read_object_if_any
from t5rank.process.cores import core_count
from t5rank.process.remote import check_remote
from t5rank.text import added_tokens, tokenizer_json
from t5rank.text.added_tokens import AddedToken
from t5rank.text.strings import as_text, as_texts

PAD_ID = 0
EOS_ID = 1
EXTRA_IDS = 100
_WORD_START = "\u2581"
_TEXTS_A_THREAD = 64  # to start a thread takes as long as to tokenize one or two
_Piece = protos.ModelProto.SentencePiece


class Vocabulary:
    """Tokens of a SentencePiece model file, plus `<extra_id_0>` ... `<extra_id_99>` at its end.

    What a Hugging Face tokenizer says beside the file counts, too: the tokens that were added (see
    `t5rank.text.added_tokens`) and the number of extra ids.

    Args:
      file: a SentencePiece model with pad id 0 and end-of-sequence id 1, as T5's `spiece.model`, or
        T5's `tokenizer.json`. A file that already holds the extra ids is taken as it is.
      extra_ids: how many extra ids to add; by default what the tokenizer says, or 100.
      tokenizer: the folder of the tokenizer, the file's own by default.

    Raises:
      ValueError: the file is missing, is no SentencePiece model, or has other special ids; the
        tokenizer does not fit it, or cannot be read as transformers reads it.
    """

    def __init__(
        self,
        file: str | os.PathLike[str],
        extra_ids: int | None = None,
        tokenizer: str | os.PathLike[str] | None = None,
    ):
        self.file = os.fspath(file)
        check_remote(self.file)
        folder = epath.Path(self.file).parent if tokenizer is None else epath.Path(tokenizer)
        config = read_object_if_any(folder / added_tokens.CONFIG)
        whole = added_tokens.is_read_whole(config)
        self.model = _read_model(self.file, whole)
        if (folder / added_tokens.TOKENIZER).is_file():
            tokenizer_json.check(folder / added_tokens.TOKENIZER, self.model, whole)
        if extra_ids is None:
            extra_ids = config.get("extra_ids", EXTRA_IDS)
        self.extra_ids = 0 if _holds_extra_ids(self.model) else extra_ids
        self.processor = sentencepiece.SentencePieceProcessor()
        self.processor.LoadFromSerializedProto(self.text_model)
        ids = (self.processor.pad_id(), self.processor.eos_id())
        if ids != (PAD_ID, EOS_ID):
            raise ValueError(
                f"Vocabulary '{self.file}' has pad and end-of-sequence ids {ids}; "
                f"expected {(PAD_ID, EOS_ID)}. Train it with pad_id=0, eos_id=1, unk_id=2."
            )
        pieces = [self.processor.id_to_piece(i) for i in range(self.processor.vocab_size())]
        self.added_tokens: Mapping[int, AddedToken] = added_tokens.read(folder, pieces)
        self._split = self._splitter()

    @property
    def names(self) -> list[str]:
        """The pieces, extra ids and added tokens included."""
        pieces = [added_tokens.plain(piece.piece) for piece in self.model.pieces]
        extra = [f"<extra_id_{i}>" for i in reversed(range(self.extra_ids))]
        return [*pieces, *extra, *(token.content for token in self.added_tokens.values())]

    @property
    def text_model(self) -> bytes:
        """The SentencePiece model, extra ids included, that reads T5's own tokens as text."""
        model = protos.ModelProto.FromString(self.model.SerializeToString())
        for piece in model.pieces:
            if added_tokens.OWN.fullmatch(piece.piece) and piece.type != _Piece.UNKNOWN:
                piece.type = _Piece.CONTROL
        for i in reversed(range(self.extra_ids)):
            model.pieces.add(piece=f"{_WORD_START}<extra_id_{i}>", score=0.0, type=_Piece.CONTROL)
        return model.SerializeToString()

    def _splitter(self) -> added_tokens.Splitter | None:
        tokens = {i: token for i, token in self.added_tokens.items() if not token.special}
        if not tokens:
            return None
        normalizer = sentencepiece.SentencePieceNormalizer(
            model_proto=self.model.SerializeToString(),
            add_dummy_prefix=False,
            escape_whitespaces=False,
            remove_extra_whitespaces=False,
        )
        return added_tokens.Splitter(tokens, normalizer.normalize)

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Vocabulary):
            return NotImplemented
        return self._parts() == other._parts()

    def __hash__(self) -> int:
        return hash(self.file)

    def _parts(self) -> tuple[bytes, int, Mapping[int, AddedToken]]:
        return self.model.SerializeToString(), self.extra_ids, self.added_tokens

    def __repr__(self) -> str:
        added = f", {len(self.added_tokens)} added" if self.added_tokens else ""
        return f"Vocabulary({self.file!r}, {len(self):,} tokens{added})"

    def __len__(self) -> int:
        return max([self.processor.vocab_size() - 1, *self.added_tokens]) + 1

    def encode(self, text: str) -> list[int]:
        """Token ids of `text`, without an end-of-sequence token.

        Raises:
          TypeError: it is no string.
        """
        text = as_text(text, "Text")
        return self.processor.encode(text) if self._split is None else self.encode_batch([text])[0]

    def encode_batch(self, texts: Sequence[str]) -> list[list[int]]:
        """`encode` of each text; many are spread over the cores.

        Raises:
          TypeError: these are no strings, or one string.
        """
        texts = as_texts(texts, "Text")
        if self._split is None:
            return self._encode(texts)
        parts = [self._split(text) for text in texts]
        plain = [part for split in parts for part in split if isinstance(part, str)]
        tokens = iter(self._encode(plain))
        return [
            [
                token
                for part in split
                for token in ([part] if isinstance(part, int) else next(tokens))
            ]
            for split in parts
        ]

    def _encode(self, texts: list[str]) -> list[list[int]]:
        threads = min(core_count(), -(-len(texts) // _TEXTS_A_THREAD))
        return self.processor.encode(texts, num_threads=max(1, threads))

    def keeps_words_apart(self) -> bool:
        """Whether no piece reaches over a space, so that words are tokenized one by one."""
        if self._split is not None:  # a token that was added may hold a space
            return False
        pieces = map(self.processor.id_to_piece, range(self.processor.vocab_size()))
        reaches = any(_WORD_START in piece[1:] or " " in piece for piece in pieces)
        return not reaches and self.encode("a a") == self.encode("a") + self.encode(" a")

    def longest_piece(self) -> int:
        """The letters of the longest token."""
        return max(map(len, self.names))

    def normalized(self, text: str) -> str:
        """The text as it is cut into pieces, its words apart by spaces."""
        return self.processor.normalize(text).replace(_WORD_START, " ").removeprefix(" ")

    def takes_as_it_is(self, text: str) -> bool:
        """Whether each letter is read as itself, by normalization as a whole."""
        return self.processor.normalize(text).lstrip(_WORD_START) == text

    def check_rows(self, rows: int) -> None:
        """Raises ValueError where an embedding table has fewer rows than there are tokens."""
        if rows < len(self):
            raise ValueError(
                f"T5Config 'vocab_size' has {rows} rows; expected at least the {len(self)} tokens "
                f"of '{self.file}'."
            )

    def words(self, token_ids: Sequence[int]) -> list[str]:
        """Tokens as `token_id` takes them; rows of an embedding that are no token as "#40"."""
        return [self._word(token_id) for token_id in token_ids]

    def _word(self, token_id: int) -> str:
        if token_id in self.added_tokens:
            return self.added_tokens[token_id].content
        if token_id >= self.processor.vocab_size():
            return f"#{token_id}"
        piece = self.processor.id_to_piece(int(token_id))
        word = piece.removeprefix(_WORD_START)
        return word if word and self.token_id(word) == token_id else piece

    def token_id(self, token: str) -> int:
        """The id of a whole word such as "true", of "<extra_id_10>" or of an added token.

        Raises:
          ValueError: the word is not one token of this vocabulary.
        """
        for token_id, added in self.added_tokens.items():
            if added.content == token:
                return token_id
        for piece in (_WORD_START + token, token):
            token_id = self.processor.piece_to_id(piece)
            if self.processor.id_to_piece(token_id) == piece:
                return token_id
        raise ValueError(
            f"Vocabulary '{self.file}' has no token {token!r}; expected it to be one piece. "
            "Train the vocabulary with it among user_defined_symbols, or choose another token."
        )


@functools.lru_cache(maxsize=4)
def _read_bytes(file: str, modified: float, length: int) -> bytes:
    del modified, length  # parts of the cache's key
    return epath.Path(file).read_bytes()


def _read_model(file: str, whole: bool) -> Any:
    if file.endswith(".json"):
        return tokenizer_json.read(epath.Path(file), whole)
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
