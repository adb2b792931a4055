"""What a request for vectors asks of a model, in every dialect."""

import dataclasses
from collections.abc import Sequence


@dataclasses.dataclass(frozen=True)
class TextWork:
    """Texts to embed.

    Attributes:
      texts: all queries, or all documents.
      side: "query" or "document"; None where the request does not say it.
      choice: how a request says it, for the error where it has to; `{name}` is the model's name.
      keep_end: the beginning of a text is cut, not its end.
      may_cut: whether texts may be cut at all.
      normalize: whether vectors get the length 1 where the model's own have another.
      dimensions: the wanted size of a vector; None: the model's.
      dimensions_field: what the request calls it.
    """

    texts: Sequence[str]
    side: str | None
    choice: str
    keep_end: bool = False
    may_cut: bool = True
    normalize: bool = False
    dimensions: int | None = None
    dimensions_field: str = "dimensions"

    def documents(self) -> int:
        """The number of texts."""
        return len(self.texts)

    def logged(self) -> dict[str, object]:
        """The texts, for a log that has them."""
        return {"side": self.side, "texts": self.texts}
