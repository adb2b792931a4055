"""A kind that t5rank does not have, one Python file and one gin file, goes wherever ours go."""

import dataclasses
import json
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from starlette.testclient import TestClient

from t5rank import Reranker, cli, model_folder
from t5rank.data.jsonl import write_jsonl
from t5rank.data.ranked_list import RankedList
from t5rank.model_folder.convert import convert
from t5rank.models import kinds, monot5, network
from t5rank.models.ranking import RankingModel
from t5rank.serve.app import make_app
from t5rank.serve.settings import ServerSettings
from t5rank.train import config

HERE = Path(__file__).parent
QUERY, DOCUMENTS = "what is a list", ["A list is mutable.", "a tuple", "raise an exception"]
RECIPE = f"""
include 't5rank/configs/models/t5_1_1_tiny.gin'
include '{HERE / "toy_kind.gin"}'
include 't5rank/configs/tasks/jsonl.gin'
LOSS_FN = @losses.softmax_loss
LEARNING_RATE = 1e-2
INITIAL_CHECKPOINT_PATH = None
SPLITS = {{'train': 'lists.jsonl', 'validation': 'lists.jsonl'}}
BATCH_SIZE = 2
LIST_SIZE = 3
INPUT_LENGTH = 32
VOCAB_SIZE = 1152
"""
SIZES = {"emb_dim": 16, "num_heads": 2, "head_dim": 8, "mlp_dim": 32, "num_encoder_layers": 1}


def train(folder: Path, vocabulary_file: str, steps: int, *more: str):
    settings = {"MODEL_DIR": folder / "model", "DATA_DIR": folder, "TRAIN_STEPS": steps}
    settings |= {"VOCABULARY_FILE": vocabulary_file}
    settings |= {f"network.T5Config.{name}": size for name, size in SIZES.items()}
    bindings = [f"{name}={value}" for name, value in settings.items()]
    trainer = config.configured_trainer([str(folder / "recipe.gin")], [*bindings, *more])
    return trainer.train()


@pytest.fixture(scope="module")
def trained(tmp_path_factory, vocabulary_file):
    """A model folder of the toy kind, trained to step 1 and resumed to step 2."""
    folder = tmp_path_factory.mktemp("toy")
    (folder / "recipe.gin").write_text(RECIPE)
    texts = tuple(f"document number {i}" for i in range(3))
    lists = [RankedList(f"q{i}", f"number {i}", texts, texts, (0, 1, 0)) for i in range(2)]
    write_jsonl(folder / "lists.jsonl", lists)
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(HERE)
        for steps in (1, 2):
            assert train(folder, vocabulary_file, steps).step == steps
        yield folder / "model"
    del kinds._registered["toy"], sys.modules["toy_kind"]


@pytest.fixture(scope="module")
def scores(trained):
    found = Reranker.from_pretrained(trained).score(QUERY, DOCUMENTS)
    assert np.std(found) > 1e-3
    return found


def test_training_resumes_and_refuses_other_settings_of_the_kind(trained, vocabulary_file):
    steps = [json.loads(line)["step"] for line in (trained / "metrics.jsonl").open()]
    assert {1, 2} <= {*steps}
    with pytest.raises(ValueError, match=r"checkpoints of a model with other head_settings"):
        more = ["toy_kind.MaxHead.offset=3.0", "RESUME_WITH_CHANGES=True"]
        train(trained.parent, vocabulary_file, 3, *more)


def test_the_folder_says_what_it_holds(trained):
    opened = model_folder.open_folder(trained, 2)
    assert (opened.step, opened.model.kind.name) == (2, "toy")
    assert (opened.model.module.power, opened.model.head.offset) == (2.0, 0.5)
    assert "| score | the largest output, plus 0.5 |" in (trained / "README.md").read_text()


def test_probability_is_that_of_the_kind(trained, scores):
    found = Reranker.from_pretrained(trained).probability(scores)
    np.testing.assert_array_equal(found, np.tanh(np.abs(scores.astype(float))))


