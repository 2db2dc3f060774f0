#!/usr/bin/env python
"""MaskDistill in one command: masks, clusters, Mask R-CNN, label maps, DeepLab, and rounds with a CRF.

    python tools/maskdistill.py configs/maskdistill/maskdistill_dino-vits16_folder.py --images my/images \
        --work-dir work_dirs/mine --cfg-options num_clusters=27 masks.backbone=timm://vit_small_patch16_224.dino \
        clusters.backbone=timm://vit_small_patch8_224.dino detector.checkpoint=moco.pth.tar \
        deeplab.checkpoint=moco.pth.tar
    python tools/segment_folder.py other/images --checkpoint work_dirs/mine/model.pth --out out --overlay

Each stage has a folder of its own in the work folder; report.html shows them all. An interrupted run resumes; a stage
whose settings, weights or images have changed is run again, with all that depend on it.
"""

import argparse
from pathlib import Path

from leopart_mm.cli import OptionAction, announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument('config', help='config of a chain')
    parser.add_argument('--images', help='folder of the data (short for --cfg-options data_root=FOLDER)')
    parser.add_argument('--work-dir', type=Path, help='folder of the run (default: work_dirs/CONFIG)')
    parser.add_argument('--workers', type=int, metavar='N',
                        help='processes for masks and CRF; no result depends on it (default: CPU cores)')
    parser.add_argument('--seed', type=int, help='random seed of clusters and trainings')
    parser.add_argument('--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE',
                        help='of the chain; with masks., clusters., detector. or deeplab. in front, of the config of '
                        'that part, such as detector.iterations=400 or deeplab.epochs=5')
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading config {args.config} ...')
    from leopart_mm.apis.maskdistill_report import write_report, write_scores
    from leopart_mm.apis.maskdistill_run import MaskDistillRun
    from leopart_mm.apis.maskdistill_settings import load_chain
    from leopart_mm.apis.stages import outcome_lines
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.cli import config_name
    options = dict(args.cfg_options or {})
    if args.images is not None:
        options['data_root'] = args.images
    if args.seed is not None:
        options |= {f'{part}.randomness.seed': args.seed for part in ('detector', 'deeplab')}
        options['clusters.mask_clusters.seed'] = args.seed
    chain = load_chain(args.config, options)
    tune_cpu_allocator()
    run = MaskDistillRun(chain, args.work_dir or Path('work_dirs') / config_name(chain.filename), args.workers)
    folder = run.folder
    outcomes = run.run()
    print('\n'.join(outcome_lines(outcomes, folder)))
    run.keep_model(outcomes)
    scores, report = write_scores(run, outcomes), write_report(run, outcomes)
    for name, outcome in outcomes.items():
        for key, value in (outcome.result or {}).items():
            if key in ('mask_iou', 'accuracy', 'mIoU', 'mIoU_occurring', 'AP50_multi', 'AP50_single'):
                print(f'{name}/{key}: {value:.2f}')
    print(f'Open {report}; all numbers are in {scores}. tools/segment_folder.py IMAGES --checkpoint '
          f'{folder / "model.pth"} --out DIR segments other images.')


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command resumes: finished stages are kept.')
