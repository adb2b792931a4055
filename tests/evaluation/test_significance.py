import itertools
import math
import warnings

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from t5rank.data.trec import read_qrels, read_run
from t5rank.evaluation.measures import evaluate, evaluate_runs
from t5rank.evaluation.significance import compare, holm, paired_t_test, random_run

QRELS = {f"q{n}": {"d0": 1} for n in range(6)}


def run_of(*ranks):
    """A run that ranks the relevant document d0 of query n at ranks[n] of 5."""
    return {
        f"q{n}": {f"d{(k - rank + 1) % 5}": -float(k) for k in range(5)}
        for n, rank in enumerate(ranks)
    }


ONE, TWO, THREE = run_of(1, 2, 3, 4, 5, 1), run_of(1, 1, 2, 2, 2, 1), run_of(5, 5, 5, 4, 5, 3)
ONE_RR = [1 / 1, 1 / 2, 1 / 3, 1 / 4, 1 / 5, 1 / 1]
TWO_RR = [1 / 1, 1 / 1, 1 / 2, 1 / 2, 1 / 2, 1 / 1]
THREE_RR = [1 / 5, 1 / 5, 1 / 5, 1 / 4, 1 / 5, 1 / 3]


def test_two_runs_are_compared_by_the_paired_t_test():
    compared = compare(evaluate_runs({"one": ONE, "two": TWO}, QRELS, "RR@10"))
    comparison = compared["two"]["RR@10"]
    assert comparison.difference == pytest.approx((sum(TWO_RR) - sum(ONE_RR)) / 6)
    # By the definition: t = mean / (standard deviation / sqrt(n)), n - 1 degrees of freedom.
    differences = np.subtract(TWO_RR, ONE_RR)
    t = differences.mean() / (differences.std(ddof=1) / math.sqrt(6))
    assert comparison.p_value == pytest.approx(2 * stats.t.sf(abs(t), df=5))


def test_more_runs_are_corrected_by_holm_within_a_measure():
    compared = compare(evaluate_runs({"one": ONE, "two": TWO, "three": THREE}, QRELS, "RR@10"))
    raw = [stats.ttest_rel(values, ONE_RR).pvalue for values in (TWO_RR, THREE_RR)]
    expected = [max(2 * min(raw), max(raw)) if p == max(raw) else 2 * p for p in raw]
    got = [compared[name]["RR@10"].p_value for name in ("two", "three")]
    assert got == pytest.approx(expected)
    assert got != pytest.approx(raw)


def test_identical_runs_have_p_value_1():
    comparison = compare(evaluate_runs({"one": ONE, "same": ONE}, QRELS))["same"]["nDCG@10"]
    assert (comparison.difference, comparison.p_value) == (0.0, 1.0)


def test_missing_queries_take_part_with_0():
    part = {"q0": ONE["q0"]}
    comparison = compare(evaluate_runs({"one": ONE, "part": part}, QRELS, "RR@10"))["part"]["RR@10"]
    assert comparison.p_value == pytest.approx(stats.ttest_rel([1, 0, 0, 0, 0, 0], ONE_RR).pvalue)


def test_one_run_has_nothing_to_compare():
    assert compare({"one": evaluate(ONE, QRELS)}) == {}


def test_single_query_has_p_value_1():
    assert paired_t_test([0.5]) == 1.0


def test_equal_differences_have_p_value_0_without_a_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert paired_t_test([0.5, 0.5, 0.5]) == 0.0


def test_other_queries_are_an_error():
    evaluations = {"one": evaluate(ONE, QRELS), "other": evaluate(ONE, {"q0": {"d0": 1}})}
    with pytest.raises(
        ValueError, match="Run 'other' has figures for other queries than run 'one'"
    ):
        compare(evaluations)


def test_other_measures_are_an_error():
    evaluations = {"one": evaluate(ONE, QRELS, "RR@10"), "other": evaluate(ONE, QRELS, "P@1")}
    with pytest.raises(ValueError, match=r"Run 'other' has the measures P@1; expected .* RR@10"):
        compare(evaluations)


def test_holm_by_hand():
    # Ascending: .01 * 4, .02 * 3, .03 * 2 raised to .06, .5 * 1.
    assert holm([0.03, 0.01, 0.5, 0.02]) == pytest.approx([0.06, 0.04, 0.5, 0.06])


@settings(deadline=None)
@given(st.lists(st.floats(0, 1), max_size=6))
def test_holm_lies_between_raw_and_bonferroni_and_keeps_the_order(raw):
    corrected = holm(raw)
    for p, q in zip(raw, corrected, strict=True):
        assert p <= q <= min(1.0, len(raw) * p)
    order = np.argsort(raw, kind="stable")
    assert all(corrected[a] <= corrected[b] for a, b in itertools.pairwise(order))


def test_random_run_has_the_same_candidates_without_ties():
    shuffled = random_run(ONE, seed=0)
    assert {q: docs.keys() for q, docs in shuffled.items()} == {
        q: docs.keys() for q, docs in ONE.items()
    }
    assert all(sorted(docs.values()) == [1, 2, 3, 4, 5] for docs in shuffled.values())


def test_random_order_depends_on_the_seed_only():
    backwards = {q: dict(reversed(docs.items())) for q, docs in reversed(ONE.items())}
    assert random_run(backwards, seed=3) == random_run(ONE, seed=3) != random_run(ONE, seed=4)


def test_random_order_of_a_query_does_not_depend_on_other_queries():
    assert random_run({"q3": ONE["q3"]}, seed=0)["q3"] == random_run(ONE, seed=0)["q3"]


def test_queries_are_shuffled_differently():
    same = {f"q{n}": dict.fromkeys("abcdefgh", 0.0) for n in range(4)}
    assert len({tuple(docs.items()) for docs in random_run(same, seed=0).values()}) > 1


def test_real_random_order_has_the_expected_figure(shared_data):
    """One relevant of 20: the mean of 1/rank is (1/1 + ... + 1/10) / 20 = .146."""
    folder = shared_data / "msmarco_passage_dev"
    run, qrels = read_run(folder / "run.bm25.txt"), read_qrels(folder / "qrels.txt")
    figures = [
        evaluate(random_run(run, seed), qrels, "RR@10").aggregate["RR@10"] for seed in range(20)
    ]
    expected = sum(1 / rank for rank in range(1, 11)) / 20
    # 20 x 207 lists; the standard deviation of 1/rank, cut at 10, is .23.
    assert np.mean(figures) == pytest.approx(expected, abs=4 * 0.23 / math.sqrt(20 * 207))
