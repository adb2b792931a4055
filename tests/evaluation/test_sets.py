import json

import pytest

from t5rank import cli
from t5rank.data import trec
from t5rank.evaluation import evaluate, evaluate_seeds
from t5rank.evaluation.sets import find_sets, macro_average

GOOD, BAD = {"d1": 2.0, "d2": 1.0}, {"d1": 1.0, "d2": 2.0}
QUERIES = {"large": ["q1", "q2", "q3", "q4"], "small": ["q5"], "forums/a": ["q6"]}


@pytest.fixture
def files(tmp_path, monkeypatch):
    """BEIR's qrels of three sets, and a good and a bad run of each."""
    monkeypatch.chdir(tmp_path)
    for name in QUERIES:
        (tmp_path / "beir" / name).mkdir(parents=True)
        (tmp_path / "runs" / name).mkdir(parents=True)
        judgements = [f"{query}\td1\t1\n" for query in QUERIES[name]]
        (tmp_path / "beir" / name / "test.tsv").write_text(
            "query-id\tcorpus-id\tscore\n" + "".join(judgements)
        )
        for run, scored in (("bm25", BAD), ("t5-0", GOOD), ("t5-1", BAD)):
            path = tmp_path / "runs" / name / f"{run}.txt"
            trec.write_run(path, dict.fromkeys(QUERIES[name], scored))
    return tmp_path


ARGUMENTS = ["evaluate", "--qrels=beir/{set}/test.tsv", "--run=bm25=runs/{set}/bm25.txt"]
T5 = "--run=t5=runs/{set}/t5-0.txt,runs/{set}/t5-1.txt"


def rows(table):
    cells = [[cell.strip() for cell in line.split("|")[1:-1]] for line in table.splitlines()]
    return {row[0]: row[1:] for row in cells if row}


def test_sets_are_found_evaluated_and_averaged_each_counted_once(files, capsys):
    assert cli.main([*ARGUMENTS, T5, "--measures=RR@10", "--json=out.json"]) == 0
    table = rows(capsys.readouterr().out)
    assert table["set"] == ["queries", "bm25", "t5"]
    assert table["large"] == ["4", "0.5000", "0.7500 (+0.2500; <0.0001, 0.1250)"]
    assert table["small"] == ["1", "0.5000", "0.7500 (+0.2500; 1.0000, 1.0000)"]
    assert table["average"] == ["", "0.5000", "0.7500 (+0.2500)"]
    report = json.loads((files / "out.json").read_text())
    assert report["average"] == {"bm25": {"RR@10": 0.5}, "t5": {"RR@10": 0.75}}
    assert list(report["sets"]) == ["large", "small"]
    assert report["sets"]["large"]["runs"]["t5"]["measures"]["RR@10"]["per_seed"] == [1.0, 0.5]


def test_average_is_over_sets_and_forums_of_a_group_count_as_one():
    figures = {"large": 1.0, "forums/a": 0.0, "forums/b": 0.5}
    by_set = {}
    for name, value in figures.items():
        scored = {1.0: GOOD, 0.5: BAD, 0.0: {"d2": 1.0}}[value]
        by_set[name] = evaluate_seeds({"t5": [{"q": scored}]}, {"q": {"d1": 1}}, "RR@10")
    assert macro_average(by_set) == {"t5": {"RR@10": (1.0 + (0.0 + 0.5) / 2) / 2}}


def test_chosen_sets_may_have_a_group(files, capsys):
    command = [*ARGUMENTS, "--sets=small forums/a", "--measures=RR@10"]
    assert cli.main(command) == 0
    assert rows(capsys.readouterr().out).keys() >= {"small", "forums/a", "average"}


def test_set_that_a_run_lacks_is_named(files, capsys):
    (files / "runs" / "small" / "t5-1.txt").unlink()
    assert cli.main([*ARGUMENTS, T5]) == 1
    error = capsys.readouterr().err
    assert "Run 't5' lacks the set 'small': there is no file 'runs/small/t5-1.txt'" in error


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--run=runs/large/bm25.txt"], "Path 'runs/large/bm25.txt' has no {set}, others have"),
        (["--run=bm25=runs/{set}/t5-0.txt"], "Option '--run' has the name 'bm25' twice"),
        (["--run=t5="], "Option '--run' has no file in 't5='"),
        (["--sets=large huge"], "Option '--qrels' lacks the set 'huge'"),
    ],
)
def test_paths_that_do_not_fit_are_an_error(files, capsys, arguments, message):
    assert cli.main([*ARGUMENTS, *arguments]) == 1
    assert message in capsys.readouterr().err


def test_set_that_stands_twice_in_a_path_is_the_same(files):
    for name in ("a/a.tsv", "a/b.tsv", "b/b.tsv"):
        (files / "twice" / name).parent.mkdir(parents=True, exist_ok=True)
        (files / "twice" / name).touch()
    assert find_sets("twice/{set}/{set}.tsv") == ["a", "b"]
    with pytest.raises(ValueError, match="has no file for any set"):
        find_sets("none/{set}.tsv")


def test_run_is_named_by_its_path_and_protocols_choose_measures(files, capsys):
    run = "runs/large/bm25.txt"
    assert (
        cli.main(["evaluate", "--qrels=beir/large/test.tsv", f"--run={run}", "--protocol=dl"]) == 0
    )
    table = rows(capsys.readouterr().out)
    assert table["run"] == ["nDCG@10", "RR(rel=2)", "AP(rel=2)", "Judged@10"]
    judged = evaluate(trec.read_run(run), trec.read_qrels("beir/large/test.tsv"), "Judged@10")
    assert judged.aggregate["Judged@10"] == 1 / 2
    assert table[run][1].startswith("0.0000 [") and table[run][3].startswith("0.5000 [")
