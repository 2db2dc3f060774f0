import math

import torch

from leopart_mm.retrieval.mixing import mix_labels


def test_mixture_by_hand():
    similarities = torch.tensor([[0.5, 0.5 - 0.02 * math.log(3)]])
    labels = torch.tensor([[[1., 0], [0, 1]]])
    torch.testing.assert_close(mix_labels(similarities, labels), torch.tensor([[0.75, 0.25]]))
    assert mix_labels(torch.tensor([[0.9, -torch.inf]]), labels).tolist() == [[1, 0]]
