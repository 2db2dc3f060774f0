"""The flags that MM users know, and `--cfg-options`, whose values stay text until the config is read."""

import argparse
from argparse import Action, ArgumentError, ArgumentParser, Namespace
from collections.abc import Sequence


class TypedText(str):
    """A value as it was typed on the command line."""


class OptionAction(Action):
    """Argparse action that collects KEY=VALUE pairs without interpreting the values.

    `leopart_mm.engine.options.interpret` does that later. MMEngine's own `DictAction` interprets at once, and so breaks
    paths: it drops blanks, splits at commas and turns digits into numbers.
    """

    def __call__(self, parser: ArgumentParser, namespace: Namespace, values: str | Sequence[str] | None,
                 option_string: str | None = None) -> None:
        """Add the pairs to the namespace; a key that is given twice takes the last value."""
        options = dict(getattr(namespace, self.dest, None) or {})
        for pair in [values] if isinstance(values, str) else values or ():
            key, equals, value = pair.partition('=')
            if not equals or not key.strip():
                raise ArgumentError(self, f"'{pair}' is not KEY=VALUE. If it is part of a value with blanks, quote the "
                                    "whole pair: 'data_root=/my pictures'.")
            options[key.strip()] = TypedText(value)
        setattr(namespace, self.dest, options)


def add_common_arguments(parser: ArgumentParser) -> None:
    """Add the flags that all tools with a config share."""
    parser.add_argument('--work-dir', help='folder for logs, checkpoints and metrics (default: work_dirs/CONFIG)')
    parser.add_argument('--amp', action='store_true', help='mixed precision')
    parser.add_argument('--no-pin-memory', action='store_true', help='no pinned memory in the data loaders')
    parser.add_argument('--no-persistent-workers', action='store_true', help='restart data workers every epoch')
    parser.add_argument(
        '--cfg-options', nargs='+', action=OptionAction, metavar='KEY=VALUE',
        help='override config values: key=value, nested.key=value, key="[a,b]". Variables of the config '
        '(data_root=..., checkpoint=..., iterations=..., ...) reach every place that uses them; '
        'backbone=timm://NAME.TAG (or backbone=FILE arch=NAME) names the network')
    parser.add_argument('--launcher', choices=['none', 'pytorch', 'slurm', 'mpi'], default='none', help='job launcher')
    # torch.distributed.launch of torch >= 2.0 passes --local-rank, older ones --local_rank.
    parser.add_argument('--local_rank', '--local-rank', type=int, default=0, help=argparse.SUPPRESS)
