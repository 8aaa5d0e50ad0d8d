"""The path that users type: `python experiments/run.py`. See `experiments.commands.run`."""

from __future__ import annotations

import signal
import sys
from importlib.util import find_spec

if find_spec("rich") is None or find_spec("experiments") is None:
    sys.exit("error: the suite is not installed for this Python; run `nox -s env`, then use the Python in .nox/env.")

if __name__ == "__main__":  # workers run this file as well, under another name: they are not kept waiting
    try:
        from experiments.commands.run import main

        code = main()
    except KeyboardInterrupt:  # while it was still starting
        print("\ninterrupted; the same command continues.", file=sys.stderr)
        code = 130
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # it has ended: nothing more is to be said
    sys.exit(code)
