import json
import math

import pytest

from t5rank.evaluation.measures import evaluate_runs
from t5rank.evaluation.report import report_dict, report_table
from t5rank.evaluation.seeds import evaluate_seeds

QRELS = {"q1": {"d1": 1}, "q2": {"d1": 1}, "q3": {"d1": 0}}
GOOD = {query: {"d1": 2.0, "d2": 1.0} for query in ("q1", "q2")} | {"q9": {"d1": 1.0}}
BAD = {"q1": {"d1": 2.0, "d2": 1.0}, "q2": {"d1": 1.0, "d2": 2.0}, "q3": {"d1": 1.0}}


def evaluations(*names):
    runs = {"bm25": BAD, "t5|a": GOOD, "same": BAD}
    return evaluate_runs({name: runs[name] for name in names}, QRELS, "RR@10 P@1")


def test_table_of_one_run():
    header, rule, row, empty, *notes = report_table(evaluations("bm25")).splitlines()
    assert header.replace(" ", "") == "|run|RR@10|P@1|"
    assert rule.startswith("| ---- | -") and rule.endswith("-: |")
    assert row.startswith(f"| bm25 | {(1 + 1 / 2 + 0) / 3:.4f} [")
    assert empty == ""
    assert notes == [
        "Means over the 3 queries of the qrels; 1 of them have no relevant document and count 0.",
        "In brackets: 95% bootstrap intervals over queries.",
    ]


def test_table_shows_differences_to_the_first_run_with_both_p_values():
    row = report_table(evaluations("bm25", "same")).splitlines()[7]
    cells = [cell.strip() for cell in row.split("|")[1:-1]]
    assert cells == ["RR@10", "same", "+0.0000", "[+0.0000, +0.0000]", "1.0000", "1.0000"]


def test_all_rows_of_a_table_are_as_wide():
    for table in report_table(evaluations("bm25", "t5|a", "same")).split("\n\n")[:2]:
        assert len({len(row) for row in table.splitlines()}) == 1


def test_seeds_show_their_deviation():
    arms = evaluate_seeds({"bm25": [BAD], "t5": [GOOD, BAD]}, QRELS, "RR@10")
    table = report_table(arms)
    assert f"{(2 / 3 + 1 / 2) / 2:.4f} ± {(2 / 3 - 1 / 2) / math.sqrt(2):.4f} [" in table
    assert "intervals over queries and seeds" in table
    assert report_dict(arms)["runs"]["t5"]["measures"]["RR@10"]["per_seed"] == [2 / 3, 1 / 2]


def test_bar_in_a_name_does_not_split_the_row():
    assert r"| t5\|a |" in report_table(evaluations("bm25", "t5|a"))


def test_notes_say_what_was_not_counted():
    table = report_table(evaluations("bm25", "t5|a"))
    assert "Run 't5|a' lacks 1 queries, which count 0, and has 1 queries without qrels" in table
    assert "Run 'bm25' lacks" not in table


@pytest.mark.parametrize("names", [("bm25",), ("bm25", "same")])
def test_holm_is_not_named_where_nothing_is_corrected(names):
    assert "Holm" not in report_table(evaluations(*names))


def test_holm_is_named_for_more_than_two_runs():
    assert "Holm-corrected" in report_table(evaluations("bm25", "same", "t5|a"))


def test_dict_is_json_and_has_the_figures():
    report = json.loads(json.dumps(report_dict(evaluations("bm25", "t5|a"))))
    assert report["baseline"] == "bm25"
    assert report["runs"]["bm25"] == {
        "measures": {
            "RR@10": {"value": 1.5 / 3, "interval": [0.0, 1.0], "per_seed": [1.5 / 3]},
            "P@1": {"value": 1 / 3, "interval": [0.0, 1.0], "per_seed": [1 / 3]},
        },
        "queries": 3,
        "missing_queries": 0,
        "queries_without_relevant": 1,
        "ignored_queries": 0,
        "identical_ids": 0,
    }
    other = report["runs"]["t5|a"]
    assert (other["missing_queries"], other["ignored_queries"]) == (1, 1)
    assert other["measures"]["RR@10"]["difference"] == pytest.approx(2 / 3 - 1.5 / 3)
    assert 0 < other["measures"]["RR@10"]["p_value"] < 1
    assert other["measures"]["RR@10"]["randomization_p_value"] == 1.0  # one query that differs
    low, high = other["measures"]["RR@10"]["difference_interval"]
    assert low <= other["measures"]["RR@10"]["difference"] <= high


@pytest.mark.parametrize("report", [report_table, report_dict])
def test_no_run_is_an_error(report):
    with pytest.raises(ValueError, match="no run; expected at least one"):
        report({})
