import pytest

from leopart_mm.models.fitting.requests import Requests


def test_union_asks_for_everything_that_a_part_asks_for():
    parts = [Requests(attention=True), Requests(qkv=11, reduced=True), Requests(), Requests(images=True, qkv=11)]
    assert Requests.union(parts) == Requests(attention=True, qkv=11, reduced=True, images=True)
    assert Requests.union([]) == Requests()
    both = Requests(qkv=11, maps=True) | Requests(class_query=5)
    assert (both.qkv, both.class_query, both.maps) == (11, 5, True)


def test_attention_is_asked_of_a_backbone_by_what_is_needed_alone():
    """So a backbone whose `forward_dense` knows less works for those who ask no more."""
    assert Requests(maps=True, images=True).of_attention == {}
    assert Requests(attention=True, qkv=0).of_attention == dict(cls_attention=True, qkv_block=0)
    assert Requests(class_query=-1).of_attention == dict(class_query_block=-1)


def test_two_blocks_cannot_be_asked_for_together():
    with pytest.raises(ValueError, match='two blocks, 0 and 11'):
        Requests(qkv=0) | Requests(qkv=11)
    with pytest.raises(ValueError, match='query of the class token and the keys of two blocks, 5 and 0'):
        Requests(class_query=5) | Requests(class_query=0)
