"""Curves and configurations."""

import numpy as np

from t5rank.report import training
from t5rank.report.training import TrainedModel


def model(values, **record):
    records = [{"step": s, "part": "validation", "mrr": v, **record} for s, v in values.items()]
    return TrainedModel(records, {}, "")


def test_a_curve_is_over_the_steps_of_all_seeds():
    curve = training.curve(
        [model({10: 0.1, 20: 0.4}), model({10: 0.3, 20: 0.2, 30: 0.9})], "validation", "mrr"
    )
    np.testing.assert_array_equal(curve.steps, [10, 20])
    np.testing.assert_allclose(curve.mean, [0.2, 0.3])
    np.testing.assert_allclose([curve.low, curve.high], [[0.1, 0.2], [0.3, 0.4]])


def test_answerable_figures_are_named_where_they_differ():
    counts = {"answerable/mrr": 0.5, "lists": 4}
    same, other = ({**counts, "answerable/lists": n} for n in (4, 3))
    assert training.validation_metrics([model({1: 0.1}, **same)]) == ["mrr"]
    assert training.validation_metrics([model({1: 0.1}, **other)]) == ["mrr", "answerable/mrr"]


def test_a_real_configuration_is_read():
    import gin

    text = "A.b = \\\n    {'x': (%C, 2),\n     'y': 'm n'}\nC = 1\n"
    bound = training.bindings(text)
    assert bound == {"A.b": "{'x': (%C, 2), 'y': 'm n'}", "C": "1"}
    gin.parse_config("C = 1")
    assert gin.query_parameter("%C") == int(bound["C"])
