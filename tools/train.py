#!/usr/bin/env python
"""Train a model: `python tools/train.py CONFIG`.

    python tools/train.py configs/leopart/leopart_dino-vits16_folder.py --cfg-options data_root=my/images
    bash tools/dist_train.sh CONFIG 4            # 4 GPUs
    python tools/train.py CONFIG --resume        # continue an interrupted run

training.html in the work folder shows the curves of the run, while it runs too.
"""

import argparse

from leopart_mm.cli import add_common_arguments, announce, run_tool


def build_parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description='Train a model.')
    parser.add_argument('config', help='training config file')
    parser.add_argument('--resume', nargs='?', const='auto', metavar='CHECKPOINT',
                        help='continue from this checkpoint; without a path, from the latest in the work folder')
    parser.add_argument('--no-validate', action='store_true', help='no evaluation during training')
    parser.add_argument('--auto-scale-lr', action='store_true', help='scale the learning rate with the batch size')
    parser.add_argument('--seed', type=int, help='random seed (short for --cfg-options randomness.seed=N)')
    parser.add_argument('--tensorboard', action='store_true',
                        help='write the curves for TensorBoard too (tensorboard --logdir WORK_DIR)')
    add_common_arguments(parser)
    return parser


def main(args: argparse.Namespace) -> None:
    announce(f'Reading config {args.config} ...')
    from mmengine.registry import RUNNERS

    from leopart_mm.compat import tune_cpu_allocator
    from leopart_mm.engine.by_images import choose_by_images
    from leopart_mm.engine.cli import add_tensorboard, add_training_page, config_from_args
    from leopart_mm.engine.console_runner import ConsoleRunner
    cfg = config_from_args(args)
    choice = choose_by_images(cfg, args.cfg_options, args.resume)
    if choice is not None and choice.options:
        args.cfg_options = {**(args.cfg_options or {}), **choice.options}
        cfg = config_from_args(args)
    if cfg.get('train_cfg') is None:
        raise ValueError(f'{args.config} is an evaluation, which trains nothing: tools/test.py runs it.')
    if args.no_validate:
        cfg.val_cfg = cfg.val_dataloader = cfg.val_evaluator = None
    if args.amp:
        cfg.optim_wrapper.type = 'leopart_mm.MixedPrecisionOptimWrapper'
    if args.resume == 'auto':
        cfg.resume, cfg.load_from = True, None
    elif args.resume:
        cfg.resume, cfg.load_from = True, args.resume
    if args.auto_scale_lr:
        if 'auto_scale_lr' not in cfg:
            raise KeyError(f'--auto-scale-lr needs auto_scale_lr=dict(base_batch_size=...) in {args.config}.')
        cfg.auto_scale_lr.enable = True
    if args.seed is not None:
        cfg.randomness = {**cfg.get('randomness', {}), 'seed': args.seed}
    add_training_page(cfg)
    if args.tensorboard:
        add_tensorboard(cfg)
    tune_cpu_allocator()
    runner = RUNNERS.build(cfg) if 'runner_type' in cfg else ConsoleRunner.from_cfg(cfg)
    if choice is not None:
        runner.logger.info(choice.text())
    runner.train()


if __name__ == '__main__':
    run_tool(build_parser(), main, resume='The same command with --resume continues from the latest checkpoint.')
