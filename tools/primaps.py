#!/usr/bin/env python
"""PriMaPs-EM in one command: mask proposals, first prototypes by k-means, EM, scores and pictures.

    python tools/primaps.py configs/primaps/primaps_dino-vits8_folder.py --images my/images --work-dir work_dirs/mine \
        --cfg-options num_classes=27 backbone=timm://vit_small_patch8_224.dino
    python tools/segment_folder.py other/images --checkpoint work_dirs/mine/result/model.pth --out out --overlay

Each stage has a folder of its own in the work folder. An interrupted run resumes; a stage whose settings, weights or
images have changed is run again, with all that depend on it.
"""

import argparse
import json
from pathlib import Path

from leopart_mm.cli import OptionAction, announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of PriMaPs-EM')
    parser.add_argument('--images', help='folder of the data (short for --cfg-options data_root=FOLDER)')
    parser.add_argument('--work-dir', type=Path, help='folder of the run (default: work_dirs/CONFIG)')
    parser.add_argument('--workers', type=int, metavar='N',
                        help='processes for the CRF of the proposals; no result depends on it (default: CPU cores)')
    parser.add_argument('--seed', type=int, help='random seed (short for --cfg-options randomness.seed=N)')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE',
                        help='for all stages; epochs=N is the length of EM, init_epochs=N that of the k-means before')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading config {args.config} ...')
    from leopart_mm.apis.primaps_run import load_configs, run_primaps
    from leopart_mm.apis.stages import outcome_lines
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.cli import config_name
    from leopart_mm.files import write_text_whole
    options = dict(args.cfg_options or {})
    if args.images is not None:
        options['data_root'] = args.images
    if args.seed is not None:
        options['randomness.seed'] = args.seed
    configs = load_configs(args.config, options)
    folder = args.work_dir or Path('work_dirs') / config_name(configs.em.filename)
    tune_cpu_allocator()
    outcomes = run_primaps(configs, folder, args.workers)
    print('\n'.join(outcome_lines(outcomes, folder)))
    scores = outcomes['result'].result
    selected_by = outcomes['em'].result.get('selected_by')
    if selected_by:
        print(f'Scores are those of the checkpoint with the best {selected_by} on the validation labels, not of the '
              'last one.')
        scores = dict(scores, selected_by=selected_by)
    write_text_whole(folder / 'scores.json', json.dumps(scores, indent=1) + '\n')
    for name, value in scores.items():
        if name.endswith(('aAcc', 'mIoU_defined')):
            print(f'{name}: {value:.2f}')
    print(f'The model is {folder / "result" / "model.pth"}; tools/segment_folder.py IMAGES --checkpoint FILE --out DIR '
          'segments other images.')


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command resumes: finished stages are kept.')
