"""A dual encoder's folder for sentence-transformers: its modules, and how to use them."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from t5rank.checkpoints import LazyArray, sentence_transformers
from t5rank.model_folder import model_card
from t5rank.model_folder.model_index import RETRIEVAL
from t5rank.models.ranking import RankingModel
from t5rank.text.texts import TextEncoder


def write(
    folder: epath.Path,
    model: RankingModel,
    encoder: TextEncoder,
    arrays: Mapping[str, LazyArray],
) -> None:
    """Writes the modules of sentence-transformers, their settings and their weights.

    Args:
      folder: a new folder.
      model: the model.
      encoder: its tokenization.
      arrays: the parameters, in the names of T5X's tree.
    """
    sentence_transformers.write(
        folder,
        model.module.config,  # type: ignore[attr-defined]
        arrays,
        model.head.similarity,
        {"query": encoder.prompt.query, "document": encoder.prompt.document},
        encoder.max_length,
    )


def card(model: RankingModel, encoder: TextEncoder, run: Mapping[str, Any] | None = None) -> str:
    """README.md: how to compute the vectors, and how the model was trained."""
    text = _CARD.format(
        head=model_card.head(sentence_transformers.FORMAT, run=run, task=RETRIEVAL),
        description=model.kind.describe(model, encoder),
        max_length=encoder.max_length,
    )
    if encoder.query_length < encoder.max_length:
        text += _SHORT_QUERIES.format(query_length=encoder.query_length)
    return model_card.with_training(text, run)


_CARD = """\
{head}

A T5 dual encoder, trained with t5rank: {description}.

```python
from sentence_transformers import SentenceTransformer

model = SentenceTransformer(".")  # this folder
queries = model.encode(["what is a list"], prompt_name="query")
documents = model.encode(["A list is ...", "A tuple is ..."], prompt_name="document")
model.similarity(queries, documents)
```

The prompts are part of the model: without `prompt_name` the vectors are others. Texts are cut at
{max_length} tokens, the prompt and the end of sequence included. `</s>`, `<pad>`, `<unk>` and
`<extra_id_0>` in a text are text to this tokenizer, not tokens.
"""
_SHORT_QUERIES = """
t5rank cuts queries at {query_length} tokens already. sentence-transformers has one limit for all
texts: set `model.max_seq_length = {query_length}` while queries are encoded.
"""
