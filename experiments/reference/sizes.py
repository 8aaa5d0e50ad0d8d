"""Sizes of a profile that the clock chooses from: the same networks and frames on a part of the clips.

A size is a profile of its own, `reference-40`: 40 % of the clips of `reference`, each seen as often, so 40 % of the
steps; trainings compute in bfloat16. As the name says all of it, runs of several parts, seeds and cards at one size
belong together, and those of two sizes are never mixed.
"""

from __future__ import annotations

import re
from dataclasses import replace

from experiments.profiles import PROFILES, Profile

LADDER = (100, 80, 60, 50, 40, 30, 20, 14, 10, 7, 5)
"""Percent, largest first: apart by a fifth at least, so that cards of like speed are given the same."""

LEAST_SCORED = 100
"""Clips that are scored at least, where the profile has as many: fewer say little."""

_NAME = re.compile(r"(.+)-([1-9][0-9]{0,2})")


def sized(profile: Profile, percent: int) -> Profile:
    """The profile on `percent` of its clips.

    Raises:
        ValueError: not 1 to 100 percent.
    """
    if not 1 <= percent <= 100:
        raise ValueError(f"a size is 1 to 100 percent, not {percent}")

    def share(clips: int, least: int) -> int:
        return min(clips, max(least, round(clips * percent / 100)))

    schedules = (profile.encoder, profile.scratch, profile.method, profile.flow)
    batch = max(part.batch for schedule in schedules for part in schedule.parts)
    return replace(
        profile,
        name=f"{profile.name}-{percent}",
        about=(
            f"{percent} % of the clips of {profile.name}, each seen as often, in bfloat16: a schedule that is sized by "
            "the clock, so that a run ends in the minutes that it is given."
        ),
        train_clips=share(profile.train_clips, batch),
        test_clips=share(profile.test_clips, LEAST_SCORED),
        flow_clips=share(profile.flow_clips, batch),
        precision="bfloat16",
    )


def find_sized(name: str) -> Profile | None:
    """The profile of a name such as `reference-40`; None where it names no size of a profile."""
    found = _NAME.fullmatch(name)
    if found is None or found[1] not in PROFILES or int(found[2]) > 100:
        return None
    return sized(PROFILES[found[1]], int(found[2]))