def test_every_way_round_keeps_the_scores(trained, scores, tmp_path):
    convert(trained, tmp_path / "theirs", "huggingface")
    assert "the largest output, plus 0.5" in (tmp_path / "theirs/README.md").read_text()
    convert(tmp_path / "theirs", tmp_path / "back", "t5rank")
    again = Reranker.from_pretrained(tmp_path / "back").score(QUERY, DOCUMENTS)
    np.testing.assert_array_equal(again, scores)


def test_the_command_line_knows_its_options(trained, tmp_path, vocabulary_file):
    convert(trained, tmp_path / "weights", "t5x")
    command = ["--import", "toy_kind", "convert", str(tmp_path / "weights"), str(tmp_path / "new")]
    command += ["--to", "t5rank", "--vocabulary", vocabulary_file, "--power=3", "--offset=0.25"]
    assert cli.main(command) == 0  # the kind is known by its parameters
    opened = model_folder.open_folder(tmp_path / "new")
    assert (opened.model.module.power, opened.model.head.offset) == (3.0, 0.25)
    assert opened.encoder.prompt.template == "{query} | {document}"


def test_the_server_scores_it(trained, scores):
    with TestClient(make_app(ServerSettings({"toy": str(trained)}))) as client:
        deadline = time.monotonic() + 300
        while client.get("/ready").status_code != 200:
            assert time.monotonic() < deadline
            time.sleep(0.1)
        body = {"query": QUERY, "documents": DOCUMENTS}
        results = client.post("/rerank", json=body).json()["results"]
    found = [r["relevance_score"] for r in sorted(results, key=lambda r: r["index"])]
    np.testing.assert_allclose(found, np.tanh(np.abs(scores.astype(float))), atol=1e-5)


def test_an_export_says_that_it_has_no_graph(trained, tmp_path, capsys):
    output = tmp_path / "exported"
    command = ["export", "--model", str(trained), "--output", str(output), "--format", "onnx"]
    assert cli.main(command) == 1
    assert "Model kind 'toy' has no ONNX graph; expected one of" in capsys.readouterr().err
    assert not output.exists()


def test_a_folder_of_a_kind_that_is_not_imported_is_named(trained, monkeypatch):
    monkeypatch.delitem(kinds._registered, "toy")
    with pytest.raises(ValueError, match=r"'MaxHead' is of no known model kind.*--import MODULE"):
        Reranker.from_pretrained(trained)


def test_a_module_that_cannot_be_imported_is_named(capsys):
    with pytest.raises(SystemExit):
        cli.main(["--import", "no_such_module", "score"])
    assert "Option '--import' has 'no_such_module'" in capsys.readouterr().err


def test_names_are_taken_once():
    kind = kinds.known()["monot5"]
    with pytest.raises(ValueError, match="expected names that the kind 'monot5'"):
        kinds.register(dataclasses.replace(kind, name="other"))
    kinds.register(kind)  # its own file, read again
    assert kinds.known()["monot5"] is kind


def test_results_may_have_axes_of_their_own():
    """As those of kinds that give a vector, or one a token."""

    @dataclasses.dataclass(frozen=True)
    class LogitsHead(monot5.MonoT5Head):
        def read(self, outputs):
            return self.logits(outputs)

    kind = dataclasses.replace(kinds.known()["rankt5"], name="logits", head=LogitsHead)
    kinds.register(kind)
    try:
        t5 = network.T5Config(vocab_size=64, **SIZES)
        model = RankingModel(network.Transformer(t5), LogitsHead(5, 6))
        tokens = np.arange(3, 15).reshape(2, 3, 2)
        shapes = {"encoder_input_tokens": tokens.shape}

        def results():
            params = model.get_initial_variables(jax.random.key(0), shapes)["params"]
            return model.score(params, tokens)

        assert jax.eval_shape(results).shape == (2, 3, 2)
    finally:
        del kinds._registered["logits"]
