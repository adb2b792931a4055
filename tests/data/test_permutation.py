"""An order that is computed."""

import numpy as np
import pytest

from t5rank.data.permutation import Permutation


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 1000, 4097, 100_003])
def test_every_number_comes_once(size):
    assert sorted(Permutation(size, seed=7).numbers()) == [*range(size)]


def test_any_place_and_step():
    order = Permutation(9999, seed=1)
    whole = [*order.numbers()]
    assert [*order.numbers(5000)] == whole[5000:]
    assert [*order.numbers(1, 3)] == whole[1::3]


def test_every_order_is_about_as_frequent():
    """Chi-squared over the 24 orders of four numbers, in 2,400 seeds: 23 degrees of freedom."""
    orders = [tuple(Permutation(4, seed).at(np.arange(4)).tolist()) for seed in range(2400)]
    times = np.array([orders.count(order) for order in set(orders)])
    assert len(times) == 24
    assert ((times - 100) ** 2 / 100).sum() < 49.7  # exceeded by chance in one of 1,000


def test_neighbours_are_far_apart():
    """Two random places of an order are a third of it apart, on average."""
    numbers = Permutation(100_000, seed=5).at(np.arange(100_000))
    assert abs(np.abs(np.diff(numbers)).mean() / 100_000 - 1 / 3) < 0.01


def test_a_billion_numbers_take_no_memory():
    places = np.array([0, 1, 999_999_999])
    numbers = Permutation(10**9, seed=3).at(places)
    assert len(set(numbers.tolist())) == 3
    assert numbers.min() >= 0 and numbers.max() < 10**9
