"""The README: its first screen, its length; tests/test_docs.py runs its blocks."""

import json
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()
BLOCKS = re.findall(r"```(\w*)\n(.*?)```", README, re.DOTALL)


def test_the_two_commands_come_first():
    assert BLOCKS[0] == (
        "sh",
        "pip install '.[train]' && t5rank quickstart\npip install '.[test]' && pytest\n",
    )


def test_the_first_screen_shows_a_published_model_in_use():
    screen = "\n".join(README.splitlines()[:30])
    assert "t5rank convert monot5" in screen and "reranker.rank(" in screen


def test_it_is_short():
    assert len(README.splitlines()) <= 195


def test_its_list_is_read(tmp_path):
    from t5rank.data.jsonl import read_jsonl

    (text,) = [body for language, body in BLOCKS if language == "json"]
    file = tmp_path / "lists.jsonl"
    file.write_text(json.dumps(json.loads(text)) + "\n")
    (ranked,) = read_jsonl(file)
    assert ranked.labels == (1.0, 0.0)


def test_its_recipe_makes_a_trainer(tmp_path, vocabulary_file):
    from t5rank.train import config

    (recipe,) = [body for language, body in BLOCKS if language == "gin"]
    (tmp_path / "my_recipe.gin").write_text(recipe)
    for split in ("train", "validation"):
        (tmp_path / f"{split}.jsonl").touch()
    bindings = {"MODEL_DIR": tmp_path / "model", "DATA_DIR": tmp_path}
    bindings |= {"VOCABULARY_FILE": vocabulary_file, "INITIAL_CHECKPOINT_PATH": None}
    trainer = config.configured_trainer(
        [str(tmp_path / "my_recipe.gin")], [f"{name}={value}" for name, value in bindings.items()]
    )
    assert (trainer.train_steps, trainer.batch_size) == (10_000, 16)
