"""Every quantitative claim of the paper's text, as data: where it stands, what it says, and what that comes down to.

The arithmetic is done on `published.csv` and on what is measured; no result is written down here.
"""

from __future__ import annotations

from reports.claims.cells import Claim
from reports.claims.multi_task_claims import TASKS
from reports.claims.propagation_claims import DETAILS

CLAIMS: tuple[Claim, ...] = (*TASKS, *DETAILS)
"""In the paper's order."""
