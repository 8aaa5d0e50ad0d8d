"""Claims on what the method is made of and on propagation: from Section 4.3's ablation to the appendices."""

from __future__ import annotations

from itertools import product

from reports.claims.cells import (
    FLOW,
    LARGE,
    MILA,
    MTAN,
    MULTI,
    PLAIN,
    SMALL,
    STITCH,
    UNSPECIFIC,
    Claim,
    city,
    first,
    interval,
    kinds,
    losses,
    lost,
    module,
    nyu,
    printed,
    saving,
    two,
    video,
    windows,
)
from reports.claims.numbers import At
from reports.claims.statements import Adds, Similar, Takes, Widens

DETAILS: tuple[Claim, ...] = (
    Claim(
        "Section 4.3, ablation",
        "“‘MILA w/o MF&TS’ achieves similar performance as D101-MultiTask while saving 48% computations”",
        (
            saving("NYUd v2", nyu("gflops", PLAIN, MULTI), 48),
            saving("Cityscapes", city("gflops", PLAIN, MULTI), 48),
            Similar("mIoU, NYUd v2", nyu("miou", PLAIN)[0], nyu("miou", MULTI)),
            Similar("mIoU, Cityscapes", city("miou", PLAIN)[0], city("miou", MULTI)),
        ),
    ),
    Claim(
        "Section 4.3, ablation",
        "“MILA outperforms D101-MultiTask and reduces 25% of computations”",
        (
            saving("NYUd v2", nyu("gflops", MILA, MULTI), 25),
            saving("Cityscapes", city("gflops", MILA, MULTI), 25),
            first("mIoU, NYUd v2", nyu("miou", MILA, MULTI)),
            first("mIoU, Cityscapes", city("miou", MILA, MULTI)),
        ),
    ),
    Claim(
        "Section 4.3, ablation",
        "“MILA approach shows the best performed accuracy with a small increase in GFLOPs”",
        (
            first("mIoU, NYUd v2", nyu("miou", MILA, UNSPECIFIC, PLAIN, MULTI)),
            first("mIoU, Cityscapes", city("miou", MILA, UNSPECIFIC, PLAIN, MULTI)),
            Adds("over MILA w/o MF&TS, NYUd v2", *two(nyu("gflops", MILA, PLAIN)), 10),
            Adds("over MILA w/o MF&TS, Cityscapes", *two(city("gflops", MILA, PLAIN)), 10),
        ),
    ),
    Claim(
        "Section 4.3, Figure 7; appendix D, Figure 8",
        "“Compared to MultiNet++, our method is robust to non-keyframes and obtains similar performances as the "
        "computationally heavy method” MTAN",
        tuple(
            statement
            for name, rows, other in (("NYUd v2", nyu, "MultiNet++*"), ("Cityscapes", city, "MultiNet++"))
            for statement in (
                Widens(
                    f"mIoU lost from a keyframe to offset K − 1, {name}: MILA, then MultiNet++",
                    lost(rows, MILA),
                    lost(rows, other),
                ),
                Similar(f"mIoU at offset K − 1, {name}", lost(rows, MILA)[1], rows("miou", MTAN)),
            )
        ),
        "The paper shows pictures alone.",
    ),
    Claim(
        "Appendix D",
        "“the Fast network produces qualitatively similar performance as the Slow network”",
        tuple(
            Similar(f"mIoU, {name}", lost(rows, MILA)[1], rows("miou@first", MILA))
            for name, rows in (("NYUd v2", nyu), ("Cityscapes", city))
        ),
        "Said of the supplementary video.",
    ),
    Claim(
        "Section 3.3; Table 3",
        "“combining L1 loss with the adversarial loss lead to improved accuracy”",
        (
            first("mIoU: ILA with both, with L1 alone", losses("miou", "l1+adv+ila", "l1+ila")),
            first("depth, absolute: likewise", losses("depth_abs", "l1+adv+ila", "l1+ila")),
        ),
    ),
    Claim(
        "Sections 3.3 and 4.3; Table 3",
        "“the local attention module alone does not greatly improve the performances … combined with the proposed "
        "losses, it significantly increases the accuracy”",
        (
            Similar("mIoU: ILA alone and concatenation", losses("miou", "ila")[0], losses("miou", "none")),
            first("mIoU: ILA with both losses", losses("miou", "l1+adv+ila", "none", "l1", "ila", "l1+ila")),
        ),
    ),
    Claim(
        "Section 3.3; Table 3; appendix E",
        "The losses “do not increase GFLOPs in inference time”",
        (Similar("GFLOPs: with both and without", losses("gflops", "l1+adv+ila")[0], losses("gflops", "ila")),),
    ),
    Claim(
        "Section 4.3; Table 4",
        "“ILA is not sensitive to small changes in the window size, but performance drops significantly when the "
        "window size is global … a small window size is faster”",
        (
            Similar("mIoU: 3 × 3 to 7 × 7", windows("miou", "5x5")[0], windows("miou", "3x3", "7x7")),
            first("mIoU: 5 × 5 and global", windows("miou", "5x5", "global(64)")),
            first("GFLOPs: 3 × 3 first", windows("gflops", "3x3", "5x5", "7x7", "15x15", "global(64)")),
            first("time a frame: 3 × 3 first", windows("latency", "3x3", "5x5", "7x7", "15x15", "global(64)")),
        ),
        "thop does not see the sums of attention, so as the paper counts every window costs the same.",
    ),
    Claim(
        "Section 4.4; Table 5",
        "“Feature propagated with ILA obtains higher accuracy than optical flow-based warping”",
        tuple(first(f"D101-{f}, K = {k}", video(f, k)) for f, k in product((18, 34, 50), (5, 10))),
    ),
    Claim(
        "Section 4.4",
        "“the accuracy improvements of ILA are more evident in the higher keyframe interval”",
        tuple(Widens(f"D101-{f}: lead at K = 5, then 10", video(f, 5), video(f, 10)) for f in (18, 34, 50)),
    ),
    Claim(
        "Section 4.4; Table 6",
        "“ILA outperforms all other methods in the two datasets while requiring less computational burden”",
        (
            *(
                first(f"{what}, {name}: SVC", kinds(dataset, metric))
                for dataset, name in (("cityscapes", "Cityscapes"), ("nyuv2", "NYUd v2"))
                for metric, what in (("miou", "mIoU"), ("depth_abs", "depth, absolute"))
            ),
            first("GFLOPs, Cityscapes: SVC", kinds("cityscapes", "gflops")),
        ),
    ),
    Claim(
        "Section 4.4",
        "“the quality of optical flow estimation is poor in this evaluation protocol (i.e. low-resolution images), "
        "which results in significantly worse performance”",
        tuple(
            first(f"mIoU, {name}: ILA first", (kinds(dataset, "miou")[0], At(6, dataset, FLOW, "miou")))
            for dataset, name in (("cityscapes", "Cityscapes"), ("nyuv2", "NYUd v2"))
        ),
        "Said of Table 6, which has no such row.",
    ),
    Claim(
        "Section 4.4; Table 7",
        "“ILA consists of only one convolutional layer, making it much more memory efficient than the other two "
        "methods”",
        (
            first("convolutions", module("conv_layers", SMALL, "ila", "optical flow", "svc")),
            first("parameters, M", module("params_millions", SMALL, "ila", "optical flow", "svc")),
        ),
    ),
    Claim(
        "Section 4.4; Table 7",
        "“other methods require more computations than ILA and the gain is more evident when the input size is larger”",
        tuple(
            Widens(
                f"{name} / ILA, {printed(SMALL)}, then {printed(LARGE)}",
                (module("gflops", SMALL, "ila")[0], module("gflops", SMALL, other)[0]),
                (module("gflops", LARGE, "ila")[0], module("gflops", LARGE, other)[0]),
                ratio=True,
            )
            for other, name in (("optical flow", "optical flow"), ("svc", "SVC"))
        ),
        "The difference in GFLOPs grows with the input, the ratio does not.",
    ),
    Claim(
        "Section 4.4; Table 7",
        "“ILA takes only 4% (0.2/5.4 GFLOPs) of computations in the SVC feature propagation”",
        tuple(
            Takes(printed(size), module("gflops", size, "ila")[0], module("gflops", size, "svc")[0], 4)
            for size in (SMALL, LARGE)
        ),
    ),
    Claim(
        "Section 4.2; appendix A; Table 8",
        "with ResNet101 “the performance for MTAN, Cross-Stitch and MultiNet++ gets improved compared to their "
        "originally reported numbers”",
        (
            *(
                first(
                    f"{what}, {name}",
                    (
                        At(8, "cityscapes", f"{name}-ResNet101", metric),
                        At(8, "cityscapes", f"{name}-SegNet", metric),
                    ),
                )
                for name in ("MTAN", "Cross-Stitch")
                for metric, what in (("miou", "mIoU"), ("depth_abs", "depth, absolute"))
            ),
            first("mIoU, NYUd v2, MTAN", nyu("miou", MTAN, "MTAN-SegNet")),
            first("mIoU, NYUd v2, Cross-Stitch", nyu("miou", STITCH, "Cross-Stitch-SegNet")),
        ),
        "Table 8 has no row of MultiNet++.",
    ),
    Claim(
        "Appendix A.1; Table 9",
        "“MILA achieves the similar performance on different weighting strategies”",
        tuple(
            Similar(
                what,
                At(9, "cityscapes", "MILA weighting / D101-18 / equal", metric),
                tuple(At(9, "cityscapes", f"MILA weighting / D101-18 / {w}", metric) for w in ("uncertainty", "dwa")),
            )
            for metric, what in (("miou", "mIoU"), ("depth_abs", "depth, absolute"))
        ),
    ),
    Claim(
        "Appendix B; Table 10",
        "Slow network only: “In all cases, using our feature propagation method shows significant improvements on the "
        "depth estimation task”",
        tuple(
            first(
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
            Widens(f"D101-{f}: lost from K = 5 to 10 by ILA, then by optical flow", interval(f, 0), interval(f, 1))
            for f in (18, 34, 50)
        ),
    ),
    Claim(
        "Section 5",
        "“task-specific features with minimal computation compared to existing heavy task-specific layers”",
        tuple(
            Widens(
                f"GFLOPs that they add, {name}: MILA to MILA w/o TS, then {other} to D101-MultiTask",
                two(rows("gflops", UNSPECIFIC, MILA)),
                two(rows("gflops", MULTI, other)),
            )
            for name, rows in (("NYUd v2", nyu), ("Cityscapes", city))
            for other in (MTAN, STITCH)
        ),
    ),
)
