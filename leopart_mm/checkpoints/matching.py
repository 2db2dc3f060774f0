"""Matching a checkpoint of any known layout to a DenseViT, with a report; never a silent partial load."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from timm.models import adapt_input_conv
from torch import Tensor

from leopart_mm.checkpoints.checkpoint_source import BackboneCheckpointError, find_vit, read_checkpoint
from leopart_mm.checkpoints.key_layouts import to_timm_keys
from leopart_mm.checkpoints.token_positions import fit_tokens

if TYPE_CHECKING:
    from leopart_mm.models.backbones.dense_vit import DenseViT

BACKBONE_KEY = re.compile(r'(cls_token|dist_token|reg_token|pos_embed)$|(patch_embed|norm_pre|blocks|norm)\.')
STEM = 'patch_embed.proj.weight'
SIZES = {192: 'ViT-Ti', 384: 'ViT-S', 768: 'ViT-B', 1024: 'ViT-L', 1280: 'ViT-H', 1536: 'ViT-g'}


@dataclass
class LoadReport:
    """What became of the keys of a checkpoint.

    Args:
        name: The file, or what stands for it.
        prefix: Text before the backbone's keys.
        layout: The layout recognised.
        grid: The checkpoint's position grid.
        matched: Keys of the network that were found with the right shape.
        missing: Keys of the network that were not found.
        mismatched: Key to (shape in the checkpoint, shape in the network).
        unexpected: Backbone keys of the checkpoint that the network lacks.
        reshaped: What was changed to fit (position grid, image bands).
        ignored: Other keys under the prefix (heads, mask token, decoder).
        num_outside: How many tensors lay outside the prefix.
    """

    name: str
    prefix: str
    layout: str
    grid: tuple[int, int] | None = None
    matched: list[str] = field(default_factory=list)
    missing: list[str] = field(default_factory=list)
    mismatched: dict[str, tuple[tuple, tuple]] = field(default_factory=dict)
    unexpected: list[str] = field(default_factory=list)
    reshaped: list[str] = field(default_factory=list)
    ignored: list[str] = field(default_factory=list)
    num_outside: int = 0

    def summary(self) -> str:
        """The report in one line."""
        total = len(self.matched) + len(self.missing) + len(self.mismatched)
        parts = [f"{self.name} ({self.layout} layout, prefix '{self.prefix}'): {len(self.matched)} of {total} keys "
                 'matched']
        if self.reshaped:
            parts.append('; '.join(self.reshaped))
        if self.ignored:
            parts.append(f'ignored {len(self.ignored)} other keys: {shorten(self.ignored)}')
        if self.num_outside:
            parts.append(f'{self.num_outside} tensors outside the prefix')
        return '. '.join(parts) + '.'


def shorten(keys: list[str], limit: int = 5) -> str:
    """The first keys of a list, for messages."""
    return ', '.join(keys[:limit]) + (', ...' if len(keys) > limit else '')


def load_backbone_state(source: Any,
                        vit: 'DenseViT',
                        key: str | None = None,
                        drop_registers: bool = False,
                        name: str | None = None) -> tuple[dict[str, Tensor], LoadReport]:
    """Read a checkpoint and give the state dict that loads strictly into `vit`.

    Only `pos_embed` may come with another shape: that of the checkpoint's own grid (`report.grid`).

    Args:
        source: File, hub name, URL, or a state dict (maybe nested).
        vit: The network; it is not changed.
        key: 'student', 'teacher', a prefix, or None for the published choice, see `find_vit`.
        drop_registers: Allow a checkpoint with register tokens for a network without them.
        name: What messages call the checkpoint; by default the file's name.

    Raises:
        BackboneCheckpointError: No ViT in the file, missing, unexpected or misshapen backbone keys. The message names
            the file, the first such keys and what to change.
    """
    name = name or ('the given state dict' if isinstance(source, Mapping) else f'{source}')
    found = find_vit(read_checkpoint(source, vit.arch), key, name)
    state, layout = to_timm_keys(found.state)
    report = LoadReport(name, found.prefix, layout, num_outside=found.num_outside)
    if vit.pos_embed is not None and 'pos_embed' in state:
        report.grid = fit_tokens(state, vit.num_prefix_positions, vit.grid_size, name)
        if report.grid != tuple(vit.grid_size):
            report.reshaped.append(f'position grid {_by(report.grid)} kept (the arch has {_by(vit.grid_size)})')
    if drop_registers and vit.reg_token is None and 'reg_token' in state:
        del state['reg_token']
        report.reshaped.append('register tokens dropped')
    _adapt_bands(state, vit, report)
    wanted = vit.state_dict()
    _compare(state, wanted, report)
    if report.missing or report.mismatched or report.unexpected:
        raise BackboneCheckpointError(_complaint(report, state, vit))
    return {name: state[name] for name in wanted}, report


def _adapt_bands(state: dict[str, Tensor], vit: 'DenseViT', report: LoadReport) -> None:
    """Repeat RGB filters over another number of bands, scaled so that activations keep their size (as timm does)."""
    stem, bands = state.get(STEM), vit.patch_embed.proj.in_channels
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3 and bands != 3:
        state[STEM] = adapt_input_conv(bands, stem)
        report.reshaped.append(f'patch embedding adapted from 3 to {bands} bands')


def _compare(state: dict[str, Tensor], wanted: dict[str, Tensor], report: LoadReport) -> None:
    for name, target in wanted.items():
        if name not in state:
            report.missing.append(name)
        elif state[name].shape != target.shape and not (name == 'pos_embed' and _same_width(state[name], target)):
            report.mismatched[name] = tuple(state[name].shape), tuple(target.shape)
        else:
            report.matched.append(name)
    for name in state.keys() - wanted.keys():
        (report.unexpected if BACKBONE_KEY.match(name) else report.ignored).append(name)
    report.unexpected.sort()
    report.ignored.sort()


def _same_width(a: Tensor, b: Tensor) -> bool:
    return a.shape[0] == b.shape[0] and a.shape[-1] == b.shape[-1]


def _complaint(report: LoadReport, state: dict[str, Tensor], vit: 'DenseViT') -> str:
    lines = [f"{report.name} does not fit the backbone {vit.arch}. It was read in the {report.layout} layout under the "
             f"prefix '{report.prefix}'; {len(report.matched)} keys match."]
    if report.missing:
        lines.append(f'Missing ({len(report.missing)}): {shorten(report.missing)}.')
    if report.mismatched:
        shapes = [f'{name} {there} instead of {here}' for name, (there, here) in report.mismatched.items()]
        lines.append(f'Other shape ({len(shapes)}): {shorten(shapes, 3)}.')
    if report.unexpected:
        lines.append(f'Not in this backbone ({len(report.unexpected)}): {shorten(report.unexpected)}.')
    return ' '.join(lines + _hints(state, vit))


def _hints(state: dict[str, Tensor], vit: 'DenseViT') -> list[str]:
    """What to change in the config, as far as the keys tell."""
    hints = []
    stem = state.get(STEM)
    depth = len({name.split('.')[1] for name in state if name.startswith('blocks.')})
    if stem is not None and stem.ndim == 4:
        width, bands, patch = stem.shape[0], stem.shape[1], stem.shape[-1]
        if width != vit.embed_dims:
            hints.append(f'This looks like {_size(width)}, the config builds {_size(vit.embed_dims)}: change arch.')
        elif depth != vit.num_layers:
            hints.append(f'It has {depth} blocks, the config builds {vit.num_layers}: change arch or model_kwargs.')
        if patch != vit.patch_size:
            hints.append(f'Its patches are {patch} px wide, the config builds {vit.patch_size}: change arch or '
                         'model_kwargs=dict(patch_size=...).')
        if bands not in (3, vit.patch_embed.proj.in_channels):
            hints.append(f'It was trained on {bands} bands: set in_chans={bands}.')
    if ('blocks.0.ls1.gamma' in state) != ('blocks.0.ls1.gamma' in vit.state_dict()):
        kind = 'has' if 'blocks.0.ls1.gamma' in state else 'lacks'
        hints.append(f'It {kind} LayerScale: choose the arch accordingly (DINOv2: *_dinov2) or set '
                     'model_kwargs=dict(init_values=1e-5).')
    if 'reg_token' in state and vit.reg_token is None:
        hints.append('It has register tokens: use a *_reg4_* arch, or drop_registers=True to leave them out.')
    if 'reg_token' not in state and vit.reg_token is not None:
        hints.append('It has no register tokens: use an arch without *_reg4_*.')
    if 'dist_token' in state and 'dist_token' not in vit.state_dict():
        hints.append('It has a distillation token: use a deit_*_distilled_* arch.')
    return hints


def _size(width: int) -> str:
    return f'{SIZES.get(width, "a ViT")} (width {width})'


def _by(grid: tuple[int, int]) -> str:
    return f'{grid[0]}x{grid[1]}'
