import gc

import pytest

from t5rank.process.collector import resting_collector


def test_the_collector_rests_within_and_goes_on_afterwards():
    with resting_collector():
        assert not gc.isenabled()
    assert gc.isenabled() and gc.get_freeze_count()
    gc.unfreeze()


def test_an_error_wakes_the_collector():
    with pytest.raises(KeyError), resting_collector():
        raise KeyError
    assert gc.isenabled()
    gc.unfreeze()


def test_a_collector_that_was_off_stays_off():
    gc.disable()
    try:
        with resting_collector():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
        gc.unfreeze()
