"""The kernels of path `triton`: local attention in one launch forward and two backward. `mila.kernels.fused` runs them.

A program owns a block of PIXELS pixels in a row of the image, and a block of channels. It first computes the weights of
Eq. 2 of its pixels, neighbour by neighbour. Then it walks through the neighbours again and adds the weighted values of
all its pixels to sums that stay in registers. Memory is read about once, the nearest cache L x L times; tensor cores
would have to multiply six times as much, most of it outside the windows, and have no float32.

Weights lie in `[N, H, columns, L * L, PIXELS]`, float32, columns = ceil(W / PIXELS): those that all pixels of a block
have for one neighbour stand side by side. Backward reads them again: the first kernel computes the gradients of the
scores, the second sums with both, read from the pixel's side for the query's gradient and from the neighbour's for
those of key and value. Nothing is added atomically: the result is the same each time. All sums are in float32.

Maps are `[N, H, W, C]`. Blocks of channels are powers of two; what they have more than the map is masked. Only blocks
at the left and right edge of the image (EDGE) look where their neighbours lie; rows outside are left out as a whole.
Annotations are not postponed: Triton's interpreter reads them.
"""

import triton
import triton.language as tl


@triton.jit
def _spread(start, channels: tl.constexpr, PIXELS: tl.constexpr, BLOCK: tl.constexpr):
    """Offsets `[PIXELS, BLOCK]` of a block's pixels and channels from its first pixel's first channel."""
    return tl.arange(0, PIXELS)[:, None] * channels + start + tl.arange(0, BLOCK)[None, :]


@triton.jit
def _load(
    source,
    spread,
    start,
    row,
    left,
    channels: tl.constexpr,
    width,
    PIXELS: tl.constexpr,
    BLOCK: tl.constexpr,
    EDGE: tl.constexpr,
):
    """`[PIXELS, BLOCK]` channels, float32, of the pixels from `left` on in a row of the image; 0 beside the image."""
    first = (row * width + left) * channels
    known = start + tl.arange(0, BLOCK) < channels
    if EDGE:
        x = left + tl.arange(0, PIXELS)
        inside = ((x >= 0) & (x < width))[:, None] & known[None, :]
        values = tl.load(source + first + spread, mask=inside, other=0.0)
    elif channels % BLOCK != 0:
        values = tl.load(source + first + spread, mask=known[None, :], other=0.0)
    else:
        values = tl.load(source + first + spread)
    return values.to(tl.float32)


