"""What stands in a Hugging Face folder beside the weights: tokenizer, and how to score."""

from collections.abc import Mapping
from typing import Any

from etils import epath

from t5rank.checkpoints import huggingface
from t5rank.formats.json_files import write_json
from t5rank.model_folder import model_card
from t5rank.models.ranking import RankingModel
from t5rank.text import added_tokens, tokenizer_json
from t5rank.text.encoders import Encoder
from t5rank.text.vocabulary import Vocabulary


def write_tokenizer(folder: epath.Path, vocabulary: Vocabulary, max_length: int) -> None:
    """Writes `spiece.model`, `tokenizer.json` and their settings.

    transformers' `AutoTokenizer` then reads a text as `vocabulary` does: T5's own tokens as text
    (`split_special_tokens`, see `t5rank.text.tokenizer_json`), added tokens as tokens.
    """
    (folder / huggingface.VOCABULARY).write_bytes(vocabulary.model.SerializeToString())
    whole = tokenizer_json.written_form(
        vocabulary.model, vocabulary.extra_ids, vocabulary.added_tokens
    )
    write_json(folder / added_tokens.TOKENIZER, whole, indent=None)
    pad, end, unknown = (token["content"] for token in whole["added_tokens"][:3])
    names = [token["content"] for token in whole["added_tokens"][3:] if token["special"]]
    special = {"eos_token": end, "pad_token": pad, "unk_token": unknown}
    special |= {"additional_special_tokens": names}
    decoder = {str(token.pop("id")): token for token in whole["added_tokens"]}
    write_json(
        folder / added_tokens.CONFIG,
        special
        | {
            # T5Tokenizer would take the pieces of tokenizer.json alone, and read text as tokens.
            "tokenizer_class": "PreTrainedTokenizerFast",
            "extra_ids": vocabulary.extra_ids,
            "added_tokens_decoder": decoder,
            "split_special_tokens": True,
            "model_max_length": max_length,
            "model_input_names": ["input_ids", "attention_mask"],
        },
    )
    write_json(folder / "special_tokens_map.json", special)


def card(model: RankingModel, encoder: Encoder, run: Mapping[str, Any] | None = None) -> str:
    """README.md: how to compute this model's score, and how it was trained.

    Args:
      model: the model.
      encoder: its tokenization.
      run: `run.json` of the model, where it has one.
    """
    return model_card.with_training(_transformers_card(model, encoder, run), run)


def _transformers_card(model: RankingModel, encoder: Any, run: Mapping[str, Any] | None) -> str:
    head = model_card.head("transformers", run=run)
    if model.kind.transformers is None:
        return _CARD_WITHOUT_CODE.format(head=head, score=model.kind.describe(model, encoder))
    code = model.kind.transformers(model, encoder)
    card = _CARD.format(
        head=head,
        loader=code.loader,
        load=code.load,
        score=code.score,
        prompt=encoder.prompt.template,
        max_length=encoder.max_length,
    )
    config = model.module.config  # type: ignore[attr-defined]
    untied = model.kind.has_decoder and not config.logits_via_embedding
    return card + _CTRANSLATE2 if untied else card


_CARD = """\
{head}

A T5 reranker, trained with t5rank. Higher scores are better.

```python
import torch
from safetensors.torch import load_file
from transformers import AutoTokenizer, {loader}

folder = "."
tokenizer = AutoTokenizer.from_pretrained(folder)
model = {loader}.from_pretrained(folder).eval(){load}
prompt = {prompt!r}


def score(query, documents):
    before, after = prompt.split("{{document}}")
    before = before.replace("{{query}}", query)
    texts = [before + document + after for document in documents]
    batch = tokenizer(
        texts, padding=True, truncation=True, max_length={max_length}, return_tensors="pt"
    )
    with torch.no_grad():
{score}
```

t5rank cuts a document that is too long for {max_length} tokens, and keeps what follows it in the
prompt and the end-of-sequence token; the tokenizer's own truncation cuts the text's end instead.
`</s>`, `<pad>`, `<unk>` and `<extra_id_0>` in a text are text to this tokenizer, not tokens. (Load
it with `AutoTokenizer`: `T5Tokenizer` reads tokens.)
"""
_CARD_WITHOUT_CODE = """\
{head}

A T5 reranker, trained with t5rank. Higher scores are better. Its score: {score}.

The weights are in the layout of transformers, which has no code for this score. To use the model,
convert it: `t5rank convert . MODEL_DIR --to t5rank`.
"""
_CTRANSLATE2 = """
For CTranslate2: transformers 5 calls every T5 tied, and the converter (4.8 at least) then scales
the logits of this model, which are not scaled. Convert it with transformers 4, or set
`model.config.tie_word_embeddings = False` in a subclass's `TransformersConverter.load_model`.
"""
