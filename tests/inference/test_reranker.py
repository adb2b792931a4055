"""A model folder in use: scoring, ranking, reranking runs, the command line."""

import json
import shutil
import subprocess
import sys

import jax
import numpy as np
import pytest

from t5rank import Reranker, checkpoints, cli, model_folder
from t5rank.data import trec
from t5rank.data.passages import read_passage_lists
from t5rank.data.ranked_list import RankedList
from t5rank.inference import reranker as reranker_module
from t5rank.inference import reranking
from t5rank.inference.batching import BatchShapes
from t5rank.inference.scoring import ModelScorer
from t5rank.models import monot5, network, ranking, rankt5
from t5rank.models.rankt5_encoder import EncoderHead, EncoderScorer
from t5rank.text.prompts import MONOT5, PairEncoder, Prompt
from t5rank.text.vocabulary import Vocabulary
from t5rank.train import optimizers

DOCUMENTS = ["a list of numbers", "the string is returned", "", "a dict or a list " * 40, "int"]
CONFIG = network.T5Config(
    vocab_size=1152,
    emb_dim=16,
    num_heads=2,
    num_encoder_layers=1,
    num_decoder_layers=1,
    head_dim=8,
    mlp_dim=32,
)


def make_model(head: str) -> ranking.RankingModel:
    if head == "encoder":
        module = EncoderScorer(CONFIG, pooling="mean")
        return ranking.RankingModel(module, EncoderHead())
    chosen = rankt5.RankT5Head(40) if head == "rankt5" else monot5.MonoT5Head(40, 41)
    return ranking.RankingModel(network.Transformer(CONFIG), chosen)


def save_model(folder, vocabulary_file, head: str = "rankt5", seed: int = 0, step: int = 1):
    model = make_model(head)
    encoder = PairEncoder(Vocabulary(vocabulary_file), Prompt(MONOT5), 64)
    shapes = {"encoder_input_tokens": (1, 1, 8)}
    params = model.get_initial_variables(jax.random.key(seed), shapes)["params"].unfreeze()
    model_folder.save_config(folder, model, encoder)
    with checkpoints.Checkpointer(folder, keep=9) as saver:
        saver.save(step, optimizers.adamw().create(params))
    return model, encoder, params


@pytest.fixture(scope="module")
def model_dir(tmp_path_factory, vocabulary_file):
    folder = tmp_path_factory.mktemp("model")
    save_model(folder, vocabulary_file)
    return folder


def test_activations_are_float32_on_a_cpu(model_dir, tmp_path):
    shutil.copytree(model_dir, tmp_path / "bfloat16")
    file = tmp_path / "bfloat16" / "config.json"
    config = json.loads(file.read_text())
    config["architecture"]["dtype"] = "bfloat16"
    file.write_text(json.dumps(config))
    found, expected = (
        Reranker.from_pretrained(folder).score("list", DOCUMENTS)
        for folder in (tmp_path / "bfloat16", model_dir)
    )
    np.testing.assert_array_equal(found, expected)


@pytest.mark.parametrize("head", ["rankt5", "monot5", "encoder"])
def test_a_saved_model_scores_as_the_model_it_was(tmp_path, vocabulary_file, head):
    model, encoder, params = save_model(tmp_path, vocabulary_file, head)
    scores = Reranker.from_pretrained(tmp_path).score("list of int", DOCUMENTS)
    expected = []
    for pair in encoder.encode("list of int", DOCUMENTS):
        expected.append(float(model.score(params, pair.tokens[None])[0]))
    assert scores.dtype == np.float32
    assert np.std(expected) > 1e-3
    np.testing.assert_allclose(scores, expected, atol=1e-5)


