"""StageChain: the post-processors of a segmentor, in order, known by name."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from leopart_mm.models.fitting.base import GRID, LEVELS, PIXEL, Postprocessor
from leopart_mm.models.fitting.requests import Requests
from leopart_mm.registry import MODELS

HEAD = 'head'  # what the head's prediction is called among those of the stages


class StageChain(nn.ModuleDict):
    """Post-processors by name. Stages at pixel level follow those on the grid.

    Args:
        stages: Name -> config of a Postprocessor, or a built one; None as config leaves a stage of a base config out.
            A list of configs is accepted too: a stage is then called after the class attribute `name`, and a second
            one of that name after its number too (``clusters_2``).
        order: Names in the order in which the stages run; stages that it does not name follow. None: as in `stages`.
            It matters for configs that MMEngine writes (into work folders and checkpoints): they sort the keys of
            dicts, and so `stages`, but not lists: a list keeps its own order.

    Raises:
        ValueError: If a name cannot be one, a config has no type, or a stage on the grid follows one at pixel level.
    """

    def __init__(self, stages: Mapping[str, Any] | Sequence[Any] = (), order: Sequence[str] | None = None) -> None:
        super().__init__()
        stages = in_order(named_stages(stages), (order or ()) if isinstance(stages, Mapping) else ())
        for name, stage in stages.items():
            if stage is not None:
                self._add(name, stage, stages)

    def _add(self, name: str, stage: Any, stages: Mapping[str, Any]) -> None:
        if not name.isidentifier() or name == HEAD:
            names = ', '.join(other for other in stages if other.isidentifier())
            raise ValueError(f'A post-processor cannot be called {name!r}: stages are set by name, not by number. '
                             f'Those of this model are: {names}.')
        if isinstance(stage, Mapping) and 'type' not in stage:
            names = ', '.join(other for other in stages if other != name)
            raise ValueError(f'The post-processor {name!r} has no type: give one, or mean another of {names}.')
        module = stage if isinstance(stage, nn.Module) else MODELS.build(stage)
        if module.level not in LEVELS:
            raise ValueError(f'{type(module).__name__}.level={module.level!r} is unknown; known are: '
                             f'{", ".join(LEVELS)}.')
        if module.level == GRID and self.at_level(PIXEL):
            raise ValueError(f'The post-processor {name!r} works on the patch grid, so it must come before '
                             f'{next(iter(self.at_level(PIXEL)))!r}, which works on pixels.')
        self[name] = module

    def before(self, name: str | None) -> dict[str, Postprocessor]:
        """The stages that come before `name`; None: all.

        Raises:
            KeyError: If there is no such stage.
        """
        if name is None:
            return dict(self.items())
        return {known: self[known] for known in self.names_before(name)}

    def names_before(self, name: str) -> list[str]:
        """Names of the stages that come before `name`; KeyError if there is no such stage."""
        names = list(self)
        if name not in names:
            raise KeyError(f'The model has no post-processor {name!r}; it has: {", ".join(names) or "none"}.')
        return names[:names.index(name)]

    def at_level(self, level: str) -> dict[str, Postprocessor]:
        """The stages on the 'grid', or those at 'pixel' level."""
        return {name: stage for name, stage in self.items() if stage.level == level}

    def stop_before(self, name: str) -> None:
        """Drop a stage and all that follow."""
        for dropped in list(self)[len(self.names_before(name)):]:
            del self[dropped]

    def title_of(self, name: str) -> str:
        """What the maps of a stage are called in pictures."""
        return self[name].title or name.replace('_', ' ')

    def requests(self, fitting: bool = False, pictures: bool = False) -> Requests:
        """What all stages together need, see `Postprocessor.requests`."""
        return Requests.union(stage.requests(fitting, pictures) for stage in self.values())

    def requests_of(self, name: str | None) -> Requests:
        """What batches must hold to fit the stage `name`, and to apply those before it; None: to apply all."""
        fitted = Requests() if name is None else self[name].requests(fitting=True)
        return Requests.union([fitted, *(stage.requests() for stage in self.before(name).values())])

    @property
    def is_fitted(self) -> bool:
        """Whether all stages are."""
        return all(stage.is_fitted for stage in self.values())

    def reset(self) -> None:
        """Let all stages forget what was fitted."""
        for stage in self.values():
            stage.reset()

    def _load_from_state_dict(self, state_dict: dict, prefix: str, *args: Any) -> None:
        """Checkpoints of before, in which stages had numbers, load by position."""
        for key in list(state_dict):
            number, _, rest = key[len(prefix):].partition('.')
            if key.startswith(prefix) and number.isdigit() and int(number) < len(self):
                state_dict[f'{prefix}{list(self)[int(number)]}.{rest}'] = state_dict.pop(key)
        super()._load_from_state_dict(state_dict, prefix, *args)


def named_stages(stages: Mapping[str, Any] | Sequence[Any]) -> dict[str, Any]:
    """Stages by name, also of a list; see StageChain.

    Raises:
        ValueError: If a type is not registered.
    """
    if isinstance(stages, Mapping):
        return dict(stages)
    named: dict[str, Any] = {}
    for stage in stages:
        kind = type(stage) if isinstance(stage, nn.Module) else MODELS.get(stage['type'])
        if kind is None:
            raise ValueError(f'The post-processor {stage["type"]!r} is not registered.')
        base = name = getattr(kind, 'name', None) or kind.__name__.lower()
        number = 1
        while name in named:
            number += 1
            name = f'{base}_{number}'
        named[name] = stage
    return named


def in_order(stages: Mapping[str, Any], order: Sequence[str]) -> dict[str, Any]:
    """Stages sorted by a list of names; those that are not in the list follow in their own order.

    >>> list(in_order(dict(clusters=1, foreground=2, smoothing=3), ['foreground', 'clusters', 'communities']))
    ['foreground', 'clusters', 'smoothing']
    """
    names = [*(name for name in order if name in stages), *(name for name in stages if name not in order)]
    return {name: stages[name] for name in names}
