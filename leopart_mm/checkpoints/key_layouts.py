"""Key names of each program's checkpoints: one table per layout, read in both directions.

A file's names are two independent things: how its program names the backbone (`BACKBONE_LAYOUTS`) and how it names
the heads beside it (`HEAD_LAYOUTS`): NeCo's files are DINOv2's backbone with Leopart's heads. To add a layout:

1. Backbone with other names than timm's: a `KeyLayout` whose `sign` tells its keys from all others, inserted into
   `BACKBONE_LAYOUTS` before `TIMM`. Position embeddings and registers of another convention: `token_positions`.
2. Heads: a `HeadLayout` in `HEAD_LAYOUTS`, which says under which names, and in which shapes, of ours they are kept.
3. To write the layout too: a `FileLayout` in `conversion.TARGETS`.
4. A file of the layout in `tests/checkpoints/layouts.py`: every test then runs over it.
"""

import re
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

State = dict[str, Tensor]
Rules = tuple[tuple[str, str], ...]
Sign = Callable[[set[str]], bool]

# Our names of the heads that more than one program has.
PROJECTION = 'neck.mlp.'
PROTOTYPES = 'head.prototypes.'
CODE = 'neck.head.'  # of CodeHead
EMA_CODE = 'neck.ema.'
CLASS_PROTOTYPES = 'decode_head.weight_'  # of PrototypeHead: gains `g` (K, 1, 1, 1), directions `v` (K, C, 1, 1)
MOMENTUM_PROTOTYPES = 'teacher.decode_head.weight_'
CLUSTERS = 'decode_head.clusters'  # rows (K, C) that are read as class prototypes with gain 1
LINEAR_PROBE = 'linear_probe.'
CLASSIFIER = 'classifier.'  # has no place in our models; it is kept between the programs that have one


@dataclass(frozen=True)
class KeyLayout:
    """How a program names the tensors of a ViT, beside timm's names for them.

    A rule is a pair (foreign, timm) of beginnings of keys, in which `{name}` stands for a number; of several that fit,
    the first counts. Keys without a rule are the same in both.

    Args:
        name: What messages call the layout.
        sign: Whether these keys, without their prefix, are of the layout.
        rules: Used in both directions.
        gated: Rules for the two halves of a gated MLP (SwiGLU). Written only where the MLPs are gated: timm's names
            alone do not tell.
        aliases: Pairs (foreign, foreign) of names found in some files, renamed before the rules; never written.
    """

    name: str
    sign: Sign = lambda keys: True
    rules: Rules = ()
    gated: Rules = ()
    aliases: Rules = ()

    def to_timm(self, state: State, own: Container[str] = ()) -> State:
        """Rename foreign keys to timm's; those of `own`, the names that the network itself has, stay as they are."""
        rules = self.gated + self.rules
        return {key if key in own else _rename(_rename(key, self.aliases), rules): value
                for key, value in state.items()}

    def from_timm(self, state: State) -> State:
        """Rename timm's keys to the foreign ones."""
        rules = [(timm, foreign) for foreign, timm in (self.gated if is_gated(state) else ()) + self.rules]
        return {_rename(key, rules): value for key, value in state.items()}


@dataclass(frozen=True)
class HeadLayout:
    """How a program names the heads beside its backbone.

    Args:
        name: What messages call the layout.
        rules: Pairs (foreign, ours) of beginnings of keys.
        single: Foreign names, and ours, of a head that is a single Linear and therefore has no layer number. They are
            written where ours has that one layer only.
        backbones: Names of the backbone beside the heads; '' means that the heads share the backbone's prefix.
        keys: The only keys that count as heads; empty: every key that a rule fits.
        to_tensors: Brings a tensor, given its name of ours, to our shapes; it may become several tensors.
    """

    name: str
    rules: Rules
    single: Mapping[str, str] = field(default_factory=dict)
    backbones: tuple[str, ...] = ('', 'backbone.')
    keys: tuple[str, ...] = ()
    to_tensors: Callable[[str, Tensor], State] = lambda key, value: {key: value}

    def to_ours(self, key: str) -> str | None:
        """Our name of a head's tensor; None if the key is no head of this layout."""
        if self.keys and key not in self.keys:
            return None
        return self.single.get(key) or _replace_beginning(key, self.rules)

    def from_ours(self, keys: Collection[str]) -> dict[str, str]:
        """The layout's names of our heads' tensors; those that have no place in it are left out."""
        layers = {key.removeprefix(PROJECTION).split('.')[0] for key in keys if key.startswith(PROJECTION)}
        single = {ours: foreign for foreign, ours in self.single.items()} if layers == {'0'} else {}
        rules = [(ours, foreign) for foreign, ours in self.rules]
        names = {key: single.get(key) or _replace_beginning(key, rules) for key in keys}
        return {key: foreign for key, foreign in names.items() if foreign is not None}


