#!/usr/bin/env python
"""Evaluate a model: `python tools/test.py CONFIG CHECKPOINT`.

Models that fit something on the data first (overclustering, ...) do so here, then predict and are scored. A config
without a metric, for images without masks, is only described: how many labels occur, and how evenly.

    python tools/test.py CONFIG CHECKPOINT --show-dir pictures --out predictions
    python tools/test.py CONFIG CHECKPOINT --save-fitted fitted.pth   # keep the fitted model for new images
    python tools/test.py CONFIG fitted.pth --show-dir pictures --names names.yaml
"""

import argparse
from pathlib import Path

from leopart_mm.cli import add_common_arguments, announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Evaluate a model.')
    parser.add_argument('config', help='evaluation config file')
    parser.add_argument('checkpoint', nargs='?',
                        help='weights: a checkpoint of ours, or of DINO, MAE, timm, ... for the backbone; without '
                        'it, what the config itself loads')
    parser.add_argument('--out', metavar='DIR', help='folder for the predicted label maps (PNG, named as the images)')
    parser.add_argument('--show', action='store_true', help='show the pictures in a window')
    parser.add_argument('--show-dir', metavar='DIR', help='folder for the pictures')
    parser.add_argument('--names', metavar='FILE',
                        help='naming file of the clusters (tools/segment_folder.py writes one): its names and colours '
                        'are used in the pictures')
    parser.add_argument('--wait-time', type=float, default=2, help='seconds each window stays')
    parser.add_argument('--save-fitted', metavar='FILE', help='save the fitted model as a checkpoint')
    parser.add_argument('--tta', action='store_true', help='test-time augmentation (needs tta_model, tta_pipeline)')
    add_common_arguments(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading config {args.config} ...')
    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.cli import config_from_args
    from leopart_mm.engine.console_runner import ConsoleRunner
    cfg = config_from_args(args)
    if cfg.get('test_cfg') is None:
        raise ValueError(f'{args.config} trains a model and says nothing of its evaluation: give one such as '
                         'configs/leopart/overcluster/vits16_voc_k500.py.')
    if args.checkpoint is not None:
        cfg.load_from = args.checkpoint
    if args.show or args.show_dir:
        _draw_pictures(cfg, args)
    if args.amp:
        cfg.test_cfg.fp16 = True
    if args.tta:
        _augment(cfg, args)
    if not cfg.get('test_evaluator'):  # there is no ground truth to score with
        cfg.test_evaluator = dict(type='leopart_mm.LabelFreeMetric')
    if args.out is not None:
        evaluators = cfg.test_evaluator if isinstance(cfg.test_evaluator, list) else [cfg.test_evaluator]
        for evaluator in evaluators:
            prefix = evaluator.get('prefix')  # of metrics that each score a prediction of their own
            evaluator['output_dir'] = str(Path(args.out, prefix)) if prefix and len(evaluators) > 1 else args.out
            evaluator['keep_results'] = True
    if args.save_fitted is not None:
        cfg.test_cfg.save_fitted = args.save_fitted
    tune_cpu_allocator()
    ConsoleRunner.from_cfg(cfg).test()


def _draw_pictures(cfg, args: argparse.Namespace) -> None:
    hook = cfg.default_hooks.get('visualization')
    if hook is None:
        raise KeyError(f"--show and --show-dir need default_hooks.visualization in {args.config}, for example "
                       "visualization=dict(type='leopart_mm.ClusterVisualizationHook').")
    hook['draw'] = True
    if args.show:
        hook['show'], hook['wait_time'] = True, args.wait_time
    if args.names:
        hook['names'] = args.names
    if args.show_dir:
        cfg.visualizer['save_dir'] = args.show_dir


def _augment(cfg, args: argparse.Namespace) -> None:
    missing = [key for key in ('tta_model', 'tta_pipeline') if key not in cfg]
    if missing:
        raise KeyError(f'--tta needs {" and ".join(missing)} in {args.config}.')
    cfg.test_dataloader.dataset.pipeline = cfg.tta_pipeline
    cfg.tta_model.module = cfg.model
    cfg.model = cfg.tta_model


if __name__ == '__main__':
    run_tool(build_parser(), main)
