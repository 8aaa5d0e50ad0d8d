"""Where things lie that tests read: the checkout, and real images beside it."""

from __future__ import annotations

from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
"""The checkout."""

SHARED = ROOT.parent / "shared" / "data"
"""Real images, where there are any."""
