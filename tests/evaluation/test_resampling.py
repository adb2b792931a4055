import itertools
import tracemalloc

import numpy as np
import pytest
from scipy import stats

from t5rank.evaluation.resampling import (
    RESAMPLES,
    percentile_interval,
    randomization_test,
    resampled_queries,
    resampled_seeds,
)

RANDOM = np.random.default_rng(1)
FIGURES = RANDOM.choice([0, 1 / 3, 1 / 2, 1], size=(2, 200), p=[0.4, 0.2, 0.2, 0.2])


def scipy_p_value(differences, resamples):
    return stats.permutation_test(
        (differences,),
        np.mean,
        permutation_type="samples",
        n_resamples=resamples,
        rng=np.random.default_rng(2),
    ).pvalue


@pytest.mark.parametrize("queries", [2, 4, 9])
def test_few_queries_give_the_exact_p_value_of_scipy(queries):
    differences = FIGURES[0, :queries] - FIGURES[1, :queries] + 0.25
    assert randomization_test(differences) == pytest.approx(scipy_p_value(differences, 2**queries))


def test_exact_p_value_by_hand():
    differences = np.array([0.5, 0.25, 0.25, 0.0])  # sums of all signs: ±1, ±.5 twice, ±0
    sums = [abs(np.dot(signs, [0.5, 0.25, 0.25])) for signs in itertools.product([1, -1], repeat=3)]
    assert randomization_test(differences) == sum(s >= 1 for s in sums) / 8 == 2 / 8


def test_many_queries_give_the_p_value_of_scipy_within_its_sampling():
    differences = FIGURES[0] - FIGURES[1] + 0.04
    ours, theirs = randomization_test(differences), scipy_p_value(differences, RESAMPLES - 1)
    assert 0.02 < ours < 0.98
    assert ours == pytest.approx(theirs, abs=4 * np.sqrt(2 * ours * (1 - ours) / RESAMPLES))


def test_no_difference_has_p_value_1_and_a_clear_one_the_smallest_there_is():
    assert randomization_test(np.zeros(50)) == 1.0
    assert randomization_test(np.ones(50)) == 1 / (1 + RESAMPLES)


def test_p_values_of_equal_systems_are_uniform():
    differences = RANDOM.choice([-0.5, 0, 0.5, 1, -1], size=(200, 12))
    below = np.mean([randomization_test(each) <= 0.2 for each in differences])
    assert below == pytest.approx(0.17, abs=0.09)  # at most .2: the sums are few


def test_interval_over_queries_is_that_of_scipy():
    """Both take the same draws from numpy's generator."""
    one, two = resampled_queries(FIGURES).T
    for means, figures in ((one, FIGURES[0]), (two, FIGURES[1])):
        theirs = stats.bootstrap(
            (figures,), np.mean, method="percentile", n_resamples=RESAMPLES, rng=0
        ).confidence_interval
        assert percentile_interval(means) == pytest.approx(tuple(theirs))


def test_interval_covers_the_truth():
    samples = RANDOM.exponential(1.0, size=(300, 60))  # as many rows as simulations, mean 1
    intervals = map(percentile_interval, resampled_queries(samples).T)
    covered = np.mean([low <= 1.0 <= high for low, high in intervals])
    assert covered == pytest.approx(0.93, abs=0.04)  # of 95%; skewed data lose some


def test_seeds_and_queries_both_add_to_the_variance():
    seeds = np.array([[0.0], [0.3], [0.6]])
    figures = seeds + np.tile([0.0, 1.0], 50)  # of variance .06 and 1/4
    values = resampled_seeds(resampled_queries(figures))
    assert values.var() == pytest.approx(0.06 / 3 + 0.25 / 100, rel=0.1)


def test_streams_draw_seeds_independently():
    means = np.tile([0.0, 1.0, 2.0], (RESAMPLES, 1))
    one, two = resampled_seeds(means, 0), resampled_seeds(means, 1)
    assert abs(np.corrcoef(one, two)[0, 1]) < 0.05
    assert (one == resampled_seeds(means, 0)).all()


def test_memory_does_not_grow_with_queries_times_resamples():
    tracemalloc.start()
    resampled_queries(np.ones((3, 2_000)))
    randomization_test(np.ones(2_000))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 80e6 < 2_000 * RESAMPLES * 8
