"""What the README shows works as it is written."""

import json
import re
import shlex
from pathlib import Path

import pytest

from t5rank import cli

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def commands() -> list[list[str]]:
    text = "".join(body for language, body in BLOCKS if not language).replace("\\\n", " ")
    lines = re.findall(r"^(t5rank .*)$", text, re.MULTILINE)
    return [shlex.split(line.split(" < ")[0]) for line in lines]


def test_the_two_commands_come_first():
    assert BLOCKS[0] == (
        "",
        "pip install '.[train]' && t5rank quickstart\npip install '.[test]' && pytest\n",
    )


def test_there_are_commands():
    names = [
        "train",
        "lists",
        "lists",
        "lists",
        "rerank",
        "evaluate",
        "reproduce",
        "reproduce",
        "reproduce",
        "report",
        "merge",
        "convert",
        "convert",
        "convert",
        "score",
        "rerank",
        "evaluate",
        "evaluate",
        "export",
        "export",
        "serve",
    ]
    assert [command[1] for command in commands()] == names


@pytest.mark.parametrize("command", commands(), ids=lambda command: command[1])
def test_every_command_parses(command):
    cli._parser().parse_args(cli._one_word_bindings(command[1:]))


def test_the_files_it_names_exist():
    folder = Path(__file__).parents[1] / "gin"
    table = re.findall(r"`((?:models|losses|optimizers|tasks|recipes|runs)/[^`]*\.gin)`", README)
    assert len(table) > 8
    for pattern in table:
        for name in expanded(pattern):
            assert (folder / name).is_file(), name


def expanded(pattern: str) -> list[str]:
    found = re.search(r"\{([^}]*)\}", pattern)
    if found is None:
        return [pattern]
    choices = found[1].split(",")
    before, after = pattern[: found.start()], pattern[found.end() :]
    return [name for choice in choices for name in expanded(before + choice + after)]


def test_its_list_is_read(tmp_path):
    from t5rank.data.jsonl import read_jsonl

    (text,) = [body for language, body in BLOCKS if language == "json"]
    file = tmp_path / "lists.jsonl"
    file.write_text(json.dumps(json.loads(text)) + "\n")
    (ranked,) = read_jsonl(file)
    assert ranked.labels == (1.0, 0.0)


def test_its_recipe_trains(tmp_path, vocabulary_file):
    from t5rank.train import config

    (recipe,) = [body for language, body in BLOCKS if body.startswith("include")]
    (text,) = [body for language, body in BLOCKS if language == "json"]
    (tmp_path / "my_recipe.gin").write_text(recipe)
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").write_text(json.dumps(json.loads(text)) + "\n")
    shrunk = ["emb_dim=8", "num_heads=1", "head_dim=8", "mlp_dim=8", "num_encoder_layers=1"]
    trainer = config.configured_trainer(
        [str(tmp_path / "my_recipe.gin")],
        [
            *[f"network.T5Config.{size}" for size in [*shrunk, "num_decoder_layers=1"]],
            *[f"TRAIN_STEPS={1}", "BATCH_SIZE=2", "VOCAB_SIZE=1152", "INPUT_LENGTH=64"],
            *[f"MODEL_DIR={tmp_path / 'model'}", f"DATA_DIR={tmp_path}"],
            *[f"VOCABULARY_FILE={vocabulary_file}", "INITIAL_CHECKPOINT_PATH=None"],
        ],
    )
    assert trainer.train().step == 1
