"""The tokenization of a model: of pairs for a reranker, of single texts for a dual encoder."""

import dataclasses
from collections.abc import Mapping
from typing import Any

from t5rank.text.prompts import PairEncoder, Prompt
from t5rank.text.templates import TextPrompts
from t5rank.text.texts import TextEncoder
from t5rank.text.vocabulary import Vocabulary

Encoder = PairEncoder | TextEncoder


def make_encoder(
    vocabulary: Vocabulary, prompt: str | TextPrompts, max_length: int, strict: bool = True
) -> Encoder:
    """The tokenization of a prompt: a template makes pairs, `TextPrompts` single texts."""
    if isinstance(prompt, TextPrompts):
        return TextEncoder(vocabulary, prompt, max_length, strict)
    return PairEncoder(vocabulary, Prompt(prompt), max_length, strict)


def written_form(encoder: Encoder) -> dict[str, Any]:
    """What `config.json` has of it: `prompt` and `max_length`."""
    prompt = encoder.prompt
    text: Any = prompt.template if isinstance(prompt, Prompt) else dataclasses.asdict(prompt)
    return {"prompt": text, "max_length": encoder.max_length}


def from_written_form(config: Mapping[str, Any], vocabulary: Vocabulary) -> Encoder:
    """The tokenization that `written_form` describes.

    Raises:
      KeyError, TypeError, ValueError: the configuration is damaged.
    """
    return make_encoder(vocabulary, as_prompt(config["prompt"]), config["max_length"])


def as_prompt(written: str | TextPrompts | Mapping[str, Any]) -> str | TextPrompts:
    """A prompt as `config.json` has it."""
    return TextPrompts(**written) if isinstance(written, Mapping) else written


def described(encoder: Encoder) -> str:
    """The inputs of a model, in Markdown."""
    if isinstance(encoder, PairEncoder):
        return f"`{encoder.prompt.template}`"
    prompt = encoder.prompt
    return f"`{prompt.query}{{query}}`, and apart from it `{prompt.document}{{document}}`"
