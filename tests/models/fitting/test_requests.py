import pytest

from leopart_mm.models.fitting.requests import Requests


def test_union_asks_for_everything_that_a_part_asks_for():
    parts = [Requests(attention=True), Requests(qkv=11, reduced=True), Requests(), Requests(images=True, qkv=11)]
    assert Requests.union(parts) == Requests(attention=True, qkv=11, reduced=True, images=True)
    assert Requests.union([]) == Requests()


def test_two_blocks_cannot_be_asked_for_together():
    with pytest.raises(ValueError, match='two blocks, 0 and 11'):
        Requests(qkv=0) | Requests(qkv=11)
