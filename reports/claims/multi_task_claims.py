"""Claims on multi-task learning: from the abstract to Section 4.3."""

from __future__ import annotations

from itertools import product

from reports.claims.cells import (
    CITY_OTHERS,
    FLOW,
    LARGE,
    MILA,
    MTAN,
    MULTI,
    NYU_OTHERS,
    PLAIN,
    SINGLE,
    SMALL,
    STITCH,
    UNSPECIFIC,
    Claim,
    city,
    first,
    kinds,
    module,
    nyu,
    printed,
    saving,
    video,
)
from reports.claims.numbers import At
from reports.claims.statements import Adds, Similar


def _kind(label: str, metric: str) -> At:
    """A row of our Table 6 on Cityscapes that the paper does not print."""
    return At(6, "cityscapes", label, metric)


_ILA_SAVES = tuple(
    saving(f"module alone, {printed(size)}", module("gflops", size, "ila", "optical flow", "svc"), 90)
    for size in (SMALL, LARGE)
)
_ILA_LEADS = (
    *(first(f"mIoU, D101-{f}, K = {k}: optical flow", video(f, k)) for f, k in product((18, 34), (5, 10))),
    *(
        first(f"mIoU, {name}: SVC", kinds(d, "miou"))
        for d, name in (("cityscapes", "Cityscapes"), ("nyuv2", "NYUd v2"))
    ),
)

