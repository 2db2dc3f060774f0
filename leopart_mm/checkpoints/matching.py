"""Matching a checkpoint of any known layout to a given network, with a report; never a silent partial load."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from timm.models import adapt_input_conv

from leopart_mm.checkpoints.key_layouts import DEIT3, EVA, find_layout
from leopart_mm.checkpoints.networks import VIT, NetworkKind, find_network, heads_by_periods
from leopart_mm.checkpoints.qkv_tensors import fit_eva_biases
from leopart_mm.checkpoints.renaming import State
from leopart_mm.checkpoints.safe_reading import BackboneCheckpointError
from leopart_mm.checkpoints.sources import describe_source, read_checkpoint
from leopart_mm.checkpoints.token_positions import fit_tokens
from leopart_mm.checkpoints.transformers_config import heads_by_config
from leopart_mm.checkpoints.vit_hints import vit_hints
from leopart_mm.files import shorten

# Where sizes, positions, norms and tokens tell no difference.
UNKNOWN_FIX = ('Either the file is incomplete or changed: copy or download it again. Or its network is another: change '
               'arch.')
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
        num_heads: Heads of a ViT's attention, compared with the checkpoint's where that tells; None: not compared.
    """

    arch: str
    shapes: Mapping[str, tuple[int, ...]]
    kind: NetworkKind = VIT
    grid: tuple[int, int] | None = None
    num_prefix_positions: int = 0
    drop_registers: bool = False
    num_heads: int | None = None

    @property
    def stem(self) -> tuple[int, ...] | None:
        """Shape (embed_dims, bands, patch size, patch size) of the first convolution."""
        return self.shapes.get(self.kind.stem)


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
        broken: Keys of the network whose values hold NaN or infinity.
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
    broken: list[str] = field(default_factory=list)
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
        BackboneCheckpointError: If the file holds no such network, or backbone keys are missing, unexpected,
            misshapen or not finite. The message names the file, the first such keys and what to change.
    """
    name = name or describe_source(source)
    arch = spec.arch if spec.kind is VIT else ''
    found = find_network(read_checkpoint(source, arch), key, name, spec.kind)
    state, layout = found.state, spec.kind.name
    if spec.kind is VIT:
        key_layout = find_layout(state)
        state, layout = key_layout.to_timm(state, spec.shapes, name), key_layout.name
        if key_layout is DEIT3 and 'blocks.0.gamma_1' in spec.shapes:  # both have the same keys: the arch decides
            layout = EVA.name
        _check_heads(heads_by_periods(state) or heads_by_config(source), spec, state, name)
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
    report.reshaped += fit_eva_biases(state, spec.shapes)
    _adapt_bands(state, spec, report)
    for counter in (name for name in spec.shapes if name.endswith(COUNTERS)):
        state.setdefault(counter, torch.tensor(0))
    _compare(state, spec, report)
    if report.missing or report.mismatched or report.unexpected:
        raise BackboneCheckpointError(_complaint(report, state, spec))
    if report.broken:
        raise BackboneCheckpointError(f'{name} holds NaN or infinity in {len(report.broken)} weights: '
                                      f'{shorten(report.broken)}. It is damaged, or of a training that diverged: '
                                      'copy or download it again, or take an earlier checkpoint.')
    return {name: state[name] for name in spec.shapes}, report


def _check_heads(found: int | None, spec: NetworkSpec, state: State, name: str) -> None:
    """Heads are seen in no shape: with another number the network would compute something else."""
    if None not in (found, spec.num_heads) and found != spec.num_heads and spec.stem == tuple(state[VIT.stem].shape):
        raise BackboneCheckpointError(f'{name} is a ViT with {found} attention heads, the config builds {spec.arch} '
                                      f'with {spec.num_heads}: set model_kwargs=dict(num_heads={found}).')


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
            if not state[name].float().sum().isfinite():  # a mask of all weights would take memory
                report.broken.append(name)
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
    hints = vit_hints(state, spec.shapes) if spec.kind is VIT else [
        'Change depth (or in_channels) in the config, or name another file.']
    return ' '.join(lines + (hints or [UNKNOWN_FIX]))


def _by(grid: tuple[int, int]) -> str:
    return f'{grid[0]}x{grid[1]}'
