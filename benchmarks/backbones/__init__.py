"""Which networks of timm DenseViT takes, checked one by one: `python -m benchmarks.backbones.table`."""