TASKS: tuple[Claim, ...] = (
    Claim(
        "Abstract",
        "“reducing the number of floating point operations (FLOPs) by up to 70%” on two benchmarks",
        (saving("NYUd v2, where it saves most", nyu("gflops", MILA, *NYU_OTHERS), 70),),
    ),
    Claim(
        "Abstract",
        "“Our approach ensures low-latency multi-task learning”",
        (
            first("time a frame, NYUd v2", nyu("latency", MILA, SINGLE, MULTI, MTAN, STITCH)),
            first("time a frame, Cityscapes", city("latency", MILA, SINGLE, MULTI, MTAN, STITCH)),
        ),
        "The paper prints operations, no times.",
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
            saving("Cityscapes, the data set of Figure 1", city("gflops", MILA, *CITY_OTHERS), 70),
            Similar("mIoU", city("miou", MILA)[0], city("miou", MTAN, STITCH)),
        ),
    ),
    Claim(
        "Section 1; Section 5",
        "ILA “is much faster compared to existing feature propagation methods, and more accurate than the "
        "state-of-the-art … on semantic video segmentation”",
        (
            first(f"GFLOPs, {printed(SMALL)}", module("gflops", SMALL, "ila", "optical flow", "svc")),
            first(f"GFLOPs, {printed(LARGE)}", module("gflops", LARGE, "ila", "optical flow", "svc")),
            first("time a frame of the whole model: SVC", kinds("cityscapes", "latency")),
            *_ILA_LEADS,
        ),
        "The paper prints operations, no times.",
    ),
    Claim(
        "Figure 1",
        "ILA “can be extended to attend task-specific (TS) and multi-frame features (MF) with minimal computations”",
        tuple(
            Adds(f"{what}, {name}", ours, theirs, 10)
            for name, rows in (("NYUd v2", nyu), ("Cityscapes", city))
            for what, (theirs, ours) in (
                ("MF", rows("gflops", PLAIN, UNSPECIFIC)),
                ("TS", rows("gflops", UNSPECIFIC, MILA)),
            )
        ),
    ),
    Claim(
        "Section 2",
        "“optical flow based feature propagation increases the computational cost with limited improvements in "
        "accuracy compared to the simple concatenation of features”",
        (
            first("GFLOPs: concatenation first", (_kind("Concatenation", "gflops"), _kind(FLOW, "gflops"))),
            Similar("mIoU", _kind(FLOW, "miou"), (_kind("Concatenation", "miou"),)),
        ),
        "Said of earlier work; the paper’s tables do not have the two side by side.",
    ),
    Claim(
        "Section 2",
        "spatially variant convolution “is faster than optical flow warping”",
        tuple(
            first(f"GFLOPs, {printed(size)}: SVC first", module("gflops", size, "svc", "optical flow"))
            for size in (SMALL, LARGE)
        ),
    ),
    Claim(
        "Section 3.2.1",
        "“Compared to state-of-the-art attention-based multi-task network [31], MILA achieves better accuracy with 54% "
        "reduction of FLOPs”",
        (
            saving("NYUd v2: MTAN*", nyu("gflops", MILA, MTAN), 54),
            saving("Cityscapes: MTAN*", city("gflops", MILA, MTAN), 54),
            first("mIoU, NYUd v2", nyu("miou", MILA, MTAN)),
            first("mIoU, Cityscapes", city("miou", MILA, MTAN)),
        ),
        "Section 4.3 gives 46 % for the same pair.",
    ),
    Claim(
        "Section 4.3",
        "“saving 70% of computational costs (236 vs. 70 GFLOPs) compared to Cross-Stitch”",
        (saving("NYUd v2", nyu("gflops", MILA, STITCH), 70),),
    ),
    Claim(
        "Section 4.3",
        "“saves 46% (70/151 GFLOPs) of computations compared to MTAN”",
        (saving("NYUd v2", nyu("gflops", MILA, MTAN), 46, exact=True),),
        "46 % is what remains; Section 3.2.1 gives the saving, 54 %.",
    ),
    Claim(
        "Section 4.3",
        "“We rank the 2nd for GFLOPs right after MultiNet++ but with much better accuracy”",
        (
            first("GFLOPs, NYUd v2, MILA’s own variants left out", nyu("gflops", MILA, *NYU_OTHERS), 2),
            first("GFLOPs, Cityscapes, likewise", city("gflops", MILA, *CITY_OTHERS), 2),
            first("mIoU, NYUd v2: MultiNet++", nyu("miou", MILA, "MultiNet++*")),
            first("mIoU, Cityscapes: MultiNet++", city("miou", MILA, "MultiNet++")),
        ),
    ),
    Claim(
        "Section 4.3",
        "NYUd v2: “we outperform other approaches for depth estimation and one metric of mIOU for semantic "
        "segmentation, with ranked 2nd segmentation accuracy”",
        (
            first("depth, absolute", nyu("depth_abs", MILA, *NYU_OTHERS)),
            first("depth, relative", nyu("depth_rel", MILA, *NYU_OTHERS)),
            first("mIoU", nyu("miou", MILA, *NYU_OTHERS)),
            first("pixel accuracy", nyu("pixel_acc", MILA, *NYU_OTHERS), 2),
        ),
    ),
    Claim(
        "Section 4.3; Table 1",
        "NYUd v2: “slightly worse performance for normal estimation than Cross-Stitch”",
        tuple(
            first(f"{what}: Cross-Stitch* first", nyu(f"normal_{metric}", STITCH, MILA))
            for metric, what in (
                ("mean", "mean angle"),
                ("median", "median angle"),
                ("within_11.25", "within 11.25°"),
                ("within_22.5", "within 22.5°"),
                ("within_30", "within 30°"),
            )
        ),
    ),
    Claim(
        "Section 4.3",
        "Cityscapes: “MILA outperforms all other methods for depth estimation and achieves the best accuracy for "
        "semantic segmentation, while ranking the 2nd for mIOU”",
        (
            first("depth, absolute", city("depth_abs", MILA, *CITY_OTHERS)),
            first("depth, relative", city("depth_rel", MILA, *CITY_OTHERS)),
            first("pixel accuracy", city("pixel_acc", MILA, *CITY_OTHERS)),
            first("mIoU", city("miou", MILA, *CITY_OTHERS), 2),
        ),
    ),
)
