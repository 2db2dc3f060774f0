"""Depths of a transformer's parameters, for layer-wise learning-rate decay."""

from leopart_mm.checkpoints.token_positions import PREFIX_TOKENS

STEM = (*PREFIX_TOKENS, 'pos_embed', 'patch_embed', 'norm_pre', 'rope')


def layer_depth(name: str, num_layers: int) -> int:
    """Depth of a parameter of a ViT of timm.

    Args:
        name: Its name in the network.
        num_layers: Number of blocks.

    Returns:
        0 for embeddings and rotary frequencies, i + 1 for block i, num_layers + 1 for all that follows the blocks.
    """
    first, _, rest = name.partition('.')
    if first in STEM:
        return 0
    return int(rest.partition('.')[0]) + 1 if first == 'blocks' else num_layers + 1
