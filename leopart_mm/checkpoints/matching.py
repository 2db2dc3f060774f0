"""Matching a checkpoint of any known layout to a given network, with a report; never a silent partial load."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.models import adapt_input_conv

from leopart_mm.checkpoints.key_layouts import State, find_layout
from leopart_mm.checkpoints.networks import VIT, NetworkKind, find_network
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.checkpoints.sources import describe_source, read_checkpoint
from leopart_mm.checkpoints.token_positions import fit_tokens
from leopart_mm.files import shorten

SIZES = {192: 'ViT-Ti', 384: 'ViT-S', 768: 'ViT-B', 1024: 'ViT-L', 1280: 'ViT-H', 1536: 'ViT-g'}
COUNTERS = 'num_batches_tracked'  # of batch norms; old files lack them, and nothing but training reads them


@dataclass(frozen=True)
class NetworkSpec:
    """What a network needs of a checkpoint.

    Args:
        arch: What messages call the network.
        shapes: Shape of every tensor of its state dict.
        kind: `VIT` or `RESNET`.
        grid: Stored position grid (rows, columns); None for a network without position embeddings.
        num_prefix_positions: Positions of class, distillation and register tokens before those of the patches.
        drop_registers: Whether register tokens of the checkpoint may be left out.
    """

    arch: str
    shapes: Mapping[str, tuple[int, ...]]
    kind: NetworkKind = VIT
    grid: tuple[int, int] | None = None
    num_prefix_positions: int = 0
    drop_registers: bool = False

    @property
    def stem(self) -> tuple[int, ...] | None:
        """Shape (embed_dims, bands, patch size, patch size) of the first convolution."""
        return self.shapes.get(self.kind.stem)

    @property
    def num_blocks(self) -> int:
        """Blocks of a ViT."""
        return _num_blocks(self.shapes)


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
        reshaped: What was changed to fit (position grid, image bands, adapters).
        ignored: Other keys under the prefix (heads, mask token, decoder).
        num_outside: Number of tensors outside the prefix.
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


def load_backbone_state(source: Any, spec: NetworkSpec, key: str | None = None,
                        name: str | None = None) -> tuple[State, LoadReport]:
    """Read a checkpoint and give the state dict that loads strictly into the network described by `spec`.

    Only `pos_embed` may come with another shape: that of the checkpoint's own grid (`report.grid`).

    Args:
        source: File, hub name, URL, or a state dict (maybe nested).
        spec: The network.
        key: 'student', 'teacher', a prefix, or None for the published choice, see `find_network`.
        name: What messages call the checkpoint; by default the file's name.

    Raises:
        BackboneCheckpointError: If the file holds no such network, or backbone keys are missing, unexpected or
            misshapen. The message names the file, the first such keys and what to change.
    """
    name = name or describe_source(source)
    arch = spec.arch if spec.kind is VIT else ''
    found = find_network(read_checkpoint(source, arch), key, name, spec.kind)
    state, layout = found.state, spec.kind.name
    if spec.kind is VIT:
        key_layout = find_layout(state)
        state, layout = key_layout.to_timm(state, spec.shapes), key_layout.name
    report = LoadReport(name, found.prefix, layout, num_outside=found.num_outside)
    if found.num_merged:
        report.reshaped.append(f'LoRA adapters merged into {found.num_merged} weights')
    if spec.grid is not None and 'pos_embed' in state:
        report.grid = fit_tokens(state, spec.num_prefix_positions, spec.grid, name)
        if report.grid != tuple(spec.grid):
            report.reshaped.append(f'position grid {_by(report.grid)} kept (the arch has {_by(spec.grid)})')
    if spec.drop_registers and 'reg_token' not in spec.shapes and 'reg_token' in state:
        del state['reg_token']
        report.reshaped.append('register tokens dropped')
    _adapt_bands(state, spec, report)
    for counter in (name for name in spec.shapes if name.endswith(COUNTERS)):
        state.setdefault(counter, torch.tensor(0))
    _compare(state, spec, report)
    if report.missing or report.mismatched or report.unexpected:
        raise BackboneCheckpointError(_complaint(report, state, spec))
    return {name: state[name] for name in spec.shapes}, report


def _adapt_bands(state: State, spec: NetworkSpec, report: LoadReport) -> None:
    """Repeat RGB filters over another number of bands, scaled so that activations keep their size (as timm does)."""
    stem, bands = state.get(spec.kind.stem), spec.stem[1] if spec.stem else 3
    if stem is not None and stem.ndim == 4 and stem.shape[1] == 3 and bands != 3:
        state[spec.kind.stem] = adapt_input_conv(bands, stem)
        report.reshaped.append(f'first convolution adapted from 3 to {bands} bands')


def _compare(state: State, spec: NetworkSpec, report: LoadReport) -> None:
    for name, shape in spec.shapes.items():
        if name not in state:
            report.missing.append(name)
        elif tuple(state[name].shape) != tuple(shape) and not (
                name == 'pos_embed' and _same_width(state[name].shape, shape)):
            report.mismatched[name] = tuple(state[name].shape), tuple(shape)
        else:
            report.matched.append(name)
    for name in sorted(state.keys() - spec.shapes.keys()):
        known = spec.kind.keys.match(name) and not spec.kind.heads.match(name)
        (report.unexpected if known else report.ignored).append(name)


def _same_width(a: tuple[int, ...], b: tuple[int, ...]) -> bool:
    return a[0] == b[0] and a[-1] == b[-1]


def _complaint(report: LoadReport, state: State, spec: NetworkSpec) -> str:
    lines = [f"{report.name} does not fit the backbone {spec.arch}. It was read in the {report.layout} layout under "
             f"the prefix '{report.prefix}'; {len(report.matched)} keys match."]
    if report.missing:
        lines.append(f'Missing ({len(report.missing)}): {shorten(report.missing)}.')
    if report.mismatched:
        shapes = [f'{name} {there} instead of {here}' for name, (there, here) in report.mismatched.items()]
        lines.append(f'Other shape ({len(shapes)}): {shorten(shapes, 3)}.')
    if report.unexpected:
        lines.append(f'Not in this backbone ({len(report.unexpected)}): {shorten(report.unexpected)}.')
    hints = _vit_hints(state, spec) if spec.kind is VIT else [
        'Change depth (or in_channels) in the config, or name another file.']
    return ' '.join(lines + hints)


def _vit_hints(state: State, spec: NetworkSpec) -> list[str]:
    """What to change in the config, as far as the keys tell."""
    hints = []
    stem = state.get(VIT.stem)
    if stem is not None and stem.ndim == 4 and spec.stem is not None:
        (width, bands, _, patch), (embed_dims, in_chans, _, patch_size) = stem.shape, spec.stem
        depth = _num_blocks(state)
        if width != embed_dims:
            hints.append(f'This looks like {_size(width)}, the config builds {_size(embed_dims)}: change arch.')
        elif depth != spec.num_blocks:
            hints.append(f'It has {depth} blocks, the config builds {spec.num_blocks}: change arch or model_kwargs.')
        if patch != patch_size:
            hints.append(f'Its patches are {patch} px wide, the config builds {patch_size}: change arch or '
                         'model_kwargs=dict(patch_size=...).')
        if bands not in (3, in_chans):
            hints.append(f'It was trained on {bands} bands: set in_chans={bands}.')
    if ('blocks.0.ls1.gamma' in state) != ('blocks.0.ls1.gamma' in spec.shapes):
        kind = 'has' if 'blocks.0.ls1.gamma' in state else 'lacks'
        hints.append(f'It {kind} LayerScale: choose the arch accordingly (DINOv2: *_dinov2) or set '
                     'model_kwargs=dict(init_values=1e-5).')
    if 'reg_token' in state and 'reg_token' not in spec.shapes:
        hints.append('It has register tokens: use a *_reg4_* arch, or drop_registers=True to leave them out.')
    if 'reg_token' not in state and 'reg_token' in spec.shapes:
        hints.append('It has no register tokens: use an arch without *_reg4_*.')
    if 'dist_token' in state and 'dist_token' not in spec.shapes:
        hints.append('It has a distillation token: use a deit_*_distilled_* arch.')
    return hints


def _num_blocks(keys: Mapping[str, Any]) -> int:
    return len({name.split('.')[1] for name in keys if name.startswith('blocks.')})


def _size(width: int) -> str:
    return f'{SIZES.get(width, "a ViT")} (width {width})'


def _by(grid: tuple[int, int]) -> str:
    return f'{grid[0]}x{grid[1]}'
