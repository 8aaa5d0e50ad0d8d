"""Local attention, ours by each path and as others write it, side by side in one run: time and peak memory.

python -m experiments.benchmarks.attention                                       on the processor, and on a GPU if any
python -m experiments.benchmarks.attention --device cpu --maps 33x65 --windows 3 5
python -m experiments.benchmarks.attention --device cuda --batch 8 --dtype bfloat16 --contenders ours-triton unfold

Every contender is checked against our plain path before it is timed, and stands alone: one that cannot run here, fails
or computes something else says so, and the others go on. "Of a copy" is how fast the maps pass that a forward pass must
read and write, each once, as a share of what a copy reaches on this machine.
"""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import torch
from rich.console import Console
from rich.table import Table
from torch import Tensor

from experiments.benchmarks.attention_contenders import CONTENDERS, Attention, Case, same_region
from experiments.benchmarks.taking_turns import Measured, copy_speed, failure_in_words, measure
from experiments.runner.workers import find_device
from mila.attention import Window, local_attention
from mila.common.arguments import given_path
from mila.common.console import exit_code_of, make_console
from mila.common.files import write_json
from mila.common.versions import environment
from mila.cuda_graphs import CudaGraphs
from mila.errors import UserError

_TYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
_TOLERANCES = {"float32": 1e-4, "bfloat16": 6e-2, "float16": 8e-3}
_BASELINE = "unfold"


@dataclass(frozen=True)
class Row:
    """A contender at one size.

    Attributes:
        map, window: height x width, and L.
        contender: its name.
        forward, with_backward: see `Measured`.
        ratio_forward, ratio_with_backward: the baseline's time by its own; None where either is missing.
        of_a_copy: see above, of a forward pass.
    """

    map: str
    window: Window
    contender: str
    forward: Measured
    with_backward: Measured
    ratio_forward: float | None
    ratio_with_backward: float | None
    of_a_copy: float | None


def main(words: list[str] | None = None) -> int:
    """Run the command line; returns the exit code."""
    parser = argparse.ArgumentParser(
        description=str(__doc__), formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False
    )
    add = parser.add_argument
    add("--device", choices=("all", "cpu", "cuda"), default="all", help="where (default: all)")
    add("--maps", metavar="HxW", nargs="+", default=["33x65", "37x49", "129x257"], help="sizes in pixels")
    add("--windows", metavar="L", nargs="+", default=[*map(str, range(3, 16, 2)), "global"], help="odd, or global")
    add("--contenders", metavar="NAME", nargs="+", default=list(CONTENDERS), help="some alone: " + " ".join(CONTENDERS))
    add("--batch", metavar="N", type=int, default=1, help="images at once (default: 1)")
    add("--embedding", metavar="N", type=int, default=36, help="channels of query and key (default: 36)")
    add("--channels", metavar="N", type=int, default=512, help="channels of the value (default: 512)")
    add("--dtype", choices=tuple(_TYPES), default="float32", help="of all maps (default: float32)")
    add("--repeats", metavar="N", type=int, default=9, help="rounds that count (default: 9)")
    add("--patience", metavar="SECONDS", type=float, default=2.0, help="what takes longer is timed once (default: 2)")
    add("--channels-last", action="store_true", help="maps have their channels last, as models have them")
    add("--replay", action="store_true", help="on a GPU: each as a CUDA graph, as streams and trainings run it")
    add("--results", metavar="FOLDER", type=given_path, default=Path("results"), help="where the record goes")
    options, console = parser.parse_args(words), make_console(width=140)
    return exit_code_of(lambda: _run(options, console), "the same command starts anew.")


def _run(options: argparse.Namespace, console: Console) -> int:
    for name in ("batch", "embedding", "channels", "repeats"):
        if getattr(options, name) < 1:
            raise UserError(f"--{name} takes a number from 1 up.")
    unknown = [name for name in options.contenders if name not in CONTENDERS]
    if unknown:
        raise UserError(f"--contenders: there is no {unknown[0]!r}; there are: {', '.join(CONTENDERS)}.")
    maps = [_read_map(word) for word in options.maps]
    windows = [_read_window(word) for word in options.windows]
    if options.device == "all":
        devices = ["cpu", "cuda"] if torch.cuda.is_available() else ["cpu"]
    else:
        devices = [find_device(options.device)]
    for device in devices:
        speed = copy_speed(device)
        rows = list[Row]()
        path = options.results / "attention" / f"{device}-{options.dtype}-batch{options.batch}.json"
        for height, width in maps:
            for window in windows:
                sizes = (options.batch, options.embedding, options.channels)
                case = Case(height, width, window, *sizes, _TYPES[options.dtype], device, options.channels_last)
                replay = options.replay and device == "cuda"
                rows += compare(case, options.contenders, options.repeats, options.patience, speed, replay=replay)
                _show(rows[-len(options.contenders) :], case, console)
                write_json(path, _record(rows, options, device, speed))  # by now, lest an interruption lose it
        console.print(f"A copy reads and writes {speed / 1e9:.1f} GB/s.\nRecord: {path.resolve()}", highlight=False)
    return 0


def _read_map(word: str) -> tuple[int, int]:
    found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", word)
    if not found:
        raise UserError(f"--maps takes sizes as 33x65, height first, not {word!r}.")
    return int(found[1]), int(found[2])


