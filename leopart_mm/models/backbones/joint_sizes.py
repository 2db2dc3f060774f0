"""How a ViT's blocks are run: images of several sizes together, compiled, recomputed, without the dropped images."""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint as recompute

from leopart_mm.models.backbones.features import DenseFeatures
from leopart_mm.models.backbones.joint_blocks import require_joint_blocks, run_joint_block, runs_jointly
from leopart_mm.models.backbones.stochastic_depth import check_drop_path_mode, draws_of_blocks


class JointSizes:
    """Mixin for a transformer module with `blocks`, `out_indices`, `forward_dense`, `_embed` and `_to_map`."""

    joint_sizes: bool
    compiled: bool | Mapping
    drop_path_mode: str
    with_cp: bool

    def set_block_options(self, joint_sizes: bool, compiled: bool | Mapping, drop_path_mode: str,
                          with_cp: bool) -> None:
        """Take the options of `DenseViT`.

        Raises:
            ValueError: If the mode is unknown, or an option needs blocks of another kind.
        """
        check_drop_path_mode(drop_path_mode)
        for option, used in (('compiled', compiled), ("drop_path_mode='samples'", drop_path_mode == 'samples')):
            if used:
                require_joint_blocks(self.blocks, option)
        self.joint_sizes = joint_sizes and all(map(runs_jointly, self.blocks))
        self.compiled, self.drop_path_mode, self.with_cp = compiled, drop_path_mode, with_cp

    def forward_sizes(self, images: Sequence[Tensor]) -> list[DenseFeatures]:
        """Maps of batches of images of several sizes, those of `forward_dense` for each but for rounding.

        Args:
            images: Normalised (B, in_chans, H, W) of each size.

        Returns:
            For each size its maps and grid.
        """
        if len(images) == 1 or not self.joint_sizes:
            return [self.forward_dense(image) for image in images]
        tokens, grids, ropes = zip(*map(self._embed, images), strict=True)
        shapes = tuple(tuple(one.shape[:2]) for one in tokens)
        draws = draws_of_blocks(self.blocks, shapes, tokens[0].device, self.drop_path_mode)
        flat, outputs = torch.cat([one.flatten(0, 1) for one in tokens]), [{} for _ in shapes]
        for index in range(max(self.out_indices) + 1):
            flat = run_joint_block(self.blocks[index], flat, shapes, [one[index] for one in ropes], draws[index],
                                   self.compiled, self.with_cp)
            if index in self.out_indices:
                parts = flat.split([images * count for images, count in shapes])
                for part, shape, grid, output in zip(parts, shapes, grids, outputs, strict=True):
                    output[index] = self._to_map(part.unflatten(0, shape), index, grid)
        return [DenseFeatures(maps=tuple(output[index] for index in self.out_indices), grid=grid)
                for output, grid in zip(outputs, grids, strict=True)]

    def run_block(self, block: nn.Module, tokens: Tensor, rope: Tensor | None) -> Tensor:
        """Tokens (B, N, C) behind a block; `rope` rotates its queries and keys, see `block_rotations`."""
        if self.compiled or self.drop_path_mode == 'samples':
            shapes = tuple(tokens.shape[:2]),
            draws, = draws_of_blocks([block], shapes, tokens.device, self.drop_path_mode)
            flat = run_joint_block(block, tokens.flatten(0, 1), shapes, [rope], draws, self.compiled, self.with_cp)
            return flat.unflatten(0, shapes[0])
        rotation = {} if rope is None else dict(rope=rope)
        if self.with_cp and torch.is_grad_enabled():
            return recompute(block, tokens, use_reentrant=False, **rotation)
        return block(tokens, **rotation)
