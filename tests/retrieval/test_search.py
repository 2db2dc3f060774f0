import numpy as np
import pytest
import torch
import torch.nn.functional as F
from sklearn.neighbors import NearestNeighbors

from leopart_mm.retrieval import search as module
from leopart_mm.retrieval.growing_rows import GrowingRows
from leopart_mm.retrieval.mixing import mix_labels
from leopart_mm.retrieval.search import InvertedFile, merge, search


def unit(count, seed, channels=16):
    generator = torch.Generator().manual_seed(seed)
    return F.normalize(torch.randn(count, channels, generator=generator), dim=1)


@pytest.mark.parametrize('index', ['auto', 'torch', 'faiss'])
@pytest.mark.parametrize('step', [5, 64, 10**6])
def test_exact_search_equals_scikit_learn_in_any_chunks(index, step, monkeypatch):
    monkeypatch.setattr(module, 'KEY_CHUNK', step)
    monkeypatch.setattr(module, 'QUERY_CHUNK', step + 3)
    keys, queries = unit(333, 0), unit(70, 1)
    values, rows = search(queries, keys, 9, index)
    reference = NearestNeighbors(n_neighbors=9, metric='cosine', algorithm='brute').fit(keys.double())
    distances, expected = reference.kneighbors(queries.double())
    np.testing.assert_array_equal(rows, expected)
    np.testing.assert_allclose(values, 1 - distances, atol=1e-6)


@pytest.mark.parametrize('index', ['torch', 'faiss', 'ivf', 'half'])
def test_a_single_neighbour_is_the_nearest_key(index):
    keys, queries = unit(300, 0), unit(40, 1)
    if index == 'ivf':
        values, rows = InvertedFile(keys, num_lists=4, num_probes=4).search(queries, 1)
    elif index == 'half':
        values, rows = module._search_half(queries, keys.half(), 1, 70)
    else:
        values, rows = search(queries, keys, 1, index)
    best = (queries @ keys.T).max(dim=1)
    assert values.shape == rows.shape == (40, 1)
    assert torch.equal(rows[:, 0], best.indices)
    torch.testing.assert_close(values[:, 0], best.values, atol=3e-4, rtol=0)
    labels = F.one_hot(torch.arange(300) % 3, 3).float()
    assert torch.equal(mix_labels(values, labels[rows]), labels[best.indices])  # its label alone, undiluted


def test_half_precision_keys():
    keys, queries = unit(4000, 0, 64), unit(50, 1, 64)
    exact, expected = search(queries, keys, 30)
    values, rows = search(queries, keys.half(), 30)
    torch.testing.assert_close(values, exact, atol=2e-4, rtol=0)
    recall = np.mean([len(set(a.tolist()) & set(b.tolist())) / 30 for a, b in zip(rows, expected, strict=True)])
    assert recall > 0.99


def test_candidates_of_half_precision_products_are_scored_again():
    """What runs on a GPU where keys are float16."""
    keys, queries = unit(3000, 0, 32).half(), unit(300, 1, 32)
    exact, expected = search(queries, keys, 10)  # on a CPU: products in float32
    values, rows = module._search_half(queries, keys, 10, 700)
    torch.testing.assert_close(values, exact, atol=1e-5, rtol=0)
    assert (rows == expected).float().mean() > 0.999


def test_inverted_file_with_all_probes_is_exact_and_with_few_near():
    keys, queries = unit(5000, 0), unit(40, 1)
    exact, expected = search(queries, keys, 10)
    values, rows = InvertedFile(keys, num_lists=50, num_probes=50).search(queries, 10)
    np.testing.assert_array_equal(rows, expected)
    torch.testing.assert_close(values, exact)
    few = InvertedFile(keys, num_lists=50, num_probes=10)
    recall = np.mean([len(set(a.tolist()) & set(b.tolist())) / 10
                      for a, b in zip(few.search(queries, 10)[1], expected, strict=True)])
    assert 0.6 < recall < 1
    one = InvertedFile(keys, num_lists=500, num_probes=1)
    values, rows = one.search(queries, 200)
    assert (values[rows < 0] == -torch.inf).all()
    assert (rows < 0).any()
    again = InvertedFile(keys, num_lists=500, num_probes=1)
    assert torch.equal(again.search(queries, 200)[1], rows)


def test_merging_keeps_order_and_first_of_equals():
    first = torch.tensor([[0.9, 0.5]]), torch.tensor([[1, 2]])
    second = torch.tensor([[0.9, 0.7]]), torch.tensor([[3, 4]])
    values, rows = merge(first, second, 3)
    assert rows.tolist() == [[1, 3, 4]]
    torch.testing.assert_close(values, torch.tensor([[0.9, 0.9, 0.7]]))


def test_bad_input_is_named():
    keys = unit(5, 0)
    with pytest.raises(ValueError, match='6 neighbours cannot be found among 5 keys'):
        search(keys, keys, 6)
    with pytest.raises(ValueError, match='0 neighbours'):
        search(keys, keys, 0)
    with pytest.raises(ValueError, match='no exact search'):
        search(keys, keys, 2, 'scann')
    assert [part.shape for part in search(keys[:0], keys, 2)] == [(0, 2), (0, 2)]


def test_rows_grow_in_place_and_release_no_more_than_they_hold():
    rows = GrowingRows(3, torch.float16)
    parts = [torch.rand(n, 3).half() for n in (2, 0, 50, 7)]
    for part in parts:
        rows.append(part)
    assert len(rows) == 59
    rows.widen(torch.float32)
    rows.append(torch.ones(1, 3))
    rows.reserve(1000)
    tensor = rows.release()
    assert len(rows) == 0
    assert torch.equal(tensor, torch.cat([*(part.float() for part in parts), torch.ones(1, 3)]))
    assert tensor.untyped_storage().nbytes() == tensor.numel() * 4