@triton.jit
def _is_inside(left, width, PIXELS: tl.constexpr, WINDOW: tl.constexpr):
    """Whether all windows of the pixels from `left` on lie between the image's edges, left and right."""
    return (left >= WINDOW // 2) & (left + PIXELS + WINDOW // 2 <= width)


@triton.jit
def _line(y, block, width, WINDOW: tl.constexpr, PIXELS: tl.constexpr):
    """Offset of the first weight of a block of pixels in row y."""
    return (y * tl.cdiv(width, PIXELS) + block) * (WINDOW * WINDOW * PIXELS)


@triton.jit
def _table(WINDOW: tl.constexpr, PIXELS: tl.constexpr, COUNT: tl.constexpr):
    """Offsets `[COUNT, PIXELS]` of all weights of a block, and which there are: COUNT is a power of two."""
    neighbour = tl.arange(0, COUNT)[:, None]
    return neighbour * PIXELS + tl.arange(0, PIXELS)[None, :], neighbour < WINDOW * WINDOW


@triton.jit
def _weigh(
    query,
    key,
    weights,
    y,
    left,
    embedding: tl.constexpr,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    COUNT: tl.constexpr,
    EMBED: tl.constexpr,
    EDGE: tl.constexpr,
):
    """The weights of Eq. 2 of a block of pixels: first the scores, then their softmax."""
    x = left + tl.arange(0, PIXELS)
    spread = _spread(0, embedding, PIXELS, EMBED)
    queries = _load(query, spread, 0, y, left, embedding, width, PIXELS, EMBED, EDGE)
    for down in range(WINDOW):
        row = y + down - WINDOW // 2
        there = (row >= 0) & (row < height)
        near = tl.minimum(tl.maximum(row, 0), height - 1)
        for right in tl.static_range(WINDOW):
            shift = right - WINDOW // 2
            keys = _load(key, spread, 0, near, left + shift, embedding, width, PIXELS, EMBED, EDGE)
            inside = there & (x + shift >= 0) & (x + shift < width)
            score = tl.where(inside, tl.sum(queries * keys, 1), float("-inf"))
            tl.store(weights + (down * WINDOW + right) * PIXELS + tl.arange(0, PIXELS), score)
    tl.debug_barrier()
    place, known = _table(WINDOW, PIXELS, COUNT)
    scores = tl.load(weights + place, mask=known, other=float("-inf"))
    highest = tl.max(scores, 0)  # minus infinity right of the image
    shares = tl.exp(scores - tl.where(highest == float("-inf"), 0.0, highest)[None, :])
    total = tl.sum(shares, 0)
    tl.store(weights + place, shares / tl.where(total == 0.0, 1.0, total)[None, :], mask=known)


@triton.jit
def _sum_over_windows(
    weights,
    source,
    result,
    start,
    y,
    block,
    channels: tl.constexpr,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    BLOCK: tl.constexpr,
    NEIGHBOURS: tl.constexpr,
    EDGE: tl.constexpr,
):
    """A block of channels of weight times source, summed over the windows of a block of pixels.

    NEIGHBOURS: with the weight that each neighbour has for the pixel.
    """
    left = block * PIXELS
    pixel = tl.arange(0, PIXELS)
    spread = _spread(start, channels, PIXELS, BLOCK)
    sums = tl.zeros((PIXELS, BLOCK), dtype=tl.float32)
    for down in range(WINDOW):
        row = y + down - WINDOW // 2
        if (row >= 0) & (row < height):
            for right in tl.static_range(WINDOW):
                shift = right - WINDOW // 2
                values = _load(source, spread, start, row, left + shift, channels, width, PIXELS, BLOCK, EDGE)
                if NEIGHBOURS:
                    further = (pixel + (shift + WINDOW * PIXELS)) // PIXELS - WINDOW  # blocks
                    opposite = (WINDOW - 1 - down) * WINDOW + WINDOW - 1 - right
                    first = _line(row, block, width, WINDOW, PIXELS) + opposite * PIXELS
                    place = further * (WINDOW * WINDOW * PIXELS - PIXELS) + pixel + shift
                    if EDGE:
                        there = (left + pixel + shift >= 0) & (left + pixel + shift < width)
                        weight = tl.load(weights + first + place, mask=there, other=0.0)
                    else:
                        weight = tl.load(weights + first + place)
                else:
                    first = _line(y, block, width, WINDOW, PIXELS) + (down * WINDOW + right) * PIXELS
                    weight = tl.load(weights + first + pixel)
                sums += weight[:, None] * values
    channel = start + tl.arange(0, BLOCK)
    kept = (left + pixel < width)[:, None] & (channel < channels)[None, :]
    place = (y * width + left) * channels + spread
    tl.store(result + place, sums.to(result.dtype.element_ty), mask=kept)


@triton.jit
def _attend(
    query,
    key,
    value,
    out,
    weights,
    y,
    block,
    channels: tl.constexpr,
    embedding: tl.constexpr,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    COUNT: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
    EDGE: tl.constexpr,
):
    _weigh(
        query, key, weights + _line(y, block, width, WINDOW, PIXELS), y, block * PIXELS, embedding, height, width,
        WINDOW, PIXELS, COUNT, EMBED, EDGE,
    )  # fmt: skip
    tl.debug_barrier()
    _sum_over_windows(
        weights, value, out, tl.program_id(1) * BLOCK, y, block, channels, height, width,
        WINDOW, PIXELS, BLOCK, False, EDGE,
    )  # fmt: skip


@triton.jit
def attend(
    query,
    key,
    value,
    out,
    weights,
    weights_size,
    height,
    width,
    embedding: tl.constexpr,
    channels: tl.constexpr,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    COUNT: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Eqs. 1 and 2. Grid: blocks of pixels, blocks of the value's channels, images. `out` is laid out as `value`.

    Each block of channels has weights of its own, `weights_size` numbers an image, as no program waits for another.
    """
    image = tl.program_id(2).to(tl.int64)
    query += image * height * width * embedding
    key += image * height * width * embedding
    value += image * height * width * channels
    out += image * height * width * channels
    weights += (tl.program_id(1) * tl.num_programs(2) + image) * weights_size
    columns = tl.cdiv(width, PIXELS)
    y, block = tl.program_id(0) // columns, tl.program_id(0) % columns
    if _is_inside(block * PIXELS, width, PIXELS, WINDOW):
        _attend(
            query, key, value, out, weights, y, block, channels, embedding, height, width,
            WINDOW, PIXELS, COUNT, EMBED, BLOCK, False,
        )  # fmt: skip
    else:
        _attend(
            query, key, value, out, weights, y, block, channels, embedding, height, width,
            WINDOW, PIXELS, COUNT, EMBED, BLOCK, True,
        )  # fmt: skip


@triton.jit
def _differentiate(
    value,
    grad_out,
    weights,
    grad_scores,
    y,
    left,
    channels: tl.constexpr,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
    EDGE: tl.constexpr,
):
    """The gradients of a block's scores: first those of its weights, which are inner products, then through softmax."""
    for start in range(0, channels, BLOCK):
        spread = _spread(start, channels, PIXELS, BLOCK)
        grads = _load(grad_out, spread, start, y, left, channels, width, PIXELS, BLOCK, EDGE)
        for down in range(WINDOW):
            row = y + down - WINDOW // 2
            there = (row >= 0) & (row < height)
            near = tl.minimum(tl.maximum(row, 0), height - 1)
            for right in tl.static_range(WINDOW):
                at = left + right - WINDOW // 2
                values = _load(value, spread, start, near, at, channels, width, PIXELS, BLOCK, EDGE)
                product = tl.where(there, tl.sum(grads * values, 1), 0.0)
                place = grad_scores + (down * WINDOW + right) * PIXELS + tl.arange(0, PIXELS)
                if start > 0:
                    product += tl.load(place)
                tl.store(place, product)
        tl.debug_barrier()
    place, known = _table(WINDOW, PIXELS, COUNT)
    weight = tl.load(weights + place, mask=known, other=0.0)
    product = tl.load(grad_scores + place, mask=known, other=0.0)
    mean = tl.sum(weight * product, 0)
    tl.debug_barrier()
    tl.store(grad_scores + place, weight * (product - mean[None, :]), mask=known)


@triton.jit
def differentiate_scores(
    value,
    grad_out,
    weights,
    grad_scores,
    weights_size,
    height,
    width,
    channels: tl.constexpr,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    COUNT: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Backward, first: `grad_scores`, laid out as `weights`. Grid: blocks of pixels, 1, images."""
    image = tl.program_id(2).to(tl.int64)
    value += image * height * width * channels
    grad_out += image * height * width * channels
    columns = tl.cdiv(width, PIXELS)
    y, left = tl.program_id(0) // columns, tl.program_id(0) % columns * PIXELS
    line = image * weights_size + _line(y, left // PIXELS, width, WINDOW, PIXELS)
    if _is_inside(left, width, PIXELS, WINDOW):
        _differentiate(
            value, grad_out, weights + line, grad_scores + line, y, left, channels, height, width,
            WINDOW, PIXELS, COUNT, BLOCK, False,
        )  # fmt: skip
    else:
        _differentiate(
            value, grad_out, weights + line, grad_scores + line, y, left, channels, height, width,
            WINDOW, PIXELS, COUNT, BLOCK, True,
        )  # fmt: skip


@triton.jit
def _sum_gradients(
    query,
    key,
    grad_out,
    weights,
    grad_scores,
    grad_query,
    grad_key,
    grad_value,
    value_blocks,
    key_blocks,
    y,
    block,
    embedding: tl.constexpr,
    channels: tl.constexpr,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
    EDGE: tl.constexpr,
):
    number = tl.program_id(1)
    if number < value_blocks:
        _sum_over_windows(
            weights, grad_out, grad_value, number * BLOCK, y, block, channels, height, width,
            WINDOW, PIXELS, BLOCK, True, EDGE,
        )  # fmt: skip
    elif number < value_blocks + key_blocks:
        _sum_over_windows(
            grad_scores, query, grad_key, 0, y, block, embedding, height, width,
            WINDOW, PIXELS, EMBED, True, EDGE,
        )  # fmt: skip
    else:
        _sum_over_windows(
            grad_scores, key, grad_query, 0, y, block, embedding, height, width,
            WINDOW, PIXELS, EMBED, False, EDGE,
        )  # fmt: skip


@triton.jit
def sum_gradients(
    query,
    key,
    grad_out,
    weights,
    grad_scores,
    grad_query,
    grad_key,
    grad_value,
    weights_size,
    value_blocks,
    key_blocks,
    height,
    width,
    embedding: tl.constexpr,
    channels: tl.constexpr,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
):
    """Backward, second: the three gradients, from weights and gradients of scores; each laid out as its map.

    Grid: blocks of pixels; blocks of channels, first `value_blocks` of the value's, then `key_blocks` (0 or 1) of the
    key's, then the query's; images.
    """
    image = tl.program_id(2).to(tl.int64)
    weights += image * weights_size
    grad_scores += image * weights_size
    embedded = image * height * width * embedding
    valued = image * height * width * channels
    columns = tl.cdiv(width, PIXELS)
    y, block = tl.program_id(0) // columns, tl.program_id(0) % columns
    if _is_inside(block * PIXELS, width, PIXELS, WINDOW):
        _sum_gradients(
            query + embedded, key + embedded, grad_out + valued, weights, grad_scores,
            grad_query + embedded, grad_key + embedded, grad_value + valued,
            value_blocks, key_blocks, y, block, embedding, channels, height, width,
            WINDOW, PIXELS, EMBED, BLOCK, False,
        )  # fmt: skip
    else:
        _sum_gradients(
            query + embedded, key + embedded, grad_out + valued, weights, grad_scores,
            grad_query + embedded, grad_key + embedded, grad_value + valued,
            value_blocks, key_blocks, y, block, embedding, channels, height, width,
            WINDOW, PIXELS, EMBED, BLOCK, True,
        )  # fmt: skip
