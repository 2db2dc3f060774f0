"""Trials of a community search with optuna, that resume as if they had not been interrupted."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np

from leopart_mm.fingerprints import text_fingerprint
from leopart_mm.progress import progress


@dataclass(frozen=True)
class SearchSpace:
    """What is searched: (lowest, highest, step) of each setting.

    Args:
        num_clusters: Numbers of foreground clusters.
        weight_threshold: Edge thresholds.
        markov_time: Markov times.
    """

    num_clusters: tuple[int, int, int] = (99, 249, 10)
    weight_threshold: tuple[float, float, float] = (0.01, 0.1, 0.01)
    markov_time: tuple[float, float, float] = (0.1, 2., 0.1)

    def suggest(self, trial: Any) -> dict[str, Any]:
        """The settings of an optuna trial."""
        low, high, step = self.num_clusters
        settings: dict[str, Any] = dict(num_clusters=trial.suggest_int('num_clusters', low, high, step=step))
        for name in ('weight_threshold', 'markov_time'):
            low, high, step = getattr(self, name)
            settings[name] = trial.suggest_float(name, low, high, step=step)
        return settings


@dataclass(frozen=True)
class SearchResult:
    """The best trial.

    Args:
        value: Its value.
        settings: num_clusters, weight_threshold, markov_time.
        found: Further results of `score` for these settings.
        trials: Number of finished trials of the study, those of earlier runs included.
    """

    value: float
    settings: dict[str, Any]
    found: dict[str, Any]
    trials: int


def run_study(score: Callable[..., dict[str, Any]], space: SearchSpace, trials: int, seed: int = 1000,
              storage: Path | None = None, key: str = '',
              tell: Callable[[int, dict[str, Any], dict[str, Any]], None] = lambda *_: None) -> SearchResult:
    """Search for the settings of largest value (TPE).

    A search that is resumed from its storage makes the trials that an uninterrupted one makes: the sampler's random
    state follows from `seed` and the number of the trial. A trial that was interrupted is made again.

    Args:
        score: Called with a trial's settings by name; returns ``value`` and whatever else is to be recorded.
        space: Ranges of the settings that are searched.
        trials: Number of trials in all, those of earlier runs included.
        seed: Seed of the search.
        storage: SQLite file of the trials; None keeps them in memory.
        key: Fingerprint of all else that decides a trial's value. A storage holds one study per key, space and
            seed, so that searches on different data, checkpoints or settings never mix.
        tell: Called after each trial with its number (from 1), its settings, and what `score` returned.

    Raises:
        ValueError: If there is no trial at all.
    """
    import optuna
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=f'communities-{text_fingerprint(f"{key} {asdict(space)} {seed}")}', direction='maximize',
        load_if_exists=True, storage=None if storage is None else f'sqlite:///{storage}')
    finished = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    for trial in study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.RUNNING]):
        study.tell(trial.number, state=optuna.trial.TrialState.FAIL)  # of a run that was killed
    for number in progress(range(len(finished), trials), 'Searching', max(0, trials - len(finished))):
        study.sampler = optuna.samplers.TPESampler(seed=trial_seed(seed, number))
        trial = study.ask()
        settings = space.suggest(trial)
        found = score(**settings)
        for name, value in found.items():
            if name != 'value':
                trial.set_user_attr(name, value)
        study.tell(trial, found['value'])
        tell(number + 1, settings, found)
    finished = study.get_trials(deepcopy=False, states=[optuna.trial.TrialState.COMPLETE])
    if not finished:
        raise ValueError(f'There is no finished trial: --trials {trials} must be at least 1.')
    best = study.best_trial
    return SearchResult(best.value, dict(best.params), dict(best.user_attrs), len(finished))


def trial_seed(seed: int, number: int) -> int:
    """Seed of the sampler in a trial, whatever run makes it."""
    return int(np.random.SeedSequence((seed, number)).generate_state(1)[0])
