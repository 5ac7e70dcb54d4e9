"""Paths of the checkout and of the public tables. Tests that need an absent table skip."""

import os
from pathlib import Path

ROOT = Path(__file__).parents[2]
PUBLIC_DATA = Path(os.environ.get("WINDTUNNEL_PUBLIC_DATA", ROOT.parent / "shared" / "data"))
