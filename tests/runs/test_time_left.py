"""The time left of a sweep is as much as its work that is left, whatever each run takes."""

import pytest

from tests.tiny import TINY
from vg_core.runs.record import Job
from vg_core.runs.time_left import TimeLeft

SHORT = TINY.replace(epochs_num=1, queries_per_epoch=8)


@pytest.fixture
def clock(monkeypatch):
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def left(street, clock, seconds: float, **variants) -> dict[str, float]:
    """Seconds left after the first variant, which took ``seconds``, and after each of the others, which took none."""
    clock[0] = 0.0
    outlook = TimeLeft({name: Job.open(config) for name, config in variants.items()})
    clock[0] = seconds
    return {name: outlook.after(name) for name in variants}


def test_twice_the_work_takes_twice_the_time(street, clock):
    assert left(street, clock, 10.0, a=SHORT, b=SHORT.replace(seed=1)) == {"a": 10.0, "b": 0.0}
    larger = left(street, clock, 10.0, a=SHORT, b=SHORT.replace(image_size=(64, 64)))["a"]
    assert larger == pytest.approx(40.0)
    longer = left(street, clock, 10.0, a=SHORT, b=SHORT.replace(epochs_num=11))["a"]
    assert 50 < longer < 110, "ten more epochs, but the test and the first validation only once"


def test_classes_are_learned_without_mining(street, clock):
    """In rows of as many images, with the same test: mining describes 48 images in each round of 8 rows of 5."""
    classes = left(street, clock, 10.0, a=SHORT, b=SHORT.replace(loss="geo_classification"))["a"]
    tuples = 48 + 3 * 40 + 2 * 32 + 32  # images: mined, learned from forward and back, validated twice, tested
    assert classes == pytest.approx(10.0 * (tuples - 48) / tuples)


def test_a_network_is_trained_once_for_all_its_tests(street, clock):
    again = left(street, clock, 10.0, a=SHORT, b=SHORT.replace(test_image_size=(30, 30)))["a"]
    assert 0 < again < 4
    crops = left(street, clock, 10.0, a=SHORT, b=SHORT.replace(test_method="five_crops"))["a"]
    assert again < crops < 10


def test_a_test_says_nothing_of_long_trainings(street, clock):
    told = left(street, clock, 10.0, a=SHORT.replace(epochs_num=0), b=SHORT.replace(epochs_num=100), c=SHORT)
    assert told["a"] == 0 < told["b"]
