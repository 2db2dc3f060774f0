"""torchrun without its traceback: `python -m leopart_mm.cli.launch [flags of torchrun] TOOL [flags of the tool]`.

Where a process fails or is interrupted, it has said so (`run_tool`); torchrun would put 30 lines about itself below.
"""

import logging
import signal
import sys


def main() -> None:
    """Launch the processes, and exit with the status of the first that failed, or of the signal that stopped all."""
    from torch.distributed.elastic.multiprocessing import SignalException
    from torch.distributed.elastic.multiprocessing.errors import ChildFailedError
    from torch.distributed.run import parse_args, run
    args = parse_args(sys.argv[1:])
    logging.getLogger('torch.distributed.elastic').setLevel(logging.CRITICAL)
    logging.getLogger('torch.distributed.elastic.agent.server.api').setLevel(logging.CRITICAL)  # has a level of its own
    try:
        run(args)
    except SignalException as error:
        if error.sigval != signal.SIGINT:  # of which processes speak themselves
            print(f'All processes were stopped by {signal.Signals(error.sigval).name}.', file=sys.stderr)
        sys.exit(128 + error.sigval)
    except ChildFailedError as error:
        rank, failure = error.get_first_failure()
        print(describe_failure(rank, failure.exitcode), file=sys.stderr)
        sys.exit(failure.exitcode if failure.exitcode > 0 else 128 - failure.exitcode)


def describe_failure(rank: int, status: int) -> str:
    """What is said of the first process that failed.

    >>> describe_failure(1, 1)
    'Process 1 failed with status 1; its message is above.'
    >>> describe_failure(0, -9)
    'Process 0 was ended by SIGKILL: mostly the system does this where memory runs out (smaller batch, fewer workers).'
    """
    if status >= 0:
        return f'Process {rank} failed with status {status}; its message is above.'
    name = signal.Signals(-status).name
    cause = ': mostly the system does this where memory runs out (smaller batch, fewer workers).'
    return f'Process {rank} was ended by {name}' + (cause if name == 'SIGKILL' else '.')


if __name__ == '__main__':
    main()
