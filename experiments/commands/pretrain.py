"""Make the carried encoders and flow networks again, from which the small profiles start.

python -m experiments.commands.pretrain
python -m experiments.commands.pretrain --only street-resnet18 --out FOLDER

An interrupted run is continued by the same command.
"""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

from rich.console import Console

from experiments.commands.run_grid import print_failures
from experiments.pretraining import Pretraining, pretrainings
from experiments.profiles import QUICK
from experiments.runner.launch import launch
from experiments.runner.stage_functions import load_model
from experiments.runner.workers import default_jobs, find_device
from experiments.store import Store
from mila.carried import CARRIED
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.common.files import write_json
from mila.common.weights import write_carried
from mila.errors import UserError


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    console = make_console()
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--results", metavar="FOLDER", type=given_path, default=Path("results"), help="where stages go")
    parser.add_argument("--out", metavar="FOLDER", type=given_path, default=CARRIED, help="where the weights go")
    parser.add_argument("--only", metavar="NAME", nargs="+", help="of the networks, these alone")
    parser.add_argument("--jobs", metavar="N", type=int, help="stages at once (default: one a core, at most 4)")
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto", help="where to compute")
    options = parser.parse_args(words)
    return exit_code_of(lambda: _pretrain(options, console))


def _pretrain(options: argparse.Namespace, console: Console) -> int:
    wanted = {each.name: each for each in pretrainings(QUICK)}
    for name in options.only or ():
        if name not in wanted:
            raise UserError(f"there is no network {name!r} to pre-train; choose from: {', '.join(wanted)}.")
    if options.jobs is not None and options.jobs < 1:
        raise UserError("--jobs takes a number from 1 up.")
    chosen = [wanted[name] for name in options.only or wanted]
    store, device = Store(options.results / "store"), find_device(options.device)
    summary = launch([each.score for each in chosen], store, options.jobs or default_jobs(device), device, console)
    print_failures(summary)
    for each in chosen:
        if store.state(each.score) == "done":
            path = _carry(each, store, options.out)
            console.print(f"{path} ({path.stat().st_size / 1e6:.2f} MB)", highlight=False)
    return 2 if summary.bad_input else int(bool(summary.failed or summary.skipped))


def _carry(each: Pretraining, store: Store, out: Path) -> Path:
    """Write a finished network's weights, and beside them how they came to be."""
    weights = load_model(each.train, store).get_submodule(each.part).state_dict()
    path = write_carried(out, each.name, weights)
    training, score = store.record(each.train), store.record(each.score)
    about: dict[str, Any] = {
        "network": each.part,
        "of": training.stage["config"],
        "frames": each.train.data.manifest,
        "seconds": round(training.seconds),
        "finished": training.finished,
        "environment": training.environment,
        "curve": training.result["curve"],
        "scored_on": each.score.data.manifest,
        "metrics": score.result["metrics"],
    }
    write_json(path.with_suffix(".json"), about)
    return path


if __name__ == "__main__":
    sys.exit(main())