def _has(pattern: str) -> Sign:
    return lambda keys: any(re.match(pattern, key) for key in keys)


def _is_eva(keys: set[str]) -> bool:
    """timm's Eva scales layers by `gamma_1`, as DeiT-3's own files do; these have positions and biases of qkv."""
    return any(re.match(r'blocks\.0\.attn\.(?:q_bias|q_proj\.)', key) for key in keys) or (
        'blocks.0.gamma_1' in keys and not {'pos_embed', 'blocks.0.attn.qkv.bias'} <= keys)


def _is_dinov2(keys: set[str]) -> bool:
    return 'register_tokens' in keys or ('mask_token' in keys and any('.ls1.gamma' in key for key in keys))


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

MMSEG = KeyLayout(
    'mmseg', _has(r'layers\.\d+\.attn\.attn\.in_proj_weight'),
    (*MM_RULES,
     ('layers.{i}.attn.attn.in_proj_', 'blocks.{i}.attn.qkv.'),
     ('layers.{i}.attn.attn.out_proj.', 'blocks.{i}.attn.proj.')), aliases=MM_ALIASES)
MMPRETRAIN = KeyLayout(
    'MMPretrain', _has(r'layers\.\d+\.(?:ln|norm|attn|ffn)'),
    (*MM_RULES,
     ('layers.{i}.attn.gamma1.weight', 'blocks.{i}.ls1.gamma'),
     ('layers.{i}.ffn.gamma2.weight', 'blocks.{i}.ls2.gamma'),
     ('layers.{i}.attn.', 'blocks.{i}.attn.')), MM_GATED, MM_ALIASES)
DINOV2 = KeyLayout(
    'DINOv2', _is_dinov2,
    gated=(('blocks.{i}.mlp.w12.', 'blocks.{i}.mlp.fc1.'), ('blocks.{i}.mlp.w3.', 'blocks.{i}.mlp.fc2.')),
    aliases=(('blocks.{chunk}.{i}.', 'blocks.{i}.'), ))  # training files cut the blocks into chunks
EVA = KeyLayout('timm Eva', _is_eva, aliases=(('fc_norm.', 'norm.'), ))  # which has one of the two
DEIT3 = KeyLayout('DeiT-3', _has(r'blocks\.\d+\.gamma_1'), (('blocks.{i}.gamma_{n}', 'blocks.{i}.ls{n}.gamma'), ))
POOLED = KeyLayout('timm with pooling before the norm', lambda keys: 'fc_norm.weight' in keys and
                   'norm.weight' not in keys, (('fc_norm.', 'norm.'), ))
# These name the backbone as timm does; what lies beside it in their training files tells them apart. Where only the
# backbone is left (DINO's backbone files, MoCo-v3, DeiT), the keys are timm's in every respect.
MAE = KeyLayout('MAE', lambda keys: 'decoder_pos_embed' in keys)
DINO = KeyLayout('DINO', _has(r'head\.last_layer\.|head\.mlp\.\d+\.'))
TIMM = KeyLayout('timm')

BACKBONE_LAYOUTS: list[KeyLayout] = [MMSEG, MMPRETRAIN, DINOV2, EVA, DEIT3, POOLED, MAE, DINO, TIMM]



