"""Path `triton` where there is no GPU: in Triton's interpreter, compiled for an H100, refused, and failing."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.autograd import forward_ad

from mila.attention import InterFrameLocalAttention, choose_path, local_attention
from mila.kernels import band, fused, reference
from tests.support.attention_loop import maps, per_pixel
from tests.support.paths import ROOT


@pytest.mark.slow
def test_the_kernels_agree_with_the_loop_in_the_interpreter() -> None:
    """In a process of its own: Triton asks for the interpreter when it is imported."""
    words = [sys.executable, "-m", "pytest", "-x", "-q", "-p", "no:cacheprovider"]
    tests = Path(__file__).with_name("interpreted_fused.py")
    environment = {**os.environ, "TRITON_INTERPRET": "1", "OMP_NUM_THREADS": "1"}
    ran = subprocess.run([*words, str(tests)], cwd=ROOT, env=environment, capture_output=True, text=True)
    assert ran.returncode == 0, ran.stdout + ran.stderr


@pytest.fixture
def unrefused(monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernels are tried although the tensors are on the CPU."""
    monkeypatch.setattr("mila.kernels.fused.refusal", lambda *_: None)
    monkeypatch.setattr("mila.kernels.fused._failures", [])


@pytest.mark.usefixtures("unrefused")
def test_a_launch_that_fails_is_said_once_and_replaced() -> None:
    """Without a GPU every launch fails."""
    query, key, value = maps(1, 2, 3, 4, 5)
    expected = per_pixel(query, key, value, 3)
    with pytest.warns(
        RuntimeWarning, match=r"given up for 'band', which is slower: kernel 'attend' failed with"
    ) as said:
        out = local_attention(query, key, value, 3, "triton")
    assert len(said) == 1
    torch.testing.assert_close(out, expected)
    torch.testing.assert_close(local_attention(query, key, value, 3, "triton"), expected)  # warnings are errors here
    assert "kernel 'attend' failed" in str(fused.failure())


POINTERS = {torch.float32: "*fp32", torch.bfloat16: "*bf16", torch.float16: "*fp16"}


def compile_for_h100(kernel: str, _: object, tensors: tuple[Tensor, ...], *sizes: int, **options: int) -> int:
    """Compile what would be launched, down to the card's machine code; bytes of shared memory that it takes."""
    import triton
    from triton.backends.compiler import GPUTarget

    from mila.kernels import tiled_kernel, triton_kernels

    function: Any = getattr(tiled_kernel if kernel == "attend_tiles" else triton_kernels, kernel)
    chosen = {name: options.pop(name) for name in ("num_warps", "num_stages", "maxnreg") if name in options}
    types = [POINTERS[x.dtype] for x in tensors] + ["i32" if size != 1 else "constexpr" for size in sizes]
    signature = dict(zip(function.arg_names, types, strict=False))
    options |= {name: 1 for name, kind in signature.items() if kind == "constexpr"}  # as Triton itself does
    signature.update(dict.fromkeys(options, "constexpr"))
    assert sorted(signature) == sorted(function.arg_names)
    signature = {name: signature[name] for name in function.arg_names}
    aligned = [True] * len(tensors) + [size % 16 == 0 for size in sizes]  # what Triton finds out when it launches
    hints = {(i,): [["tt.divisibility", 16]] for i, holds in enumerate(aligned) if holds}
    constants = {(function.arg_names.index(name),): value for name, value in options.items()}
    source = triton.compiler.ASTSource(fn=function, signature=signature, constexprs=constants, attrs=hints)
    compiled = triton.compile(source, target=GPUTarget("cuda", 90, 32), options=chosen)
    assert len(compiled.asm["cubin"]) > 0
    return int(compiled.metadata.shared)


