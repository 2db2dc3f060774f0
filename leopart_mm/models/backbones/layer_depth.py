"""Depths of a transformer's parameters, for layer-wise learning-rate decay, and which of them do not decay."""

from leopart_mm.checkpoints.token_positions import PREFIX_TOKENS

STEM = (*PREFIX_TOKENS, 'pos_embed', 'patch_embed', 'norm_pre')
NO_WEIGHT_DECAY = frozenset((*PREFIX_TOKENS, 'pos_embed', 'rope.freqs'))


def layer_depth(name: str, num_layers: int) -> int:
    """Depth of a parameter of a ViT of timm, as timm's `param_groups_layer_decay` groups them.

    Args:
        name: Its name in the network.
        num_layers: Number of blocks.

    Returns:
        0 for embeddings, i + 1 for block i, that of the last block for the final norm. num_layers + 1, that of a head,
        for all that timm gives no layer: a pooling head, and learned rotary frequencies, which every block reads.
    """
    first, _, rest = name.partition('.')
    if first in STEM:
        return 0
    if first == 'norm':
        return num_layers
    return int(rest.partition('.')[0]) + 1 if first == 'blocks' else num_layers + 1
