"""The words claim no more than both tests allow."""

import pytest

from t5rank.evaluation import Comparison
from t5rank.report.findings import is_significant, sentence


def compared(difference, p_value, randomization_p_value, width=0.1):
    return Comparison(
        difference=difference,
        interval=(difference - width, difference + width),
        p_value=p_value,
        randomization_p_value=randomization_p_value,
    )


@pytest.mark.parametrize(
    ("comparison", "words"),
    [
        (compared(0.2, 0.01, 0.02), "A is better than B in RR"),
        (compared(-0.2, 0.0001, 0.02), "A is worse than B in RR"),
        (compared(0.2, 0.3, 0.2), "A does not differ significantly from B in RR"),
        (compared(0.2, 0.04, 0.06), "the tests and the interval disagree on whether A differs"),
        (compared(0.2, 0.01, 0.01, width=0.3), "the tests and the interval disagree on whether"),
        (compared(0.2, 0.05, 0.05), "A does not differ significantly"),
    ],
)
def test_sentence(comparison, words):
    assert sentence("A", "B", "RR", comparison).startswith(words)
    assert is_significant(comparison) == (" is " in words)


def test_figures_are_told():
    said = sentence("A", "B", "RR", compared(0.2, 0.00001, 0.0212))
    assert said.endswith(
        "(+0.2000, +0.1000 to +0.3000; t-test p < 0.0001, randomization p = 0.0212)."
    )
