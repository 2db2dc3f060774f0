"""FittedState: fitted values as buffers that load completely or not at all."""

import json
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from leopart_mm.devices import has_float64, move
from leopart_mm.files import shorten


class NotFittedError(RuntimeError):
    """A prediction was asked of a module that was not fitted."""


class FittedState:
    """Mixin of the modules (heads, post-processors) that fit something without gradients.

    A subclass names its buffers in `STATE`, fills them with `keep` and describes the settings that they belong to with
    `settings`: a checkpoint that was fitted with different settings is refused as a whole. The mixin comes before the
    nn.Module among the base classes.

    Attributes:
        STATE: Names of the buffers that `fit` finds; `fitted` and `fit_info` are added.
        info: What was found, in words and numbers (dict); empty if unfitted.
    """

    STATE: tuple[str, ...] = ()

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.reset()

    def reset(self) -> None:
        """Forget what was fitted."""
        for name in self.STATE:
            self.register_buffer(name, torch.zeros(0))
        self.register_buffer('fitted', torch.tensor(False))
        self.register_buffer('fit_info', torch.zeros(0, dtype=torch.uint8))
        self._known_state: tuple[bool, dict[str, Any]] | None = None

    def settings(self) -> dict[str, Any]:
        """Plain values that the fitted ones depend on and `forward` must agree with."""
        return {}

    def settings_of_older(self, info: dict[str, Any], values: Mapping[str, Tensor]) -> dict[str, Any]:
        """`settings` of a checkpoint that was written before settings were recorded.

        Args:
            info: Its `info`.
            values: Its buffers, by the names in `STATE`.
        """
        return self.settings()

    @property
    def is_fitted(self) -> bool:
        """Whether `fit` ran or a fitted checkpoint was loaded."""
        return self._on_host()[0]

    @property
    def info(self) -> dict[str, Any]:
        """What was found; empty if unfitted."""
        return self._on_host()[1]

    def _on_host(self) -> tuple[bool, dict[str, Any]]:
        """`fitted` and `info`, read once: on a GPU a look at the buffers would make every prediction wait for it."""
        if self._known_state is None:
            self._known_state = bool(self.fitted), _read_record(self.fit_info)['info']
        return self._known_state

    def keep(self, values: Mapping[str, Tensor], info: Mapping[str, Any]) -> None:
        """Store the fitted values (one per name in `STATE`) and what is said about them.

        Raises:
            ValueError: If the names differ from `STATE`.
        """
        if set(values) != set(self.STATE):
            raise ValueError(f'{type(self).__name__} keeps {sorted(self.STATE)}, not {sorted(values)}.')
        device = self.fitted.device
        for name, value in values.items():
            setattr(self, name, move(value, device))
        record = json.dumps(dict(settings=self.settings(), info=dict(info)))
        self.fit_info = torch.tensor(list(record.encode()), dtype=torch.uint8, device=device)
        self.fitted = torch.tensor(True, device=device)
        self._known_state = None

    def _apply(self, fn: Callable[[Tensor], Tensor], recurse: bool = True) -> 'FittedState':
        """As nn.Module's (`to`, `cuda`, `half`, ...); float64 values stay on the CPU where the device has none."""
        exact = {name: getattr(self, name) for name in self.STATE if getattr(self, name).dtype == torch.float64}
        if not exact or has_float64(fn(torch.zeros(1)).device):
            return super()._apply(fn, recurse)
        for name in exact:
            setattr(self, name, None)
        super()._apply(fn, recurse)
        for name, value in exact.items():
            setattr(self, name, value.cpu())
        return self

    def require_fitted(self) -> None:
        """Raise NotFittedError unless something was fitted or loaded."""
        if not self.is_fitted:
            raise NotFittedError(f"{type(self).__name__} is not fitted: evaluate with test_cfg=dict(type="
                                 "'leopart_mm.FitTestLoop'), call model.fit(stream), or load a fitted checkpoint "
                                 '(tools/test.py --save-fitted FILE writes one).')

    def _load_from_state_dict(self, state_dict: dict, prefix: str, local_metadata: dict, strict: bool,
                              missing_keys: list[str], unexpected_keys: list[str], error_msgs: list[str]) -> None:
        """Load a complete fitted state, or (from a checkpoint of the backbone or the head alone) nothing.

        MMEngine loads non-strictly, which would take the flag `fitted` and skip values of another shape.
        """
        names = (*self.STATE, 'fitted', 'fit_info')
        given = {name: state_dict[prefix + name] for name in names if prefix + name in state_dict}
        if not given:
            return
        absent = [prefix + name for name in names if name not in given]
        foreign = sorted(key for key in state_dict if key.startswith(prefix) and key.removeprefix(prefix) not in names)
        if absent and foreign:
            raise ValueError(f'The checkpoint was fitted by another kind of model: the config has a '
                             f'{type(self).__name__} here, the checkpoint has {shorten(foreign)}. Evaluate it with the '
                             'config that it was fitted with, or fit it again from a checkpoint that is not fitted.')
        if absent:
            raise ValueError(f'The checkpoint holds only a part of a fitted {type(self).__name__}: '
                             f'{", ".join(absent)} is missing. Save the whole model again.')
        if bool(given['fitted']):
            record = _read_record(given['fit_info'])
            older = 'settings' not in record
            self._check_settings(self.settings_of_older(record['info'], given) if older else record['settings'])
        for name in names:
            place = torch.empty_like(given[name], device='cpu')
            setattr(self, name, move(place, self.fitted.device))
        super()._load_from_state_dict(state_dict, prefix, local_metadata, strict, missing_keys, unexpected_keys,
                                      error_msgs)
        self._known_state = None

    def _check_settings(self, saved: dict[str, Any]) -> None:
        ours = json.loads(json.dumps(self.settings()))
        differ = [f'{key}={saved.get(key)!r} (config: {ours.get(key)!r})' for key in sorted(saved.keys() | ours.keys())
                  if saved.get(key) != ours.get(key)]
        if differ:
            raise ValueError(f'The checkpoint holds a {type(self).__name__} fitted with {"; ".join(differ)}: change '
                             'the config, or fit again from a checkpoint that is not fitted.')


def _read_record(fit_info: Tensor) -> dict[str, Any]:
    """Settings and info of a `fit_info` buffer; `settings` is absent from files of before they were recorded."""
    if not fit_info.numel():
        return dict(info={})
    record = json.loads(bytes(fit_info.tolist()))
    return record if record.keys() == {'settings', 'info'} else dict(info=record)
