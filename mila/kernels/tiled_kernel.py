"""The kernel of path `triton` for half precision where no gradient is wanted: local attention by tensor cores.

A program owns a tile of the image, TALL x WIDE pixels, and a block of channels. It walks through the rows of the giving
frame that the tile's windows reach. Of each it takes SPAN pixels, all that the tile can see, computes their scores with
all pixels of the tile, gives those outside a window the weight 0, and adds the weighted values as a product of
matrices; the softmax is kept up to date on the way. Eight times as much is multiplied as Eqs. 1 and 2 ask for at L = 5,
but by tensor cores, and each value comes from the cache 4 or 6 times instead of 10.

Maps are `[N, H, W, C]`. Sums are in float32; the shares of the softmax are rounded to the maps' type before they are
summed up, so that the weights of a pixel add up to 1. Annotations are not postponed: Triton's interpreter reads them.
"""

import triton
import triton.language as tl


@triton.jit
def attend_tiles(
    query,
    key,
    value,
    out,
    height,
    width,
    embedding: tl.constexpr,
    channels: tl.constexpr,
    WINDOW: tl.constexpr,
    TALL: tl.constexpr,
    WIDE: tl.constexpr,
    SPAN: tl.constexpr,
    ROWS: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Eqs. 1 and 2. Grid: tiles, blocks of the value's channels, images. `out` is laid out as `value`."""
    image = tl.program_id(2).to(tl.int64) * height * width
    query += image * embedding
    key += image * embedding
    value += image * channels
    out += image * channels
    columns = tl.cdiv(width, WIDE)
    top, left = tl.program_id(0) // columns * TALL, tl.program_id(0) % columns * WIDE
    pixel = tl.arange(0, TALL * WIDE)
    y, x = top + pixel // WIDE, left + pixel % WIDE
    inside = (y < height) & (x < width)
    feature = tl.arange(0, EMBED)
    embeds = (feature < embedding)[None, :]
    channel = tl.program_id(1) * BLOCK + tl.arange(0, BLOCK)
    has = (channel < channels)[None, :]
    place = (y * width + x)[:, None]
    queries = tl.load(query + place * embedding + feature[None, :], mask=inside[:, None] & embeds, other=0.0)
    number = tl.arange(0, ROWS * SPAN)
    seen = left - WINDOW // 2 + number % SPAN
    there = (seen >= 0) & (seen < width) & (number % SPAN < WIDE + WINDOW - 1)
    beside = (tl.abs(x[:, None] - seen[None, :]) <= WINDOW // 2) & there[None, :]
    highest = tl.full((TALL * WIDE,), float("-inf"), tl.float32)
    total = tl.zeros((TALL * WIDE,), tl.float32)
    sums = tl.zeros((TALL * WIDE, BLOCK), tl.float32)
    first, last = tl.maximum(top - WINDOW // 2, 0), tl.minimum(top + TALL + WINDOW // 2, height)
    for start in range(first, last, ROWS):
        row = start + number // SPAN
        known = (there & (row < last))[:, None]
        line = (row * width + seen)[:, None]
        keys = tl.load(key + line * embedding + feature[None, :], mask=known & embeds, other=0.0)
        values = tl.load(value + line * channels + channel[None, :], mask=known & has, other=0.0)
        near = beside & (tl.abs(y[:, None] - row[None, :]) <= WINDOW // 2) & (row < last)[None, :]
        scores = tl.where(near, tl.dot(queries, tl.trans(keys)), float("-inf"))
        higher = tl.maximum(highest, tl.max(scores, 1))
        level = tl.where(higher == float("-inf"), 0.0, higher)  # no window of the pixel has been reached yet
        shares = tl.exp(scores - level[:, None]).to(value.dtype.element_ty)
        fading = tl.exp(highest - level)
        total = total * fading + tl.sum(shares.to(tl.float32), 1)
        sums = tl.dot(shares, values, sums * fading[:, None])
        highest = higher
    sums = sums / tl.where(total == 0.0, 1.0, total)[:, None]
    tl.store(out + place * channels + channel[None, :], sums.to(out.dtype.element_ty), mask=inside[:, None] & has)
