"""Key names of ViT state dicts in each program's layout: one table a layout, read in both directions."""

import re
from collections.abc import Iterable
from dataclasses import dataclass

from torch import Tensor

State = dict[str, Tensor]
Rules = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class KeyLayout:
    """How a program names the tensors that timm has too.

    A rule is a pair (foreign, timm) of beginnings of keys, in which `{name}` stands for a number; of several that fit,
    the first counts. Keys without a rule are the same in both.

    Args:
        name: What messages call the layout.
        rules: Used in both directions.
        gated: Rules for the two halves of a gated MLP (SwiGLU). Written only where the MLPs are gated: timm's names
            alone do not tell.
        aliases: Pairs (foreign, foreign) of names found in some files, renamed before the rules; never written.
    """

    name: str
    rules: Rules = ()
    gated: Rules = ()
    aliases: Rules = ()

    def to_timm(self, state: State) -> State:
        """Rename foreign keys to timm's."""
        rules = self.gated + self.rules
        return {_rename(_rename(key, self.aliases), rules): value for key, value in state.items()}

    def from_timm(self, state: State) -> State:
        """Rename timm's keys to the foreign ones."""
        rules = [(timm, foreign) for foreign, timm in (self.gated if is_gated(state) else ()) + self.rules]
        return {_rename(key, rules): value for key, value in state.items()}


MM_RULES = (
    ('patch_embed.projection.', 'patch_embed.proj.'),
    ('pre_norm.', 'norm_pre.'),
    ('ln1.', 'norm.'),
    ('layers.{i}.ln{n}.', 'blocks.{i}.norm{n}.'),
    ('layers.{i}.ffn.layers.0.0.', 'blocks.{i}.mlp.fc1.'),
    ('layers.{i}.ffn.layers.1.', 'blocks.{i}.mlp.fc2.'),
)
MM_GATED = (('layers.{i}.ffn.w12.', 'blocks.{i}.mlp.fc1.'), ('layers.{i}.ffn.w3.', 'blocks.{i}.mlp.fc2.'))
MM_ALIASES = (('ln_pre.', 'pre_norm.'), ('norm1.', 'ln1.'), ('layers.{i}.norm{n}.', 'layers.{i}.ln{n}.'))

MMPRETRAIN = KeyLayout(
    'MMPretrain', (*MM_RULES,
                   ('layers.{i}.attn.gamma1.weight', 'blocks.{i}.ls1.gamma'),
                   ('layers.{i}.ffn.gamma2.weight', 'blocks.{i}.ls2.gamma'),
                   ('layers.{i}.attn.', 'blocks.{i}.attn.')), MM_GATED, MM_ALIASES)
MMSEG = KeyLayout(
    'mmseg', (*MM_RULES,
              ('layers.{i}.attn.attn.in_proj_', 'blocks.{i}.attn.qkv.'),
              ('layers.{i}.attn.attn.out_proj.', 'blocks.{i}.attn.proj.')), aliases=MM_ALIASES)
DINOV2 = KeyLayout(
    'DINOv2', gated=(('blocks.{i}.mlp.w12.', 'blocks.{i}.mlp.fc1.'), ('blocks.{i}.mlp.w3.', 'blocks.{i}.mlp.fc2.')),
    aliases=(('blocks.{chunk}.{i}.', 'blocks.{i}.'), ))  # training files cut the blocks into chunks
DEIT3 = KeyLayout('DeiT-3', (('blocks.{i}.gamma_{n}', 'blocks.{i}.ls{n}.gamma'), ))
POOLED = KeyLayout('timm with pooling before the norm', (('fc_norm.', 'norm.'), ))
TIMM = KeyLayout('timm')  # DINO, MAE, MoCo-v3, DeiT, Leopart and NeCo name these keys alike


def find_layout(keys: Iterable[str]) -> KeyLayout:
    """The layout of a ViT's keys, stripped of their prefix."""
    keys = set(keys)
    if any('attn.attn.in_proj_weight' in key for key in keys):
        return MMSEG
    if any(re.match(r'layers\.\d+\.(?:ln|norm|attn|ffn)', key) for key in keys):
        return MMPRETRAIN
    if 'register_tokens' in keys or ('mask_token' in keys and any('.ls1.gamma' in key for key in keys)):
        return DINOV2
    if any(re.match(r'blocks\.\d+\.gamma_1', key) for key in keys):
        return DEIT3
    if 'fc_norm.weight' in keys and 'norm.weight' not in keys:
        return POOLED
    return TIMM


def to_timm_keys(state: State) -> tuple[State, str]:
    """Rename the keys of a ViT state dict, stripped of its prefix, to timm's.

    Position embeddings and register tokens keep the values and the names that they have; `token_positions` fits these
    to a network.

    Returns:
        The renamed state dict and the name of the layout that was recognised.
    """
    layout = find_layout(state)
    return layout.to_timm(state), layout.name


def is_gated(state: State) -> bool:
    """Whether the MLPs of a state dict in timm's names are gated: the first layer gives two halves to the second."""
    first, second = state.get('blocks.0.mlp.fc1.weight'), state.get('blocks.0.mlp.fc2.weight')
    return first is not None and second is not None and first.shape[0] == 2 * second.shape[1]


def _rename(key: str, rules: Iterable[tuple[str, str]]) -> str:
    for old, new in rules:
        pattern = re.sub(r'\\{(\w+)\\}', r'(?P<\1>\\d+)', re.escape(old))
        if hit := re.match(pattern, key):
            return new.format(**hit.groupdict()) + key[hit.end():]
    return key