def _read_window(word: str) -> Window:
    if word == "global":
        return "global"
    if not re.fullmatch(r"\d*[13579]", word):
        raise UserError(f"--windows takes odd numbers and 'global', not {word!r}.")
    return int(word)


def compare(
    case: Case, names: Sequence[str], repeats: int, patience: float, speed: float, *, replay: bool = False
) -> list[Row]:
    """Every contender at one size, in turns.

    Args:
        case: the size.
        names: of the contenders.
        repeats: see `measure`, as for `patience`.
        patience: seconds.
        speed: of a copy, bytes a second.
        replay: each as a CUDA graph, as streams and trainings run it; only on a GPU. Memory is not measured then.
    """
    torch.compiler.reset()  # else compiled code of another size counts towards a limit
    tensors = case.tensors()
    query, key, value = (x.float() for x in tensors)
    expected = local_attention(query, key, value, case.window, "auto" if case.window == "global" else "reference")
    attentions: dict[str, Attention] = {}
    failed: dict[str, str] = {}
    for name in names:
        try:
            attentions[name] = CONTENDERS[name](case)
            _check(name, attentions[name], tensors, expected, case)
        except Exception as error:  # whatever a contender's compiler or kernel comes up with
            failed[name] = failure_in_words(error)
    leaves = [x.clone().requires_grad_() for x in tensors]
    sound = [name for name in names if name not in failed]
    found: list[dict[str, Measured]] = []
    for inputs in (tensors, leaves):
        calls = {name: _call(attentions[name], inputs) for name in sound}
        missing = {name: Measured(None, None, why) for name, why in failed.items()}
        for name, call in list(calls.items()) if replay else []:
            try:
                calls[name], _ = CudaGraphs().rehearsed(call, call)
            except Exception as error:  # whatever it does that no graph can hold
                missing[name] = Measured(None, None, f"no CUDA graph: {failure_in_words(error)}")
                del calls[name]
        found.append(missing | measure(calls, case.device, repeats, patience))
    return [_row(case, name, found[0], found[1], speed) for name in names]


def _check(name: str, attention: Attention, tensors: list[Tensor], expected: Tensor, case: Case) -> None:
    query, key, value = tensors
    out, want = (same_region(name, x, case.window) for x in (attention(query, key, value).float(), expected))
    difference = float((out - want).abs().max()) if out.numel() else 0.0
    tolerance = next(_TOLERANCES[word] for word, dtype in _TYPES.items() if dtype == case.dtype)
    if not difference <= tolerance:
        raise ValueError(f"its result differs by {difference:.2g}")


def _call(attention: Attention, tensors: list[Tensor]) -> Callable[[], object]:
    query, key, value = tensors

    def run() -> object:
        out = attention(query, key, value)
        return torch.autograd.grad(out.sum(), tensors) if query.requires_grad else out

    return run


def _row(case: Case, name: str, forward: dict[str, Measured], backward: dict[str, Measured], speed: float) -> Row:
    def ratio(found: dict[str, Measured]) -> float | None:
        ours, baseline = found[name].times, found[_BASELINE].times if _BASELINE in found else None
        return baseline.median / ours.median if ours and baseline else None

    times = forward[name].times
    values = case.batch * case.height * case.width * 2 * (case.embedding + case.channels)
    return Row(
        map=f"{case.height}x{case.width}",
        window=case.window,
        contender=name,
        forward=forward[name],
        with_backward=backward[name],
        ratio_forward=ratio(forward),
        ratio_with_backward=ratio(backward),
        of_a_copy=values * case.dtype.itemsize / speed / times.median if times else None,
    )


def _show(rows: list[Row], case: Case, console: Console) -> None:
    title = f"{case.height}x{case.width}, window {case.window}, batch {case.batch}, {case.device}, "
    title += str(case.dtype).removeprefix("torch.") + (", channels last" if case.channels_last else "")
    faster = f"{_BASELINE} / it"
    columns = ("contender", "forward, ms", faster, "MiB", "of a copy", "with backward, ms", faster, "MiB")
    table = Table(*columns, box=None, title=title, title_justify="left")
    for row in rows:
        if row.of_a_copy is not None:
            forward, back = _cells(row.forward, row.ratio_forward), _cells(row.with_backward, row.ratio_with_backward)
            table.add_row(row.contender, *forward, f"{100 * row.of_a_copy:.1f} %", *back)
    console.print(table)
    for row in rows:
        why, when = row.forward.failed, ""
        if not why:
            why, when = row.with_backward.failed, ", with backward"
        if why:
            console.print(f" {row.contender}{when}: {why}", highlight=False)
    console.print()


def _cells(found: Measured, ratio: float | None) -> list[str]:
    if found.times is None:
        return ["", "", ""]
    peak = f"{found.peak / 2**20:.1f}" if found.peak else ""
    return [f"{1e3 * found.times.median:.3f}", f"{ratio:.2f}" if ratio else "", peak]


def _record(rows: list[Row], options: argparse.Namespace, device: str, speed: float) -> dict[str, Any]:
    names = ("batch", "embedding", "channels", "dtype", "repeats", "patience", "channels_last", "replay")
    return {
        "finished": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "environment": environment(device) | {"triton": _triton_version()},
        "options": {name: getattr(options, name) for name in names},
        "copy_bytes_a_second": speed,
        "rows": [asdict(row) for row in rows],
    }


def _triton_version() -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version("triton")
    except PackageNotFoundError:
        return None


if __name__ == "__main__":
    sys.exit(main())
