"""What of a backbone is trained, as one word: 'all', 'last_4', 'lora', 'lora_8' or 'lora_8_16'."""

import re
from dataclasses import dataclass

RANK = 8


@dataclass(frozen=True)
class Trainable:
    """What of a backbone is trained.

    Args:
        last: This number of last blocks alone; None: not restricted to them.
        rank: Rank of low-rank adapters, which alone are trained; None: the weights themselves are.
        alpha: The change that adapters make is scaled by alpha / rank.
    """

    last: int | None = None
    rank: int | None = None
    alpha: float | None = None

    @classmethod
    def parse(cls, text: str) -> 'Trainable':
        """Read the word that configs use.

        - 'all': everything (that `frozen_stages` or `trainable_blocks` leave).
        - 'last_N': the last N blocks; embeddings and final norm stay as they are.
        - 'lora', 'lora_RANK' or 'lora_RANK_ALPHA': low-rank adapters on queries, keys, values and MLP of all blocks;
          rank 8 and alpha = 2·rank where they are not given.

        >>> Trainable.parse('last_4'), Trainable.parse('lora').rank, Trainable.parse('lora_4_16').alpha
        (Trainable(last=4, rank=None, alpha=None), 8, 16.0)

        Raises:
            ValueError: If it is no such word.
        """
        if text == 'all':
            return cls()
        if found := re.fullmatch(r'last_(\d+)', str(text)):
            if int(found[1]) > 0:
                return cls(last=int(found[1]))
        elif found := re.fullmatch(r'lora(?:_(\d+)(?:_(\d+(?:\.\d+)?))?)?', str(text)):
            rank = int(found[1] or RANK)
            alpha = float(found[2] or 2 * rank)
            if rank > 0 and alpha > 0:
                return cls(rank=rank, alpha=alpha)
        raise ValueError(f"trainable={text!r} is unknown. Allowed: 'all', 'last_N' (such as 'last_4', the number of "
                         "last blocks), 'lora', 'lora_RANK' (such as 'lora_8') and 'lora_RANK_ALPHA'.")