def clusters_to_prototypes(key: str, value: Tensor) -> State:
    """Rows of clusters (K, C), compared by their cosine, as class prototypes: directions, and gains of 1.

    Their source is docs/methods/primaps.md §13, §14. Other tensors are returned as they are.
    """
    if key != CLUSTERS:
        return {key: value}
    return {f'{CLASS_PROTOTYPES}g': value.new_ones(len(value), 1, 1, 1),
            f'{CLASS_PROTOTYPES}v': value[..., None, None]}


OUR_HEADS = HeadLayout('leopart_mm', tuple(
    (name, name) for name in (PROJECTION, PROTOTYPES, CODE, EMA_CODE, CLASS_PROTOTYPES, MOMENTUM_PROTOTYPES,
                              LINEAR_PROBE)))
LEOPART_HEADS = HeadLayout(  # NeCo has these names too
    'Leopart', (('projection_head.', PROJECTION), ('prototypes.', PROTOTYPES)),
    single={f'projection_head.{part}': f'{PROJECTION}0.{part}' for part in ('weight', 'bias')})
TIMM_HEAD = HeadLayout('timm', (('head.', CLASSIFIER), ), backbones=('', ), keys=('head.weight', 'head.bias'))
MMPRETRAIN_HEAD = HeadLayout('MMPretrain', (('head.layers.head.', CLASSIFIER), ))

STEGO_HEADS = HeadLayout(  # docs/methods/primaps.md §13
    'STEGO', (('net.cluster1.', f'{CODE}cluster1.'), ('net.cluster2.', f'{CODE}cluster2.'),
              ('cluster_probe.clusters', CLUSTERS), (LINEAR_PROBE, LINEAR_PROBE)),
    backbones=('net.model.', ), to_tensors=clusters_to_prototypes)
HP_HEADS = HeadLayout(  # §14
    'HP', (('net_model_state_dict.cluster1.', f'{CODE}cluster1.'),
           ('net_model_state_dict.cluster2.', f'{CODE}cluster2.'),
           ('net_model_state_dict.ema_model1.', f'{EMA_CODE}cluster1.'),
           ('net_model_state_dict.ema_model2.', f'{EMA_CODE}cluster2.'),
           ('cluster_model_state_dict.clusters', CLUSTERS), ('linear_model_state_dict.', LINEAR_PROBE)),
    backbones=('net_model_state_dict.model.', ), to_tensors=clusters_to_prototypes)
# §15. The baseline trains its cluster centres alone, so what its file has as segmentation head is left out.
PRIMAPS_BASELINE = HeadLayout(
    'PriMaPs baseline', (('cluster_probe.cluster_centers.weight_', CLASS_PROTOTYPES), (LINEAR_PROBE, LINEAR_PROBE)),
    backbones=('net.model.', ))
PRIMAPS = HeadLayout(
    'PriMaPs', (('seghead.weight_', CLASS_PROTOTYPES), ('cluster_probe.ema_model.weight_', MOMENTUM_PROTOTYPES),
                (LINEAR_PROBE, LINEAR_PROBE)),
    backbones=('net.model.', ))

# Where two layouts name a head of ours, the first counts.
HEAD_LAYOUTS: list[HeadLayout] = [OUR_HEADS, LEOPART_HEADS, TIMM_HEAD, MMPRETRAIN_HEAD, STEGO_HEADS, HP_HEADS,
                                  PRIMAPS_BASELINE, PRIMAPS]


def find_layout(keys: Iterable[str]) -> KeyLayout:
    """The layout of a ViT's keys, without their prefix.

    >>> find_layout(['cls_token', 'register_tokens', 'norm.weight']).name
    'DINOv2'
    """
    keys = set(keys)
    return next(layout for layout in BACKBONE_LAYOUTS if layout.sign(keys))


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


def _replace_beginning(key: str, rules: Iterable[tuple[str, str]]) -> str | None:
    for old, new in rules:
        if key.startswith(old):
            return new + key.removeprefix(old)
    return None
