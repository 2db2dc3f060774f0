"""The numbers of a training as curves that stay small, however long it runs, and go on after --resume."""

from collections.abc import Mapping
from typing import Any

Points = dict[str, list[float]]


class TrainingCurves:
    """Named curves of (step, value).

    The state is one plain dict that is changed in place: kept in MMEngine's message hub, it goes into every checkpoint
    as it is at that moment, and a resumed run goes on where the checkpoint was.

    Args:
        state: State of earlier curves; None: there are none yet.
        limit: Points per curve beyond which neighbours are averaged, so that half remain. At least 2.

    Attributes:
        state: ``dict(run=..., resumed=[steps], curves={name: dict(steps=[...], values=[...])})``.
    """

    def __init__(self, state: dict[str, Any] | None = None, limit: int = 1000) -> None:
        self.state = dict(run='', resumed=[], curves={}) if state is None else state
        self.limit = max(2, limit)

    @property
    def curves(self) -> dict[str, Points]:
        """Name -> ``dict(steps=[...], values=[...])``, in the order of the first values."""
        return self.state['curves']

    def add(self, step: int, values: Mapping[str, float]) -> None:
        """Add a point to each of some curves; a step that is there already is replaced."""
        for name, value in values.items():
            points = self.curves.setdefault(name, dict(steps=[], values=[]))
            if points['steps'] and points['steps'][-1] >= step:
                points['values'][-1] = float(value)
                continue
            points['steps'].append(int(step))
            points['values'].append(float(value))
            if len(points['steps']) > self.limit:
                points.update(halved(points))

    def resume(self, step: int, written: Mapping[str, Any] | None = None) -> None:
        """Note that the run goes on from a step.

        Args:
            step: Number of finished steps.
            written: State that a page of the same run holds. Of it come the points of validations that ran after the
                checkpoint had been saved, at the very step that it was saved at.
        """
        if not self.state['resumed'] or self.state['resumed'][-1] != step:
            self.state['resumed'].append(step)
        if not written or written.get('run') != self.state['run']:
            return
        for name, points in written.get('curves', {}).items():
            last = self.curves.get(name, {}).get('steps', [])[-1:] or [-1]
            for found, value in zip(points['steps'], points['values'], strict=True):
                if last[0] < found <= step and value is not None:
                    self.add(found, {name: value})


def halved(points: Points) -> Points:
    """The means of pairs of neighbours, at the later step; a last one without a partner stays.

    >>> halved(dict(steps=[10, 20, 30], values=[1., 2., 4.]))
    {'steps': [20, 30], 'values': [1.5, 4.0]}
    """
    steps, values = points['steps'], points['values']
    pairs = [values[start:start + 2] for start in range(0, len(values), 2)]
    return dict(steps=[steps[min(start + 1, len(steps) - 1)] for start in range(0, len(steps), 2)],
                values=[sum(pair) / len(pair) for pair in pairs])
