"""The words of published models, as pygaggle's and rerankers' tables have them."""

import json

import pytest
from etils import epath

from t5rank.model_folder.published import published_names
from t5rank.models.answer_words import Words, known_words, parse

PUBLISHED = {
    "unicamp-dl/mt5-base-mmarco-v1": ("no", "yes"),
    "unicamp-dl/mt5-base-mmarco-v2": ("no", "yes"),
    "unicamp-dl/mt5-base-en-msmarco": ("no", "yes"),
    "unicamp-dl/mt5-base-en-pt-msmarco-v1": ("no", "yes"),
    "unicamp-dl/mt5-base-en-pt-msmarco-v2": ("no", "yes"),
    "unicamp-dl/ptt5-base-pt-msmarco-10k-v1": ("n\u00e3o", "sim"),
    "unicamp-dl/ptt5-base-pt-msmarco-100k-v2": ("n\u00e3o", "sim"),
    "unicamp-dl/ptt5-base-en-pt-msmarco-100k-v2": ("n\u00e3o", "sim"),
    "unicamp-dl/monoptt5-small": ("N\u00e3o", "Sim"),
    "unicamp-dl/monoptt5-3b": ("N\u00e3o", "Sim"),
    "unicamp-dl/mt5-3B-mmarco-en-pt": ("\u2581", "true"),
    "unicamp-dl/mt5-13b-mmarco-100k": ("\u2581", "true"),
}
OTHERS = ["castorini/monot5-base-msmarco", "unicamp-dl/InRanker-base", "google/mt5-base", "t5-base"]


def where(root, name, place) -> epath.Path:
    """A folder that says a model's name in one place."""
    short = name.split("/")[1] if "/" in name else name
    folder = epath.Path(root) / {
        "folder": short,
        "cache": f"models--{name.replace('/', '--')}/snapshots/0123abcd",
    }.get(place, "model")
    folder.mkdir(parents=True)
    if place == "configuration":
        (folder / "config.json").write_text(json.dumps({"_name_or_path": name}))
    if place == "card":
        (folder / "README.md").write_text(f"---\nlicense: mit\n---\n# {short}\nA reranker.\n")
    if place == "code":
        (folder / "README.md").write_text(f"# Use\n\n    AutoModel.from_pretrained('{name}')\n")
    return folder


def words_of(folder) -> list[Words]:
    return [*filter(None, map(known_words, published_names(folder)))]


@pytest.mark.parametrize("name", PUBLISHED)
@pytest.mark.parametrize("place", ["folder", "cache", "configuration", "card", "code"])
def test_a_published_name_says_the_words(tmp_path, name, place):
    assert words_of(where(tmp_path, name, place))[0] == PUBLISHED[name]


@pytest.mark.parametrize("name", OTHERS)
def test_other_names_say_nothing(tmp_path, name):
    assert not words_of(where(tmp_path, name, "configuration"))


def test_words_of_digits_are_ids():
    assert parse("no,yes") == Words("no", "yes")
    assert parse("6136,1176") == Words(6136, 1176)
    assert parse("\u2581,\u25811") == Words("\u2581", "\u25811")