def test_scores_do_not_depend_on_the_other_documents(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    together = reranker.score("list", DOCUMENTS)
    alone = [reranker.score("list", [document])[0] for document in DOCUMENTS]
    np.testing.assert_allclose(together, alone, atol=1e-5)


def test_rank_is_best_first_and_says_where_a_document_was(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    scores = reranker.score("list", DOCUMENTS)
    ranked = reranker.rank("list", DOCUMENTS, topn=3)
    assert [item.rank for item in ranked] == [1, 2, 3]
    assert [item.index for item in ranked] == np.argsort(-scores)[:3].tolist()
    assert all(item.document == DOCUMENTS[item.index] for item in ranked)


def test_no_documents_give_no_scores(model_dir):
    assert Reranker.from_pretrained(model_dir).score("list", []).shape == (0,)


def test_topn_of_nothing_is_refused(model_dir):
    with pytest.raises(ValueError, match="'topn' has 0"):
        Reranker.from_pretrained(model_dir).rank("list", DOCUMENTS, topn=0)


def test_scores_that_are_not_finite_are_an_error(model_dir):
    encoder = Reranker.from_pretrained(model_dir).encoder
    reranker = Reranker(encoder, lambda tokens: tokens[:, 0] * np.nan, BatchShapes(64))
    with pytest.raises(ValueError, match="5 of 5 values that are not finite"):
        reranker.score("list", DOCUMENTS)


def test_nothing_is_compiled_after_the_warm_up(tmp_path, vocabulary_file):
    model, encoder, params = save_model(tmp_path, vocabulary_file)
    scorer = ModelScorer(model, params, 256)
    reranker = Reranker(encoder, scorer, scorer.shapes)
    assert reranker.warm_up() == scorer.compiled > 1
    before = scorer.compiled
    reranker.score("list", ["a list " * n for n in range(40)])
    assert scorer.compiled == before


def test_the_best_checkpoint_is_used_unless_another_is_asked_for(tmp_path, vocabulary_file):
    for step in (1, 2, 3):
        save_model(tmp_path, vocabulary_file, seed=step, step=step)
    assert model_folder.chosen_step(tmp_path) == 3
    model_folder.save_best(tmp_path, {"step": 2, "metric": "mrr@10", "value": 0.5})
    assert model_folder.chosen_step(tmp_path) == 2
    assert model_folder.chosen_step(tmp_path, 1) == 1
    with pytest.raises(ValueError, match=r"has checkpoints \[1, 2, 3\]; expected 4"):
        model_folder.chosen_step(tmp_path, 4)
    one, two = (Reranker.from_pretrained(tmp_path, s).score("list", DOCUMENTS) for s in (1, None))
    assert np.abs(one - two).max() > 1e-3


def test_a_best_checkpoint_that_is_gone_is_not_used(tmp_path, vocabulary_file):
    save_model(tmp_path, vocabulary_file, step=3)
    model_folder.save_best(tmp_path, {"step": 2, "metric": "mrr@10", "value": 0.5})
    assert model_folder.chosen_step(tmp_path) == 3


def test_a_folder_with_checkpoints_of_another_model_is_not_overwritten(tmp_path, vocabulary_file):
    save_model(tmp_path, vocabulary_file, "rankt5")
    before = (tmp_path / "config.json").read_text()
    with pytest.raises(ValueError, match="checkpoints of a model with other head"):
        save_model(tmp_path, vocabulary_file, "monot5", step=2)
    assert (tmp_path / "config.json").read_text() == before


NOT_MODELS = {
    "empty": ({}, "is empty; expected a folder written by t5rank"),
    "hugging_face": (
        {"config.json": '{"model_type": "t5"}'},
        r"is a Hugging Face folder; .* Run `t5rank convert .*/hugging_face NEW_FOLDER --to t5rank",
    ),
    "t5x": (
        {"checkpoint_9/state/_METADATA": "{}"},
        "has checkpoints and no config.json, as a MODEL_DIR of T5X; .*NEW_FOLDER --to t5rank .* "
        "--vocabulary",
    ),
    "cut": ({"config.json": '{"format": 1, '}, r"File '.*/cut/config.json' is damaged .*JSON"),
    "blank": ({"config.json": ""}, r"File '.*/blank/config.json' is empty; expected a JSON object"),
    "list": ({"config.json": "[]"}, r"File '.*/list/config.json' is damaged .no object.; .*JSON"),
    "other": ({"config.json": "{}"}, "has a config.json of another program"),
    "old": ({"config.json": '{"format": 9}'}, "has format 9; expected 1"),
    "bare": ({"config.json": '{"format": 1}'}, r"Model configuration '.*config.json' has an error"),
}


@pytest.mark.parametrize("name", NOT_MODELS)
def test_a_folder_that_is_no_model_is_named_and_the_next_step(tmp_path, name):
    files, message = NOT_MODELS[name]
    folder = tmp_path / name
    folder.mkdir()
    for file, text in files.items():
        (folder / file).parent.mkdir(parents=True, exist_ok=True)
        (folder / file).write_text(text)
    with pytest.raises(ValueError, match=message):
        Reranker.from_pretrained(folder)


def test_a_name_of_the_hub_says_how_to_get_the_model(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match=r"does not exist; .*Run `hf download a/b --local-dir b`"):
        Reranker.from_pretrained("a/b")


def test_one_checkpoint_says_which_folder_is_the_model(model_dir):
    with pytest.raises(
        ValueError, match=rf"is a folder of one checkpoint; .* Give '{model_dir}', with --step"
    ):
        Reranker.from_pretrained(model_dir / "checkpoint_1")


def test_the_right_call_warns_of_nothing(model_dir, caplog, recwarn):
    Reranker.from_pretrained(model_dir)
    assert not caplog.records and not recwarn.list


def test_documents_of_any_ordered_kind_are_ranked_alike(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    expected = reranker.score("list", DOCUMENTS)
    for documents in (tuple(DOCUMENTS), iter(DOCUMENTS), np.array(DOCUMENTS)):
        np.testing.assert_array_equal(reranker.score("list", documents), expected)
    assert reranker.rank("list", iter(DOCUMENTS)) == reranker.rank("list", DOCUMENTS)
    (streamed,) = reranker.score_stream([("list", iter(DOCUMENTS))])
    np.testing.assert_array_equal(streamed, expected)


def test_what_are_no_lists_of_texts_is_refused_everywhere(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    for call in (
        lambda: reranker.score("list", "A list"),
        lambda: reranker.rank("list", "A list"),
        lambda: reranker.score_lists([("list", "A list")]),
        lambda: reranker.score_lists({"list": ["A list"]}),
        lambda: list(reranker.score_stream(["list"])),
    ):
        with pytest.raises(TypeError, match=r"have the type str;|List has the type str;"):
            call()


def test_representations_say_what_they_are(model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    assert repr(reranker).startswith("Reranker(RankingModel(Transformer, 1 + 1 layers, width 16, ")
    file = model_dir / "vocabulary.model"
    assert repr(reranker.encoder.vocabulary) == f"Vocabulary({str(file)!r}, 1,100 tokens)"
    assert max(len(repr(o)) for o in (reranker, reranker.encoder, reranker.score_tokens)) < 400
    ranked = RankedList("q", "which list", ("a", "b"), ("A", "B"), (0.0, 1.0))
    assert repr(ranked) == "RankedList('q', 'which list', 2 documents, 1 relevant)"


def test_what_is_exported_is_listed():
    import t5rank

    assert {*t5rank.__all__} <= {*dir(t5rank)}


def test_using_a_model_imports_nothing_that_it_does_not_use(model_dir):
    code = (
        "import sys; from t5rank import Reranker;"
        f"Reranker.from_pretrained({str(model_dir)!r}).rank('list', ['a', 'b']);"
        "bad = {'tensorflow', 'seqio', 't5x', 'orbax', 'scipy', 'ir_measures', 'starlette'};"
        "bad &= set(sys.modules); assert not bad, bad"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


@pytest.fixture
def files(tmp_path):
    texts = {f"d{i}": f"{text or 'none'} {i}" for i, text in enumerate(DOCUMENTS)}
    trec.write_queries(tmp_path / "collection.tsv", texts)
    trec.write_queries(tmp_path / "queries.tsv", {"q1": "list", "q2": "string", "q3": "int"})
    run = {q: {d: -i for i, d in enumerate(texts)} for q in ("q1", "q2", "q3")}
    trec.write_run(tmp_path / "run.txt", run)
    return tmp_path


def rerank_command(files, model_dir, *more) -> int:
    names = {"queries": "queries.tsv", "collection": "collection.tsv", "run": "run.txt"}
    options = [f"--{name}={files / file}" for name, file in names.items()]
    output = f"--output={files / 'out.txt'}"
    return cli.main(["rerank", f"--model={model_dir}", *options, output, *more])


def test_rerank_writes_what_the_reranker_scores(files, model_dir):
    assert rerank_command(files, model_dir) == 0
    run = trec.read_run(files / "out.txt")
    reranker = Reranker.from_pretrained(model_dir)
    texts = trec.read_queries(files / "collection.tsv")
    for query_id, query in trec.read_queries(files / "queries.tsv").items():
        expected = dict(zip(texts, reranker.score(query, list(texts.values())), strict=True))
        assert run[query_id] == pytest.approx(expected, abs=1e-5)


def test_depth_cuts_the_candidates_and_topn_the_output(files, model_dir):
    assert rerank_command(files, model_dir, "--depth=3", "--topn=2") == 0
    run = trec.read_run(files / "out.txt")
    assert all(len(scored) == 2 and set(scored) <= {"d0", "d1", "d2"} for scored in run.values())


@pytest.mark.parametrize(
    ("chunk", "more"), [(5, ["string", "int"]), (4096, ["list", "string", "int"])]
)
def test_an_interrupted_rerank_goes_on_where_it_was(files, model_dir, monkeypatch, chunk, more):
    monkeypatch.setattr(reranker_module, "CHUNK", chunk)
    assert rerank_command(files, model_dir) == 0
    whole = (files / "out.txt").read_text()
    (files / "out.txt").unlink()
    run_lines = trec.run_lines

    def interrupted(run, tag):
        lines = run_lines(run, tag)
        if "q2" in run:
            yield next(lines)
            raise KeyboardInterrupt
        yield from lines

    monkeypatch.setattr(trec, "run_lines", interrupted)
    assert rerank_command(files, model_dir) == 130
    assert not (files / "out.txt").exists()
    with (files / "out.txt.partial").open("a") as file:
        file.write('["q2", 5')  # the line that the interruption cut
    monkeypatch.setattr(trec, "run_lines", run_lines)
    encode, asked = PairEncoder.encode, []
    monkeypatch.setattr(
        PairEncoder,
        "encode",
        lambda self, query, documents: asked.append(query) or encode(self, query, documents),
    )
    assert rerank_command(files, model_dir) == 0
    assert asked == more
    assert (files / "out.txt").read_text() == whole
    assert not list(files.glob("out.txt.*"))


def test_a_run_that_lost_its_end_is_written_again_from_there(files, model_dir):
    reranker = Reranker.from_pretrained(model_dir)
    lists = [RankedList(f"q{i}", "list", ("d1",), ("int",), (0.0,)) for i in range(3)]

    def run(lists):
        return reranking.rerank_run(reranker, lists, files / "out.txt", settings="x")

    assert run(lists) == (3, 3)
    whole = (files / "out.txt").read_text()
    for size in (0, 20, len(whole.splitlines(keepends=True)[0])):
        log = [{"settings": "x", "topn": None, "tag": "t5rank"}]
        ends = [len(whole) // 3 * (i + 1) for i in range(2)]
        log += [[f"q{i}", i + 1, end] for i, end in enumerate(ends)]
        (files / "out.txt.partial").write_text("".join(json.dumps(x) + "\n" for x in log))
        (files / "out.txt.unfinished").write_text(whole[:size])
        assert run(lists) == (3, 3)
        assert (files / "out.txt").read_text() == whole


def test_a_query_with_two_lists_is_refused(files, model_dir):
    item = RankedList("q1", "list", ("d1",), ("int",), (0.0,))
    with pytest.raises(ValueError, match="Query 'q1' has two lists"):
        reranking.rerank_run(
            Reranker.from_pretrained(model_dir), [item, item], files / "o.txt", settings="x"
        )


def test_a_partial_file_of_other_inputs_is_refused(files, model_dir, capsys):
    (files / "out.txt.partial").write_text(json.dumps({"settings": "others"}) + "\n")
    assert rerank_command(files, model_dir) == 1
    assert "results of another model or other inputs" in capsys.readouterr().err


def test_score_prints_in_input_order_or_sorted(model_dir, monkeypatch, capsys):
    import io

    lines = "a list of numbers\nthe string\nint\n"
    command = ["score", f"--model={model_dir}", "--query=list"]
    printed = []
    for more in ([], ["--sort"]):
        monkeypatch.setattr("sys.stdin", io.StringIO(lines))
        assert cli.main([*command, *more]) == 0
        rows = [line.split("\t") for line in capsys.readouterr().out.splitlines()]
        printed.append([(float(score), text) for score, text in rows])
    assert [text for _, text in printed[0]] == lines.splitlines()
    assert printed[1] == sorted(printed[0], reverse=True)


def test_errors_are_one_line(files, capsys):
    assert cli.main(["score", f"--model={files}", "--query=x"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("t5rank: ") and error.count("\n") == 1


def test_evaluate_on_the_published_run(shared_data, capsys, tmp_path):
    folder = shared_data / "trec_dl21"
    report = tmp_path / "report.json"
    command = ["evaluate", f"--qrels={folder / 'qrels.txt'}", f"--run={folder / 'run.bm25.txt'}"]
    assert cli.main([*command, f"--json={report}"]) == 0
    assert "0.4458" in capsys.readouterr().out
    (figures,) = json.loads(report.read_text())["runs"].values()
    assert figures["measures"]["nDCG@10"]["value"] == pytest.approx(0.4458, abs=5e-5)


@pytest.mark.parametrize(
    "command", ["quickstart", "train", "lists", "rerank", "score", "evaluate", "export"]
)
def test_every_command_has_help(command, capsys):
    with pytest.raises(SystemExit) as stopped:
        cli.main([command, "--help"])
    assert stopped.value.code == 0
    assert f"t5rank {command}" in capsys.readouterr().out


@pytest.mark.parametrize("depth", [[], ["--depth=3"]])
def test_a_folder_of_lists_is_reranked_as_its_run(files, model_dir, depth):
    names = {"queries": "queries.tsv", "collection": "collection.tsv", "run": "run.txt"}
    options = [f"--{name}={files / file}" for name, file in names.items()]
    assert cli.main(["lists", str(files / "lists"), *options]) == 0
    assert rerank_command(files, model_dir, *depth) == 0
    options = [f"--lists={files / 'lists'}", f"--output={files / 'of_lists.txt'}", *depth]
    assert cli.main(["rerank", f"--model={model_dir}", *options]) == 0
    assert (files / "of_lists.txt").read_bytes() == (files / "out.txt").read_bytes()


def test_rerank_wants_lists_or_files(files, model_dir, capsys):
    assert rerank_command(files, model_dir, f"--lists={files}") == 1
    assert "expected the three, or --lists alone" in capsys.readouterr().err


def test_lists_without_qrels_score(files, model_dir):
    lists = list(
        read_passage_lists(files / "collection.tsv", files / "queries.tsv", None, files / "run.txt")
    )
    written = reranking.rerank_run(
        Reranker.from_pretrained(model_dir), lists, files / "run2.txt", settings="x"
    )
    assert written == (3, 15)
    assert list(trec.read_run(files / "run2.txt")) == ["q1", "q2", "q3"]
