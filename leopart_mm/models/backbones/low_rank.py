"""Low-rank adapters (LoRA) in the blocks of a transformer: a small trained change of frozen weights.

This is ours and not the library `peft` for two reasons. `peft` puts a module around `qkv`, and timm's Eva attention
with biases (EVA-02, *_dinov3_qkvb) reads `qkv.weight` instead of calling `qkv`, as our attention of the class token
does: the adapter would be left out without a word (with peft 0.21.2, eva02_tiny_patch14_224 gives the same output). And
`peft` brings `transformers` along, which nothing else here needs. A parametrization of torch changes the weight itself,
so whoever reads it sees the adapted one.
"""

import math
from collections.abc import Iterable, Iterator

import torch
from torch import Tensor, nn
from torch.nn.utils import parametrize

from leopart_mm.checkpoints.low_rank import ADAPTER, ORIGINAL, UP, adapted_weight, plain_name

OUTPUT_PROJECTION = 'proj'  # of timm's attentions; every other linear layer there makes queries, keys and values


class LowRank(nn.Module):
    """The parametrization W -> W + (alpha / rank)·B·A of a weight (out, in); B is 0 at the start.

    Args:
        weight: W, (out, in).
        rank: Rows of A and columns of B.
        alpha: The change is scaled by alpha / rank.
    """

    def __init__(self, weight: Tensor, rank: int, alpha: float) -> None:
        super().__init__()
        out_features, in_features = weight.shape
        self.lora_A = nn.Parameter(weight.new_empty(rank, in_features))
        self.lora_B = nn.Parameter(weight.new_zeros(out_features, rank))
        self.register_buffer('scale', weight.new_tensor(alpha / rank))
        nn.init.kaiming_uniform_(self.lora_A, a=math.sqrt(5))  # as in the LoRA code and peft

    def forward(self, weight: Tensor) -> Tensor:
        """The weight in force."""
        return adapted_weight(weight, self.lora_A, self.lora_B, self.scale)


def add_low_rank(network: nn.Module, blocks: Iterable[nn.Module], rank: int, alpha: float) -> list[str]:
    """Freeze a network and give the linear layers of some blocks adapters: those that make queries, keys and values,
    and all of the MLP.

    Args:
        network: All of its parameters get no gradient any more.
        blocks: Transformer blocks of it, with parts `attn` and `mlp`.
        rank: Rank of the change, at least 1.
        alpha: Its scale, see `LowRank`.

    Returns:
        Names of the adapted layers within their block, without repetition.

    Raises:
        ValueError: If a block has no such layer in its attention or in its MLP, or the rank is above a layer's width.
    """
    network.requires_grad_(False)
    names = []
    for block in blocks:
        layers = {name: layer for name, layer in block.named_modules() if isinstance(layer, nn.Linear)}
        parts = {part: [name for name in layers if name.startswith(f'{part}.') and name != f'attn.{OUTPUT_PROJECTION}']
                 for part in ('attn', 'mlp')}
        if not all(parts.values()):
            lacking = ' and '.join(part for part, found in parts.items() if not found)
            raise ValueError(f"trainable='lora': a {type(block).__name__} of this network has no linear layer to adapt "
                             f'in {lacking}; its linear layers are {", ".join(layers) or "none"}. Use '
                             "trainable='last_4' instead.")
        for name in (name for found in parts.values() for name in found):
            weight = layers[name].weight
            if rank > min(weight.shape):
                raise ValueError(f"trainable='lora_{rank}': the rank is above the width {min(weight.shape)} of {name}; "
                                 'choose a smaller one, such as 8.')
            parametrize.register_parametrization(layers[name], 'weight', LowRank(weight, rank, alpha))
            names.append(name)
    return list(dict.fromkeys(names))


def adapted_layers(module: nn.Module) -> Iterator[nn.Module]:
    """The layers of a module whose weight has an adapter."""
    for layer in module.modules():
        if parametrize.is_parametrized(layer, 'weight') and isinstance(layer.parametrizations.weight[0], LowRank):
            yield layer


def merge_adapters(module: nn.Module) -> nn.Module:
    """Replace adapted weights by plain ones of the same values, without gradient, in place; returns the module.

    `remove_parametrizations` of torch would take the weight away from every copy of the module too: copies share the
    class that torch made for the parametrized layer.
    """
    for layer in list(adapted_layers(module)):
        weight, others = layer.weight.detach(), dict(layer._parameters)
        layer.__class__ = parametrize.type_before_parametrizations(layer)
        del layer.parametrizations
        layer._parameters.clear()
        for name, value in dict(weight=nn.Parameter(weight, requires_grad=False), **others).items():
            layer.register_parameter(name, value)
    return module


def plain_parameters(module: nn.Module) -> dict[str, Tensor]:
    """Parameters by the names that they have without adapters; of adapted weights, the weight in force."""
    found = dict(module.named_parameters())
    plain = {name: key for key in found if (name := plain_name(key)) is not None}
    return {name: module.get_submodule(name.removesuffix('.weight')).weight if name != key else found[key]
            for name, key in plain.items()}


def plain_shapes(module: nn.Module) -> dict[str, tuple[int, ...]]:
    """Shapes of the state dict without adapters."""
    return {name: tuple(value.shape) for key, value in module.state_dict().items()
            if (name := plain_name(key)) is not None}


@torch.no_grad()
def with_fresh_adapters(module: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """A plain state dict under the names of a module with adapters, which change nothing: their B is 0."""
    own = module.state_dict()
    fresh = {key: torch.zeros_like(value) if key.endswith(ADAPTER + UP) else value
             for key, value in own.items() if plain_name(key) is None}
    renamed = {key: state[plain_name(key)] for key in own if key.endswith(ORIGINAL)}
    untouched = {key: value for key, value in state.items() if key in own}
    return {**untouched, **renamed, **fresh} if fresh else state
