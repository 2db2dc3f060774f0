"""Where the tests find things outside the repository; each may be absent."""

import os
from pathlib import Path

REPO = Path(__file__).resolve().parent.parent
SHARED = Path(os.environ.get('LEOPART_MM_SHARED', REPO.parent / 'shared'))
GOLDEN_ROOT = Path(os.environ.get('LEOPART_MM_GOLDEN', SHARED / 'golden')).expanduser().resolve()
