"""Where tests find the checkout and the public tables, which are read in place and skipped where they are absent."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLIC_DATA = Path(os.environ.get("WINDTUNNEL_PUBLIC_DATA", ROOT.parent / "shared" / "data"))