@pytest.mark.slow
@pytest.mark.usefixtures("unrefused")
@pytest.mark.parametrize(
    ("dtype", "layout", "window", "shape"),
    [
        (torch.float32, torch.contiguous_format, 5, (1, 36, 512, 33, 65)),
        (torch.bfloat16, torch.channels_last, 5, (4, 36, 512, 33, 65)),
        (torch.float16, torch.contiguous_format, 15, (4, 36, 512, 33, 65)),
        (torch.float32, torch.contiguous_format, 1, (1, 1, 1, 1, 1)),
    ],
)
def test_the_kernels_compile_for_an_h100(
    dtype: torch.dtype,
    layout: torch.memory_format,
    window: int,
    shape: tuple[int, int, int, int, int],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """At the paper's sizes, one image and a batch that takes larger tiles, and the smallest; no GPU is needed."""
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    shared: dict[str, int] = {}

    def compile_instead(kernel: str, grid: object, tensors: tuple[Tensor, ...], *sizes: int, **options: int) -> None:
        shared[kernel] = compile_for_h100(kernel, grid, tensors, *sizes, **options)

    monkeypatch.setattr("mila.kernels.fused._launch", compile_instead)
    query, key, value = (x.to(dtype, memory_format=layout).requires_grad_() for x in maps(*shape))
    local_attention(query, key, value, window, "triton").sum().backward()
    assert list(shared) == ["attend", "differentiate_scores", "sum_gradients"]
    with torch.no_grad():
        local_attention(query, key, value, window, "triton")
    tiled = dtype != torch.float32 and window > 3
    assert list(shared) == ["attend", "differentiate_scores", "sum_gradients", *(["attend_tiles"] if tiled else [])]
    assert max(shared.values()) <= 227 * 1024 // 3  # three programs a multiprocessor


@pytest.mark.slow
@pytest.mark.usefixtures("unrefused")
@pytest.mark.parametrize("window", [5, 15])
def test_tall_tiles_compile_for_an_h100(window: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    shared: list[int] = []

    def compile_instead(kernel: str, grid: object, tensors: tuple[Tensor, ...], *sizes: int, **options: int) -> None:
        assert options["TALL"] > 1
        shared.append(compile_for_h100(kernel, grid, tensors, *sizes, **options))

    monkeypatch.setattr("mila.kernels.fused._launch", compile_instead)
    monkeypatch.setattr("mila.kernels.fused._MANY_TILES", 0)
    query, key, value = (x.bfloat16() for x in maps(1, 64, 512, 9, 33))
    local_attention(query, key, value, window, "triton")
    assert len(shared) == 1
    assert max(shared) <= fused._TALL_SHARED


def test_tensors_on_a_cpu_do_not_take_the_kernels() -> None:
    query, key, value = maps(1, 2, 3, 4, 5)
    assert choose_path("auto", query, key, value, 3) == "dense"
    large, large_key, large_value = maps(1, 2, 3, 33, 65)
    assert choose_path("auto", large, large_key, large_value, 3) == "band"
    with pytest.raises(
        ValueError, match="cannot be taken here: it runs on an NVIDIA GPU, and the tensors are on 'cpu'"
    ):
        local_attention(query, key, value, 3, "triton")


def test_without_triton_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("mila.kernels.fused._has_triton", lambda: False)
    ila = InterFrameLocalAttention(3, embedding=2, window=3, path="triton")
    frame = torch.randn(1, 3, 4, 5)
    with pytest.raises(ValueError, match="'triton' cannot be taken here: Triton is not installed; take 'auto'"):
        ila(frame, frame, frame)


@pytest.mark.filterwarnings("ignore:`torch.jit.script` is deprecated:FutureWarning")  # PyTorch's own, as it begins
def test_forward_mode_differentiation_is_not_for_the_kernels(monkeypatch: pytest.MonkeyPatch) -> None:
    query, key, value = maps(1, 2, 3, 4, 5)
    monkeypatch.setattr(fused, "_forward", lambda *_: pytest.fail("a kernel was launched"))
    monkeypatch.setattr(band, "attention", reference.attention)  # which has such derivatives
    with forward_ad.dual_level():
        out = fused.attention(query, key, forward_ad.make_dual(value, torch.ones_like(value)), 3)
        tangent = forward_ad.unpack_dual(out).tangent
    torch.testing.assert_close(tangent, torch.ones_like(value))  # weights sum to 1
