"""Render clips of the worlds and print what that took, as JSON; `rendering` runs this file in a process of its own.

It needs nothing of the suite but the clips, so that it measures older code as well.
"""

from __future__ import annotations

import hashlib
import json
import sys
import time
from typing import Any

from mila.data.worlds.clips import WorldClips


def timed(world: Any, height: int, width: int, length: int, clips: int) -> dict[str, Any]:
    """Milliseconds of the processor a frame, one number a clip, and a digest of all pixels."""
    source, pixels, spent = WorldClips(world, "train", clips=clips, height=height, width=width), hashlib.sha256(), []
    source.clip(0, 1)  # what is computed once a process is not a frame's
    for index in range(clips):
        start = time.process_time()
        clip = source.clip(index, length)
        spent.append(1e3 * (time.process_time() - start) / length)
        for values in (clip.frames, *(clip.targets[name] for name in sorted(clip.targets))):
            pixels.update(values.tobytes())
    return {"ms": spent, "pixels": pixels.hexdigest()}


if __name__ == "__main__":
    json.dump([timed(*case) for case in json.loads(sys.argv[1])], sys.stdout)
