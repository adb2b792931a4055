"""Prompts: the templates of the papers, and what stands before texts that are read apart."""

import dataclasses

from t5rank.checks import check_integer, check_text
from t5rank.text.added_tokens import OWN

RANKT5 = "Query: {query} Document: {document}"
MONOT5 = "Query: {query} Document: {document} Relevant:"


@dataclasses.dataclass(frozen=True)
class TextPrompts:
    """What stands before a query and before a document.

    Attributes:
      query: such as "query: ", or nothing.
      document: such as "passage: ", or nothing.
      query_length: tokens of the longest query, prompt and end-of-sequence included; None takes the
        length of documents.

    Raises:
      ValueError: a prompt has one of T5's own tokens, which are text in a prompt, as in a document.
    """

    query: str = ""
    document: str = ""
    query_length: int | None = None

    def __post_init__(self) -> None:
        for name in ("query", "document"):
            prompt = getattr(self, name)
            if prompt:
                check_text(f"{name.upper()}_PROMPT", prompt)
            own = OWN.search(prompt)
            if own:
                raise ValueError(
                    f"Prompt '{prompt}' has {own[0]!r}; expected none of T5's own tokens, which "
                    "are text in a prompt, as in a document. Leave it out."
                )
        check_integer("QUERY_LENGTH", self.query_length, optional=True)
