import time

import torch
import torch.nn.functional as F
from torch import nn

from benchmarks.flops import counted_flops, gemm_rate
from benchmarks.gemm_share import gemm_share


def test_counts_products_and_attention_forward_and_backward():
    layer = nn.Linear(3, 5)
    x = torch.randn(4, 3, requires_grad=True)
    assert counted_flops(layer, x) == 2 * 4 * 3 * 5
    assert counted_flops(lambda: layer(x).sum().backward()) == 3 * 2 * 4 * 3 * 5
    q, k, v = (torch.randn(2, 3, 7, 8, requires_grad=True) for _ in range(3))
    attention = 2 * 3 * (2 * 7 * 7 * 8) * 2  # 2 x 3 heads, scores and their product with the values
    assert counted_flops(F.scaled_dot_product_attention, q, k, v) == attention
    assert counted_flops(lambda: F.scaled_dot_product_attention(q, k, v).sum().backward()) == 3 * attention


def test_a_vit_has_the_operations_of_its_formula():
    from leopart_mm.models.backbones import DenseViT
    dim, depth, grid = 16, 2, 4
    model = DenseViT('vit_tiny_patch16_224', dict(img_size=32, patch_size=8, embed_dim=dim, depth=depth, num_heads=2))
    tokens = grid**2 + 1
    products = tokens * (3 * dim * dim + dim * dim + 2 * 4 * dim * dim) * 2
    expected = 3 * (depth * (products + 2 * 2 * tokens**2 * dim) + 2 * grid**2 * (3 * 8 * 8) * dim)
    assert counted_flops(model, torch.randn(3, 3, 32, 32)) == expected


def test_gemm_rate_is_that_of_a_product():
    rate = gemm_rate(seconds=0.02, clock=time.process_time, sides=(512, ))
    a = torch.randn(512, 512)
    start = time.process_time()
    for _ in range(10):
        a @ a
    assert 0.2 < rate / (10 * 2 * 512**3 / (time.process_time() - start)) < 5


def test_the_share_of_a_product_alone_is_near_1_and_of_one_that_waits_near_its_part():
    a = torch.randn(1024, 1024)
    out = torch.empty_like(a)
    cheap = dict(seconds=0.02, sides=(1024, ))
    share, operations, rate = gemm_share(lambda: torch.mm(a, a, out=out), **cheap)
    assert operations == 2 * 1024**3
    assert 0.4 < share < 1.3
    idle = 3 * operations / rate  # seconds: three times the product's

    def step():
        torch.mm(a, a, out=out)
        end = time.process_time() + idle
        while time.process_time() < end:
            pass

    assert 0.1 < gemm_share(step, **cheap)[0] < 0.4
