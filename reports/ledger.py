"""Every quantitative claim of the paper's text, as data: where it stands, what it says, and what that comes down to.

The arithmetic is done on `published.csv` and on what is measured; no result is written down here.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from reports.statements import At, Ranks, Saves, Similar, Statement, Takes, Widens


@dataclass(frozen=True)
class Claim:
    """One claim.

    Attributes:
        where: its place in the paper.
        says: its words.
        statements: what it comes down to.
        remark: what else a reader should know, where the numbers alone do not say it.
    """

    where: str
    says: str
    statements: tuple[Statement, ...]
    remark: str = ""


_SINGLE, _MULTI, _MTAN, _STITCH = "D101-SingleTask", "D101-MultiTask", "MTAN*", "Cross-Stitch*"
_NYU_OTHERS = (_SINGLE, _MULTI, "MTAN-SegNet", "Cross-Stitch-SegNet", _MTAN, _STITCH, "MultiNet++*")
_CITY_OTHERS = (_SINGLE, _MULTI, "MTAN-SegNet", _MTAN, _STITCH, "MultiNet++")
_PLAIN, _UNSPECIFIC, _MILA = "MILA w/o MF&TS", "MILA w/o TS", "MILA"
_SMALL, _LARGE = "256x512", "1024x2048"


def _nyu(metric: str, *rows: str) -> tuple[At, ...]:
    return tuple(At(1, "nyuv2", row, metric) for row in rows)


def _city(metric: str, *rows: str) -> tuple[At, ...]:
    return tuple(At(2, "cityscapes", row, metric) for row in rows)


def _module(metric: str, size: str, *modules: str) -> tuple[At, ...]:
    return tuple(At(7, "", f"feature propagation module / {module} / {size}", metric) for module in modules)


def _losses(metric: str, *variants: str) -> tuple[At, ...]:
    return tuple(At(3, "cityscapes", f"MILA ablation of losses / D101-18 / {variant}", metric) for variant in variants)


def _windows(metric: str, *windows: str) -> tuple[At, ...]:
    return tuple(At(4, "cityscapes", f"MILA window / D101-18 / {window}", metric) for window in windows)


def _video(fast: int, k: int) -> tuple[At, At]:
    """ILA and optical flow in Tables 5 and 11."""
    table, start = 11 if fast == 50 else 5, f"19-class video segmentation / D101-{fast} / {k}"
    ila, flow = (At(table, "cityscapes", f"{start} / {kind}", "miou") for kind in ("ila", "optical flow"))
    return ila, flow


def _interval(fast: int, kind: int) -> tuple[At, At]:
    """ILA (0) or optical flow (1) at K = 5 and K = 10."""
    return _video(fast, 5)[kind], _video(fast, 10)[kind]


def _kinds(dataset: str, metric: str) -> tuple[At, At]:
    """ILA and SVC in Table 6."""
    ila, svc = (At(6, dataset, f"feature propagation / D101-18 / {kind}", metric) for kind in ("ila", "svc"))
    return ila, svc


def _first(about: str, cells: tuple[At, ...], place: int = 1) -> Ranks:
    return Ranks(about, cells[0], cells[1:], place)


def _saving(about: str, cells: tuple[At, ...], percent: int, *, exact: bool = False) -> Saves:
    return Saves(about, cells[0], cells[1:], percent, exact)


_ILA_SAVES = tuple(
    _saving(f"module alone, {size}", _module("gflops", size, "ila", "optical flow", "svc"), 90)
    for size in (_SMALL, _LARGE)
)
_ILA_LEADS = (
    *(_first(f"mIoU, D101-{f}, K = {k}: optical flow", _video(f, k)) for f, k in product((18, 34), (5, 10))),
    *(
        _first(f"mIoU, {name}: SVC", _kinds(d, "miou"))
        for d, name in (("cityscapes", "Cityscapes"), ("nyuv2", "NYUd v2"))
    ),
)

LEDGER: tuple[Claim, ...] = (
    Claim(
        "Abstract",
        "“reducing the number of floating point operations (FLOPs) by up to 70%” on two benchmarks",
        (_saving("NYUd v2, where it saves most", _nyu("gflops", _MILA, *_NYU_OTHERS), 70),),
    ),
    Claim(
        "Abstract; Section 1, third contribution",
        "ILA “outperforms prior work in terms of task accuracy while also reducing up to 90% of FLOPs”",
        (*_ILA_SAVES, *_ILA_LEADS),
    ),
    Claim(
        "Section 1, Figure 1 (Cityscapes)",
        "“on-par accuracy compared to the state-of-the-art … while reducing the number of FLOPs by up to 70%”",
        (
            _saving("Cityscapes, the data set of Figure 1", _city("gflops", _MILA, *_CITY_OTHERS), 70),
            Similar("mIoU", _city("miou", _MILA)[0], _city("miou", _MTAN, _STITCH), 0.5),
        ),
    ),
    Claim(
        "Section 1",
        "ILA “is much faster compared to existing feature propagation methods”",
        (
            _first(f"GFLOPs, {_SMALL}", _module("gflops", _SMALL, "ila", "optical flow", "svc")),
            _first(f"GFLOPs, {_LARGE}", _module("gflops", _LARGE, "ila", "optical flow", "svc")),
            _first("time a frame of the whole model: SVC", _kinds("cityscapes", "latency")),
        ),
        "The paper prints operations, no times.",
    ),
    Claim(
        "Section 3.2.1",
        "“Compared to state-of-the-art attention-based multi-task network [31], MILA achieves better accuracy with 54% "
        "reduction of FLOPs”",
        (
            _saving("NYUd v2: MTAN*", _nyu("gflops", _MILA, _MTAN), 54),
            _saving("Cityscapes: MTAN*", _city("gflops", _MILA, _MTAN), 54),
            _first("mIoU, NYUd v2", _nyu("miou", _MILA, _MTAN)),
            _first("mIoU, Cityscapes", _city("miou", _MILA, _MTAN)),
        ),
        "Section 4.3 gives 46 % for the same pair.",
    ),
    Claim(
        "Section 4.3",
        "“saving 70% of computational costs (236 vs. 70 GFLOPs) compared to Cross-Stitch”",
        (_saving("NYUd v2", _nyu("gflops", _MILA, _STITCH), 70),),
    ),
    Claim(
        "Section 4.3",
        "“saves 46% (70/151 GFLOPs) of computations compared to MTAN”",
        (_saving("NYUd v2", _nyu("gflops", _MILA, _MTAN), 46, exact=True),),
        "46 % is what remains; Section 3.2.1 gives the saving, 54 %.",
    ),
    Claim(
        "Section 4.3",
        "“We rank the 2nd for GFLOPs right after MultiNet++ but with much better accuracy”",
        (
            _first("GFLOPs, NYUd v2, MILA’s own variants left out", _nyu("gflops", _MILA, *_NYU_OTHERS), 2),
            _first("GFLOPs, Cityscapes, likewise", _city("gflops", _MILA, *_CITY_OTHERS), 2),
            _first("mIoU, NYUd v2: MultiNet++", _nyu("miou", _MILA, "MultiNet++*")),
        ),
    ),
    Claim(
        "Section 4.3",
        "NYUd v2: “we outperform other approaches for depth estimation and one metric of mIOU for semantic "
        "segmentation, with ranked 2nd segmentation accuracy”",
        (
            _first("depth, absolute", _nyu("depth_abs", _MILA, *_NYU_OTHERS)),
            _first("depth, relative", _nyu("depth_rel", _MILA, *_NYU_OTHERS)),
            _first("mIoU", _nyu("miou", _MILA, *_NYU_OTHERS)),
            _first("pixel accuracy", _nyu("pixel_acc", _MILA, *_NYU_OTHERS), 2),
        ),
    ),
    Claim(
        "Section 4.3",
        "NYUd v2: “slightly worse performance for normal estimation than Cross-Stitch”",
        (_first("mean angle: Cross-Stitch* first", _nyu("normal_mean", _STITCH, _MILA)),),
    ),
    Claim(
        "Section 4.3",
        "Cityscapes: “MILA outperforms all other methods for depth estimation and achieves the best accuracy for "
        "semantic segmentation, while ranking the 2nd for mIOU”",
        (
            _first("depth, absolute", _city("depth_abs", _MILA, *_CITY_OTHERS)),
            _first("depth, relative", _city("depth_rel", _MILA, *_CITY_OTHERS)),
            _first("pixel accuracy", _city("pixel_acc", _MILA, *_CITY_OTHERS)),
            _first("mIoU", _city("miou", _MILA, *_CITY_OTHERS), 2),
        ),
    ),
    Claim(
        "Section 4.3, ablation",
        "“‘MILA w/o MF&TS’ achieves similar performance as D101-MultiTask while saving 48% computations”",
        (
            _saving("NYUd v2", _nyu("gflops", _PLAIN, _MULTI), 48),
            _saving("Cityscapes", _city("gflops", _PLAIN, _MULTI), 48),
            Similar("mIoU, NYUd v2", _nyu("miou", _PLAIN)[0], _nyu("miou", _MULTI), 0.5),
            Similar("mIoU, Cityscapes", _city("miou", _PLAIN)[0], _city("miou", _MULTI), 0.5),
        ),
    ),
    Claim(
        "Section 4.3, ablation",
        "“MILA outperforms D101-MultiTask and reduces 25% of computations”",
        (
            _saving("NYUd v2", _nyu("gflops", _MILA, _MULTI), 25),
            _saving("Cityscapes", _city("gflops", _MILA, _MULTI), 25),
            _first("mIoU, NYUd v2", _nyu("miou", _MILA, _MULTI)),
            _first("mIoU, Cityscapes", _city("miou", _MILA, _MULTI)),
        ),
    ),
    Claim(
        "Section 4.3, ablation; Table 3",
        "“the local attention module alone does not greatly improve the performances … combined with the proposed "
        "losses, it significantly increases the accuracy”",
        (
            Similar("mIoU: ILA alone and concatenation", _losses("miou", "ila")[0], _losses("miou", "none"), 0.5),
            _first("mIoU: ILA with both losses", _losses("miou", "l1+adv+ila", "none", "l1", "ila", "l1+ila")),
        ),
    ),
    Claim(
        "Section 3.3; Table 3; appendix E",
        "The losses “do not increase GFLOPs in inference time”",
        (Similar("GFLOPs: with both and without", _losses("gflops", "l1+adv+ila")[0], _losses("gflops", "ila"), 0.0),),
    ),
    Claim(
        "Section 4.3; Table 4",
        "“ILA is not sensitive to small changes in the window size, but performance drops significantly when the "
        "window size is global … a small window size is faster”",
        (
            Similar("mIoU: 3 × 3 to 7 × 7", _windows("miou", "5x5")[0], _windows("miou", "3x3", "7x7"), 0.5),
            _first("mIoU: 5 × 5 and global", _windows("miou", "5x5", "global(64)")),
            _first("GFLOPs: 3 × 3 first", _windows("gflops", "3x3", "5x5", "7x7", "15x15", "global(64)")),
            _first("time a frame: 3 × 3 first", _windows("latency", "3x3", "5x5", "7x7", "15x15", "global(64)")),
        ),
        "thop does not see the sums of attention, so as the paper counts every window costs the same.",
    ),
    Claim(
        "Section 4.4; Table 5",
        "“Feature propagated with ILA obtains higher accuracy than optical flow-based warping”",
        tuple(_first(f"D101-{f}, K = {k}", _video(f, k)) for f, k in product((18, 34, 50), (5, 10))),
    ),
    Claim(
        "Section 4.4",
        "“the accuracy improvements of ILA are more evident in the higher keyframe interval”",
        tuple(Widens(f"D101-{f}: lead at K = 5, then 10", _video(f, 5), _video(f, 10)) for f in (18, 34, 50)),
    ),
    Claim(
        "Section 4.4; Table 6",
        "“ILA outperforms all other methods in the two datasets while requiring less computational burden”",
        (
            *(
                _first(f"{what}, {name}: SVC", _kinds(dataset, metric))
                for dataset, name in (("cityscapes", "Cityscapes"), ("nyuv2", "NYUd v2"))
                for metric, what in (("miou", "mIoU"), ("depth_abs", "depth, absolute"))
            ),
            _first("GFLOPs, Cityscapes: SVC", _kinds("cityscapes", "gflops")),
        ),
        "The text also speaks of optical flow in Table 6, which has no such row.",
    ),
    Claim(
        "Section 4.4; Table 7",
        "“ILA consists of only one convolutional layer, making it much more memory efficient than the other two "
        "methods”",
        (
            _first("convolutions", _module("conv_layers", _SMALL, "ila", "optical flow", "svc")),
            _first("parameters, M", _module("params_millions", _SMALL, "ila", "optical flow", "svc")),
        ),
    ),
    Claim(
        "Section 4.4; Table 7",
        "“other methods require more computations than ILA and the gain is more evident when the input size is larger”",
        tuple(
            Widens(
                f"{name} / ILA, {_SMALL}, then {_LARGE}",
                (_module("gflops", _SMALL, "ila")[0], _module("gflops", _SMALL, module)[0]),
                (_module("gflops", _LARGE, "ila")[0], _module("gflops", _LARGE, module)[0]),
                ratio=True,
            )
            for module, name in (("optical flow", "optical flow"), ("svc", "SVC"))
        ),
        "The difference in GFLOPs grows with the input, the ratio does not.",
    ),
    Claim(
        "Section 4.4; Table 7",
        "“ILA takes only 4% (0.2/5.4 GFLOPs) of computations in the SVC feature propagation”",
        tuple(
            Takes(size, _module("gflops", size, "ila")[0], _module("gflops", size, "svc")[0], 4)
            for size in (_SMALL, _LARGE)
        ),
    ),
    Claim(
        "Appendix A; Table 8",
        "with ResNet101 “the performance for MTAN, Cross-Stitch … gets improved”",
        tuple(
            _first(
                f"mIoU, {name}",
                (
                    At(8, "cityscapes", f"{name}-ResNet101", "miou"),
                    At(8, "cityscapes", f"{name}-SegNet", "miou"),
                ),
            )
            for name in ("MTAN", "Cross-Stitch")
        ),
    ),
    Claim(
        "Appendix A.1; Table 9",
        "“MILA achieves the similar performance on different weighting strategies”",
        (
            Similar(
                "mIoU",
                At(9, "cityscapes", "MILA weighting / D101-18 / equal", "miou"),
                tuple(At(9, "cityscapes", f"MILA weighting / D101-18 / {w}", "miou") for w in ("uncertainty", "dwa")),
                0.5,
            ),
        ),
    ),
    Claim(
        "Appendix B; Table 10",
        "Slow network only: “In all cases, using our feature propagation method shows significant improvements on the "
        "depth estimation task”",
        tuple(
            _first(
                f"{what}, D{depth}",
                (
                    At(10, "cityscapes", f"D{depth}-Multi + Ours / 1", metric),
                    At(10, "cityscapes", f"D{depth}-Multi / 1", metric),
                ),
            )
            for depth in (101, 50, 18)
            for metric, what in (("depth_abs", "absolute"), ("depth_rel", "relative"))
        ),
    ),
    Claim(
        "Appendix C; Tables 5 and 11",
        "ILA “is more robust to different keyframe interval”",
        tuple(
            Widens(f"D101-{f}: lost from K = 5 to 10 by ILA, then by optical flow", _interval(f, 0), _interval(f, 1))
            for f in (18, 34, 50)
        ),
    ),
)
