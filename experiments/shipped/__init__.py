"""Records that ship with the suite: what the authors' runs of a profile gave, for those who do not run it.

A file holds of every stage its description and its record, and of every score what each clip contributes; no
checkpoints, no pictures, no data. `python -m experiments.commands.ship` writes it from finished runs, and
`--from-records` renders it.
"""

from __future__ import annotations

from pathlib import Path

STUDY = Path(__file__).parent / "study.tar.xz"
"""The records of profile `study`."""
