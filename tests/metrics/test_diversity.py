from math import log2

import numpy as np
import pytest

from t5rank.metrics import alpha_dcg_metric, precision_ia_metric

SCORES = np.array([3.0, 2.0, 1.0])
LABELS = np.array([[1, 0, 0], [1, 1, 0], [0, 1, 0]])


def test_alpha_dcg_lowers_repeated_subtopics():
    expected = 1 / log2(2) + (0.5 + 1) / log2(3) + 0.5 / log2(4)
    assert alpha_dcg_metric(SCORES, LABELS) == pytest.approx(expected)
    assert alpha_dcg_metric(SCORES, LABELS, topn=1) == 1.0


def test_alpha_of_zero_counts_all_and_of_one_counts_first():
    everything = 1 / log2(2) + 2 / log2(3) + 1 / log2(4)
    assert alpha_dcg_metric(SCORES, LABELS, alpha=0.0) == pytest.approx(everything)
    first = 1 / log2(2) + 1 / log2(3)
    assert alpha_dcg_metric(SCORES, LABELS, alpha=1.0) == pytest.approx(first)


def test_precision_ia_is_the_mean_over_subtopics_that_have_documents():
    assert precision_ia_metric(SCORES, LABELS, topn=2) == pytest.approx((2 / 2 + 1 / 2) / 2)
    assert precision_ia_metric(SCORES, LABELS) == pytest.approx((2 / 3 + 2 / 3) / 2)
    padded = precision_ia_metric(SCORES, LABELS, topn=6, denominator="topn")
    assert padded == pytest.approx((2 / 6 + 2 / 6) / 2)
