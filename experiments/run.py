"""The path that users type: `python experiments/run.py`. See `experiments.commands.run`."""

from __future__ import annotations

import sys
from importlib.util import find_spec

if find_spec("rich") is None or find_spec("experiments") is None:
    sys.exit("error: the suite is not installed for this Python; run `nox -s env`, then use the Python in .nox/env.")

from experiments.commands.run import main

if __name__ == "__main__":
    sys.exit(main())
