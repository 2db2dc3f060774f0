"""Where the tests find their data."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get('LEOPART_MM_SHARED', REPO.parent / 'shared'))
# The recorded outputs of the original implementations; LEOPART_MM_GOLDEN points the same checks at other files.
OWN_GOLDEN_ROOT = Path(__file__).resolve().parent / 'golden' / 'data'
GOLDEN_ROOT = Path(os.environ.get('LEOPART_MM_GOLDEN', OWN_GOLDEN_ROOT)).expanduser().resolve()
