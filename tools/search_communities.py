#!/usr/bin/env python
"""Search K, edge threshold and Markov time of community detection with optuna.

    python tools/search_communities.py configs/leopart/fully_unsup/vits16_voc.py CHECKPOINT --storage search.db

By default no label is looked at: settings are compared by the mutual information of labels and images, squared, per
entropy of the labels (`image_information`). --criterion ground-truth maximises the mIoU of the train split, as the
published search does. With --storage an interrupted search resumes with the trials that it would have made; each
combination of settings, checkpoint and data has its own study in that file.
"""

import argparse
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from leopart_mm.cli import add_common_arguments, announce, run_tool

if TYPE_CHECKING:
    from mmengine.config import Config

    from leopart_mm.apis.community_search import CommunitySearch

CRITERIA = ('image-information', 'ground-truth')  # those of leopart_mm.apis.community_search, which is slow to import


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config with CBFE, ForegroundClustering and CommunityDetection')
    parser.add_argument('checkpoint', nargs='?', help='weights')
    parser.add_argument('--criterion', choices=CRITERIA, default=CRITERIA[0])
    parser.add_argument('--trials', type=int, default=300, help='in all, those of earlier runs included (%(default)s)')
    parser.add_argument('--seed', type=int, default=1000, help='seed of the search (%(default)s)')
    parser.add_argument('--storage', type=Path, help='SQLite file of the trials; makes the search resumable')
    parser.add_argument('--clusters', type=int, nargs=3, default=(99, 249, 10), metavar=('LOW', 'HIGH', 'STEP'))
    parser.add_argument('--thresholds', type=float, nargs=3, default=(0.01, 0.1, 0.01), metavar=('LOW', 'HIGH', 'STEP'))
    parser.add_argument('--markov-times', type=float, nargs=3, default=(0.1, 2., 0.1), metavar=('LOW', 'HIGH', 'STEP'))
    parser.add_argument('--out', type=Path, help='also write the best settings to this JSON file')
    add_common_arguments(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading config {args.config} ...')
    try:
        import optuna  # noqa: F401
    except ImportError as error:
        raise SystemExit("tools/search_communities.py needs optuna: pip install 'leopart_mm[search]'.") from error
    from leopart_mm.apis.community_study import SearchSpace, run_study
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.files import write_text_whole
    from leopart_mm.folder_lock import lock_file
    tune_cpu_allocator()
    lock = None
    if args.storage is not None:
        args.storage = args.storage.expanduser()
        # one search at a time: the next takes the running trial of this one for that of a killed run
        lock = lock_file(args.storage.with_name(f'.{args.storage.name}.lock'), args.storage)
    search, key = prepare(args)
    space = SearchSpace(tuple(args.clusters), tuple(args.thresholds), tuple(args.markov_times))

    def tell(number: int, settings: dict, found: dict) -> None:
        print(f'{number}/{args.trials} {settings} -> {found}', flush=True)

    best = run_study(search.score, space, args.trials, args.seed, args.storage, key, tell)
    record = dict(criterion=args.criterion, value=best.value, trials=best.trials, **best.settings, **best.found)
    del lock
    print(f'Best by {args.criterion}: {json.dumps(record)}')
    print(f'--cfg-options model.postprocessors.clusters.num_clusters={best.settings["num_clusters"]} '
          f'model.postprocessors.communities.weight_threshold={best.settings["weight_threshold"]:.4g} '
          f'model.postprocessors.communities.markov_time={best.settings["markov_time"]:.4g}')
    if args.out is not None:
        write_text_whole(args.out, json.dumps(record, indent=1) + '\n')


def prepare(args: argparse.Namespace) -> tuple['CommunitySearch', str]:
    """Fit head and CBFE on the fit set and read its features for the trials; also the fingerprint of all that."""
    from leopart_mm.apis.community_search import CommunitySearch
    from leopart_mm.engine.cli import config_from_args
    from leopart_mm.engine.console_runner import ConsoleRunner
    from leopart_mm.engine.loops import FeatureStream
    from leopart_mm.models.fitting.chain import named_stages
    from leopart_mm.models.fitting.stage_stream import StageStream
    cfg = config_from_args(args)
    if args.checkpoint is not None:
        cfg.load_from = args.checkpoint
    stages = named_stages(cfg.get('model', {}).get('postprocessors') or {})
    if missing := [name for name in ('foreground', 'communities') if name not in stages]:
        raise ValueError(f'{args.config} has no stage {" and ".join(missing)} in model.postprocessors, so there are no '
                         'communities to search: give one such as configs/leopart/fully_unsup/vits16_small.py.')
    preferred = stages['communities'].get('preferred_modules', 20)
    map_size = tuple(stages['communities'].get('map_size', (100, 100)))
    cfg.model.postprocessors = dict(foreground=stages['foreground'])
    runner = ConsoleRunner.from_cfg(cfg)
    loop = runner.build_test_loop(cfg.test_cfg)
    runner.load_or_resume()
    model = runner.model.eval()
    stream = FeatureStream(model, loop.fit_dataloader, cache=loop.cache)
    try:
        model.fit(stream)
        search = CommunitySearch(StageStream(model, stream), map_size, preferred, args.criterion,
                                 len(loop.dataloader.dataset.metainfo['classes']))
    finally:
        stream.close()
    return search, search_key(cfg, args.criterion, preferred, map_size, loop.fit_dataloader.dataset)


def search_key(cfg: 'Config', criterion: str, preferred: int, map_size: tuple, dataset: Any) -> str:
    """Fingerprint of what decides the value of a trial: model, transforms, seed, criterion, checkpoint, data."""
    from leopart_mm.fingerprints import (
        dataset_files,
        file_fingerprint,
        files_fingerprint,
        settings_fingerprint,
    )
    fit = cfg.test_cfg.get('fit_dataloader') or cfg.test_dataloader  # its transforms: sizes of images
    settings = dict(model=cfg.model.to_dict(), data=fit.dataset.to_dict(), randomness=cfg.get('randomness'))
    checkpoint = file_fingerprint(cfg.load_from) if cfg.get('load_from') else ''
    return ' '.join(map(str, [settings_fingerprint(settings, [cfg.get('load_from'), fit.dataset.get('data_root')]),
                              criterion, preferred, map_size, checkpoint,
                              files_fingerprint(dataset_files(dataset))]))


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='With --storage the same command resumes the search.')
