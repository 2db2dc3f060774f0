#!/usr/bin/env python
"""Search K, edge threshold and Markov time of community detection with optuna.

    python tools/search_communities.py configs/leopart/fully_unsup_vits16_voc.py CHECKPOINT --storage search.db

By default no label is looked at: settings are compared by `image_information` (labels should tell images apart without
waste). --criterion ground-truth maximises the mIoU of the train split, as the published search does. With --storage a
stopped search goes on where it stood.
"""

import argparse
import json
from pathlib import Path

import leopart_mm
from leopart_mm.apis.community_search import CRITERIA, CommunitySearch
from leopart_mm.engine.cli import add_common_arguments, config_from_args


def parse_args() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config with CBFE, ForegroundClustering and CommunityDetection')
    parser.add_argument('checkpoint', nargs='?', help='weights')
    parser.add_argument('--criterion', choices=CRITERIA, default=CRITERIA[0])
    parser.add_argument('--trials', type=int, default=300, help='in all, those of earlier runs included (%(default)s)')
    parser.add_argument('--seed', type=int, default=1000, help="optuna's (%(default)s)")
    parser.add_argument('--storage', type=Path, help='sqlite file of the trials; makes the search resumable')
    parser.add_argument('--clusters', type=int, nargs=3, default=(99, 249, 10), metavar=('LOW', 'HIGH', 'STEP'))
    parser.add_argument('--thresholds', type=float, nargs=3, default=(0.01, 0.1, 0.01), metavar=('LOW', 'HIGH', 'STEP'))
    parser.add_argument('--markov-times', type=float, nargs=3, default=(0.1, 2., 0.1), metavar=('LOW', 'HIGH', 'STEP'))
    parser.add_argument('--out', type=Path, help='also write the best settings to this JSON file')
    add_common_arguments(parser)
    return parser.parse_args()


def main() -> None:
    args = parse_args()
    try:
        import optuna
    except ImportError as error:
        raise SystemExit("tools/search_communities.py needs optuna: pip install 'leopart_mm[search]'.") from error
    leopart_mm.compat.tune_cpu_allocator()
    search = prepare(args)
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = optuna.create_study(
        study_name=f'communities-{args.criterion}', direction='maximize', load_if_exists=True,
        sampler=optuna.samplers.TPESampler(seed=args.seed),
        storage=None if args.storage is None else f'sqlite:///{args.storage}')

    def objective(trial: 'optuna.Trial') -> float:
        result = search.score(trial.suggest_int('num_clusters', *args.clusters[:2], step=args.clusters[2]),
                              trial.suggest_float('weight_threshold', *args.thresholds[:2], step=args.thresholds[2]),
                              trial.suggest_float('markov_time', *args.markov_times[:2], step=args.markov_times[2]))
        for key in ('edges', 'modules'):
            trial.set_user_attr(key, result[key])
        print(f'{len(study.trials)}/{args.trials} {trial.params} -> {result}', flush=True)
        return result['value']

    study.optimize(objective, n_trials=max(0, args.trials - len(study.trials)))
    best = study.best_trial
    record = dict(criterion=args.criterion, value=best.value, trials=len(study.trials), **best.params,
                  **best.user_attrs)
    print(f'Best by {args.criterion}: {json.dumps(record)}')
    print(f'--cfg-options model.postprocessors.1.num_clusters={best.params["num_clusters"]} '
          f'model.postprocessors.2.weight_threshold={best.params["weight_threshold"]:.4g} '
          f'model.postprocessors.2.markov_time={best.params["markov_time"]:.4g}')
    if args.out is not None:
        args.out.write_text(json.dumps(record, indent=1) + '\n')


def prepare(args: argparse.Namespace) -> CommunitySearch:
    """Fit head and CBFE on the fit set, and read its features once more for the trials."""
    from mmengine.runner import Runner

    from leopart_mm.engine.loops import FeatureStream
    from leopart_mm.models.fitting.stage_stream import StageStream
    cfg = config_from_args(args)
    if args.checkpoint is not None:
        cfg.load_from = args.checkpoint
    stages = cfg.model.postprocessors
    preferred = stages[2].get('preferred_modules', 20)
    map_size = tuple(stages[2].get('map_size', (100, 100)))
    cfg.model.postprocessors = stages[:1]
    runner = Runner.from_cfg(cfg)
    loop = runner.build_test_loop(cfg.test_cfg)
    runner.load_or_resume()
    model = runner.model.eval()
    model.need_reduced = True
    stream = FeatureStream(model, loop.fit_dataloader, cache=loop.cache or 'disk')
    model.fit(stream)
    return CommunitySearch(StageStream(model, stream, 1), map_size, preferred, args.criterion,
                           len(loop.dataloader.dataset.metainfo['classes']))


if __name__ == '__main__':
    main()
