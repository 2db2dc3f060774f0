"""How names of tensors go from one program to another, in both directions."""

import re
from collections.abc import Callable, Collection, Container, Iterable, Mapping
from dataclasses import dataclass, field

from torch import Tensor

State = dict[str, Tensor]
Rules = tuple[tuple[str, str], ...]
Sign = Callable[[set[str]], bool]
PROJECTION = 'neck.mlp.'  # our name of the projection head, whose layers are numbered


@dataclass(frozen=True)
class KeyLayout:
    """How a program names the tensors of a ViT, beside timm's names for them.

    A rule is a pair (foreign, timm) of beginnings of keys, in which `{name}` stands for a number; of several that fit,
    the first counts. Keys without a rule are the same in both.

    Args:
        name: What messages call the layout.
        sign: Whether these keys, without their prefix, are of the layout.
        rules: Used in both directions.
        gated: Rules for gated MLPs (SwiGLU), which count before the others where a key fits the first of them; written
            where the MLPs are gated.
        aliases: Pairs (foreign, foreign) of names found in some files, renamed before the rules; never written.
        to_tensors: Brings tensors, under timm's names by the rules, to timm's tensors; gets the file's name too.
        from_tensors: The way back.
    """

    name: str
    sign: Sign = lambda keys: True
    rules: Rules = ()
    gated: Rules = ()
    aliases: Rules = ()
    to_tensors: Callable[[State, str], State] = lambda state, name: state
    from_tensors: Callable[[State], State] = lambda state: state

    def to_timm(self, state: State, own: Container[str] = (), name: str = 'the checkpoint') -> State:
        """Foreign tensors as timm's; keys of `own`, the names that the network itself has, stay as they are.

        Raises:
            BackboneCheckpointError: If timm's networks cannot compute the same; `name` is what it calls the file.
        """
        return self.to_tensors(dict(zip(self.timm_names(state, own), state.values(), strict=True)), name)

    def from_timm(self, state: State) -> State:
        """timm's tensors as the foreign ones."""
        rules = [(timm, foreign) for foreign, timm in (self.gated if is_gated(state) else ()) + self.rules]
        return {_rename(key, rules): value for key, value in self.from_tensors(state).items()}

    def timm_names(self, keys: Iterable[str], own: Container[str] = ()) -> list[str]:
        """timm's names of foreign keys, or the names by which the tensors become timm's; for `own`, see `to_timm`."""
        keys = [key if key in own else _rename(key, self.aliases) for key in keys]
        is_gated = self.gated and any(_rename(key, self.gated[:1]) != key for key in keys)
        rules = (self.gated if is_gated else ()) + self.rules
        return [key if key in own else _rename(key, rules) for key in keys]

    def foreign_names(self, keys: Iterable[str]) -> list[str]:
        """The foreign names of tensors that are the same in timm, whatever the MLPs."""
        rules = [(timm, foreign) for foreign, timm in self.rules]
        return [_rename(key, rules) for key in keys]


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


def is_gated(state: State) -> bool:
    """Whether the MLPs of a state dict in timm's names are gated: the first layer gives two halves to the second."""
    return has_gated_shapes({key: tuple(value.shape) for key, value in state.items()})


def has_gated_shapes(shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """As `is_gated`, of the shapes of all tensors."""
    if 'blocks.0.mlp.fc1_g.weight' in shapes:
        return True
    first, second = shapes.get('blocks.0.mlp.fc1.weight'), shapes.get('blocks.0.mlp.fc2.weight')
    return first is not None and second is not None and first[0] == 2 * second[1]


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
