import numpy as np
import pytest

from t5rank.evaluation import compare, evaluate, evaluate_seeds

QRELS = {f"q{n}": {"d1": 1} for n in range(40)}


def run_of(ranks):
    """A run whose relevant document has rank 1 or 2."""
    return {
        query_id: {"d1": 1.0, "d2": 2.0 * (rank - 1)}
        for query_id, rank in zip(QRELS, ranks, strict=True)
    }


RANDOM = np.random.default_rng(0)
GOOD = [run_of(RANDOM.choice([1, 2], size=40, p=[0.8, 0.2])) for _ in range(3)]
BAD = [run_of(RANDOM.choice([1, 2], size=40, p=[0.3, 0.7])) for _ in range(3)]


def test_figures_are_means_over_seeds():
    arm = evaluate_seeds({"good": GOOD}, QRELS, "RR@10")["good"]
    each = [evaluate(run, QRELS, "RR@10") for run in GOOD]
    assert arm.per_seed["RR@10"] == [e.aggregate["RR@10"] for e in each]
    assert arm.aggregate["RR@10"] == pytest.approx(np.mean(arm.per_seed["RR@10"]))
    q7 = [e.per_query["RR@10"]["q7"] for e in each]
    assert arm.per_query["RR@10"]["q7"] == pytest.approx(np.mean(q7))


def test_interval_holds_the_figure_and_widens_with_what_seeds_differ():
    arms = evaluate_seeds({"same": GOOD[:1] * 3, "differ": [GOOD[0], BAD[0]]}, QRELS, "RR@10")
    widths = []
    for arm in arms.values():
        low, high = arm.interval["RR@10"]
        assert low < arm.aggregate["RR@10"] < high
        widths.append(high - low)
    assert widths[1] > 1.2 * widths[0]


def test_sums_have_intervals_of_sums():
    part = {query_id: GOOD[0][query_id] for query_id in list(QRELS)[:20]}
    arm = evaluate_seeds({"part": [part]}, QRELS, "NumRet")["part"]
    low, high = arm.interval["NumRet"]
    assert arm.aggregate["NumRet"] == 40.0
    assert 20 < low < 40 < high < 60


def test_comparison_of_arms_does_not_depend_on_the_order_of_qrels_or_of_seeds():
    backwards = dict(reversed(QRELS.items()))
    one = evaluate_seeds({"bad": BAD, "good": GOOD}, QRELS, "RR@10")
    two = evaluate_seeds({"bad": BAD, "good": GOOD}, backwards, "RR@10")
    assert compare(one) == compare(two)
    shuffled = evaluate_seeds({"good": GOOD, "again": GOOD[::-1]}, QRELS, "RR@10")
    same = compare(shuffled)["again"]["RR@10"]
    assert (same.p_value, same.randomization_p_value) == (1.0, 1.0)


def test_clear_difference_is_clear_by_all_three():
    comparison = compare(evaluate_seeds({"bad": BAD, "good": GOOD}, QRELS, "RR@10"))["good"]
    found = comparison["RR@10"]
    assert 0 < found.interval[0] < found.difference < found.interval[1]
    assert found.p_value < 1e-4 and found.randomization_p_value == 1 / 10_001


def test_interval_of_a_difference_is_paired_by_query():
    """A run that is better by a constant on all queries has a difference without variance."""
    better = {query_id: {"d1": 9.0, "d2": 1.0} for query_id in QRELS}
    worse = {query_id: {"d1": 1.0, "d2": 9.0} for query_id in QRELS}
    found = compare(evaluate_seeds({"worse": [worse], "better": [better]}, QRELS, "RR@10"))
    assert found["better"]["RR@10"].interval == pytest.approx((0.5, 0.5))


def test_bad_run_is_named_with_its_number():
    bad = {"q1": {"d1": float("nan")}}
    with pytest.raises(ValueError, match=r"Run 'arm', number 2: Query 'q1' of the run"):
        evaluate_seeds({"arm": [GOOD[0], bad]}, QRELS)
    with pytest.raises(ValueError, match="Run 'arm' has no run"):
        evaluate_seeds({"arm": []}, QRELS)
