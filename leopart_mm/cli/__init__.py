"""What command-line tools need before the work begins; importing it loads the standard library only.

So `--help`, a mistyped option and the first line of a run appear at once: torch and OpenMMLab are imported by the work.
"""

from leopart_mm.cli.arguments import OptionAction, add_common_arguments
from leopart_mm.cli.running import announce, run_tool

__all__ = ['OptionAction', 'add_common_arguments', 'announce', 'run_tool']
