"""Freezing parts of a transformer: they get no gradient and stay in evaluation mode."""

from collections.abc import Sequence

from torch import nn

from leopart_mm.models.backbones.low_rank import add_low_rank
from leopart_mm.models.backbones.trainable import Trainable


class FreezableBlocks:
    """Mixin for a transformer module with `blocks`: freezes its beginning, or all but chosen blocks.

    The module says by `stem_modules()` and `stem_parameters()` what precedes the blocks, by `norm` what follows, and by
    `unused_modules()` what is frozen in any case.
    """

    def stem_modules(self) -> list[nn.Module]:
        """Modules before the blocks."""
        raise NotImplementedError

    def stem_parameters(self) -> list[nn.Parameter]:
        """Parameters of the module itself (tokens, positions)."""
        raise NotImplementedError

    def unused_modules(self) -> list[nn.Module]:
        """Modules that no loss reaches."""
        return []

    def freeze(self, frozen_stages: int, trainable_blocks: int | Sequence[int] | None,
               trainable: str = 'all') -> None:
        """Freeze parts of the network.

        Args:
            frozen_stages: -1: nothing; 0: what precedes the blocks; n: also the first n blocks; the number of blocks:
                also the final norm.
            trainable_blocks: None: everything that `frozen_stages` leaves. An integer q: blocks[q:] alone. A list:
                these blocks alone.
            trainable: See `Trainable`. 'last_N' is trainable_blocks=-N; adapters go into the blocks that the other two
                leave, and all else is frozen.

        Raises:
            ValueError: If a number is out of range, or two arguments say which blocks are trained.
        """
        depth, chosen = len(self.blocks), Trainable.parse(trainable)
        if chosen.last is not None:
            if trainable_blocks is not None or frozen_stages >= 0:
                raise ValueError(f'trainable={trainable!r}, frozen_stages={frozen_stages} and '
                                 f'trainable_blocks={trainable_blocks} all say what is trained; leave two at their '
                                 'defaults.')
            if chosen.last > depth:
                raise ValueError(f'trainable={trainable!r}: {self.arch} has {depth} blocks.')
            trainable_blocks = -chosen.last
        if not -1 <= frozen_stages <= depth:
            raise ValueError(f'frozen_stages={frozen_stages} is out of range; -1 (nothing) to {depth} (all blocks of '
                             f'{self.arch} and the final norm) are allowed.')
        if trainable_blocks is not None and frozen_stages >= 0:
            raise ValueError(f'frozen_stages={frozen_stages} and trainable_blocks={trainable_blocks} both say what is '
                             'trained; leave one at its default.')
        self.frozen_stages = frozen_stages
        self.trainable_blocks = self._block_set(trainable_blocks)
        for module in self._frozen_modules():
            module.requires_grad_(False)
        if frozen_stages >= 0 or trainable_blocks is not None:
            for parameter in self.stem_parameters():
                parameter.requires_grad_(False)
        if chosen.rank is not None:
            if self.trainable_blocks is None:
                self.trainable_blocks = set(range(max(frozen_stages, 0), depth))
            add_low_rank(self, [self.blocks[index] for index in sorted(self.trainable_blocks)], chosen.rank,
                         chosen.alpha)

    def train(self, mode: bool = True) -> nn.Module:
        """Switch to training or evaluation mode; frozen parts stay in evaluation mode."""
        super().train(mode)
        for module in self._frozen_modules():
            module.eval()
        return self

    def check_blocks(self, indices: Sequence[int]) -> tuple[int, ...]:
        """Indices of blocks, counted from 0.

        Raises:
            ValueError: If there is none, or one is out of range.
        """
        depth = len(self.blocks)
        if not indices:
            raise ValueError('out_indices is empty; name at least one block.')
        for index in indices:
            if not -depth <= index < depth:
                raise ValueError(f'Block {index} is out of range; arch {self.arch} has {depth} blocks, so {-depth} to '
                                 f'{depth - 1} are allowed.')
        return tuple(index % depth for index in indices)

    def _block_set(self, blocks: int | Sequence[int] | None) -> set[int] | None:
        if blocks is None:
            return None
        if isinstance(blocks, int):
            return set(range(len(self.blocks))[self.check_blocks([blocks])[0]:])
        return set(self.check_blocks(blocks))

    def _frozen_modules(self) -> list[nn.Module]:
        unused = self.unused_modules()
        if self.trainable_blocks is not None:
            frozen = [block for index, block in enumerate(self.blocks) if index not in self.trainable_blocks]
            return [*self.stem_modules(), *frozen, self.norm, *unused]
        if self.frozen_stages < 0:
            return unused
        modules = [*self.stem_modules(), *self.blocks[:self.frozen_stages], *unused]
        return [*modules, self.norm] if self.frozen_stages == len(self.blocks) else modules
