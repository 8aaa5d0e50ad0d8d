"""The kernels of path `triton`: local attention in one launch forward and two backward. `mila.kernels.fused` runs them.

A program owns a tile of ROWS x COLUMNS pixels and walks down the rows that their windows reach. In each row all
neighbours of the tile lie within SPAN = COLUMNS + L - 1 pixels (rounded up to a power of two), so that

    scores[tile, SPAN] = queries[tile, C'] keys[C', SPAN]          sums[tile, C] += weights[tile, SPAN] values[SPAN, C]

are small matrix products for the tensor cores, masked to the window and the image between them: every key and value is
read about (ROWS + L - 1) / ROWS x SPAN / COLUMNS times, not L x L times. The softmax runs along (the largest score so
far, and what was summed is rescaled), so nothing of size L x L is stored going forward but the logarithm of its sum.

Backward, the first kernel computes weights and gradients of the scores, `[N, H, W, L, L]` each; the second sums with
them, read from the pixel's side for the query's gradient and from the neighbour's for those of key and value. Nothing
is added atomically: the result is the same each time. All sums are in float32; a product of float32 is three of TF32,
which is about as exact.

Maps are dense, `[N, C, H, W]` or, where the flag ..._LAST says so, `[N, H, W, C]`. Blocks of channels are powers of
two; what they have more than the map is masked. Annotations are not postponed: Triton's interpreter reads them.
"""

import triton
import triton.language as tl


@triton.jit
def _place(channel, y, x, channels, height, width, LAST: tl.constexpr):
    """Offset within an image."""
    if LAST:
        return (y * width + x) * channels + channel
    else:  # noqa: RET505, where Triton compiles one of the two
        return (channel * height + y) * width + x


@triton.jit
def _tile(height, width, WINDOW: tl.constexpr, ROWS: tl.constexpr, COLUMNS: tl.constexpr, SPAN: tl.constexpr):
    """The program's pixels y, x `[ROWS * COLUMNS]`; the columns that they reach, `[SPAN]`; first row and end."""
    columns = tl.cdiv(width, COLUMNS)
    top = tl.program_id(0) // columns * ROWS
    left = tl.program_id(0) % columns * COLUMNS
    pixel = tl.arange(0, ROWS * COLUMNS)
    reach = left - WINDOW // 2 + tl.arange(0, SPAN)
    first = tl.maximum(top - WINDOW // 2, 0)
    end = tl.minimum(top + ROWS + WINDOW // 2, height)
    return top + pixel // COLUMNS, left + pixel % COLUMNS, reach, first, end


@triton.jit
def _near(y, x, row, reach, height, width, WINDOW: tl.constexpr):
    """`[tile, SPAN]`: the neighbour lies in the pixel's window, and both lie in the image."""
    inside = (y < height) & (x < width) & (tl.abs(row - y) <= WINDOW // 2)
    return inside[:, None] & (tl.abs(reach[None, :] - x[:, None]) <= WINDOW // 2) & _in_row(reach, width)[None, :]


@triton.jit
def _in_row(reach, width):
    return (reach >= 0) & (reach < width)


@triton.jit
def _load_tile(source, start, y, x, channels, height, width, BLOCK: tl.constexpr, LAST: tl.constexpr):
    """`[tile, BLOCK]` channels of the program's own pixels; 0 outside."""
    channel = start + tl.arange(0, BLOCK)
    inside = ((y < height) & (x < width))[:, None] & (channel < channels)[None, :]
    place = _place(channel[None, :], y[:, None], x[:, None], channels, height, width, LAST)
    return tl.load(source + place, mask=inside, other=0.0)


@triton.jit
def _load_row(source, start, row, reach, channels, height, width, BLOCK: tl.constexpr, LAST: tl.constexpr):
    """`[SPAN, BLOCK]` channels of the neighbours in a row of the image; 0 outside."""
    channel = start + tl.arange(0, BLOCK)
    inside = _in_row(reach, width)[:, None] & (channel < channels)[None, :]
    place = _place(channel[None, :], row, reach[:, None], channels, height, width, LAST)
    return tl.load(source + place, mask=inside, other=0.0)


@triton.jit
def _score(
    query,
    key,
    y,
    x,
    row,
    reach,
    embedding,
    height,
    width,
    WINDOW: tl.constexpr,
    TILE: tl.constexpr,
    SPAN: tl.constexpr,
    EMBED: tl.constexpr,
    QUERY_LAST: tl.constexpr,
    KEY_LAST: tl.constexpr,
):
    """`[tile, SPAN]`: inner products with the neighbours in a row; minus infinity outside the window or the image."""
    scores = tl.zeros((TILE, SPAN), dtype=tl.float32)
    for start in range(0, embedding, EMBED):
        queries = _load_tile(query, start, y, x, embedding, height, width, EMBED, QUERY_LAST)
        keys = _load_row(key, start, row, reach, embedding, height, width, EMBED, KEY_LAST)
        scores = tl.dot(queries, tl.trans(keys), scores, input_precision="tf32x3")
    return tl.where(_near(y, x, row, reach, height, width, WINDOW), scores, float("-inf"))


@triton.jit
def attend(
    query,
    key,
    value,
    out,
    logsum,
    embedding,
    channels,
    height,
    width,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
    QUERY_LAST: tl.constexpr,
    KEY_LAST: tl.constexpr,
    VALUE_LAST: tl.constexpr,
    SAVE: tl.constexpr,
):
    """Eqs. 1 and 2. Grid: tiles, blocks of the value's channels, images. `out` is laid out as `value`.

    `logsum` `[N, H, W]`: the logarithm of the sum of each softmax, which backward needs; written where SAVE.
    """
    TILE: tl.constexpr = ROWS * COLUMNS
    image = tl.program_id(2).to(tl.int64) * height * width
    query += image * embedding
    key += image * embedding
    value += image * channels
    y, x, reach, first, end = _tile(height, width, WINDOW, ROWS, COLUMNS, SPAN)
    start = tl.program_id(1) * BLOCK
    highest = tl.full((TILE,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((TILE,), dtype=tl.float32)
    sums = tl.zeros((TILE, BLOCK), dtype=tl.float32)
    for row in range(first, end):
        scores = _score(
            query, key, y, x, row, reach, embedding, height, width, WINDOW, TILE, SPAN, EMBED, QUERY_LAST, KEY_LAST
        )
        before = highest
        highest = tl.maximum(before, tl.max(scores, 1))
        base = tl.where(highest == float("-inf"), 0.0, highest)  # of pixels whose windows do not reach this row yet
        weights = tl.exp(scores - base[:, None])
        shrink = tl.exp(before - base)
        total = total * shrink + tl.sum(weights, 1)
        values = _load_row(value, start, row, reach, channels, height, width, BLOCK, VALUE_LAST)
        sums = tl.dot(weights.to(values.dtype), values, sums * shrink[:, None], input_precision="tf32x3")
    inside = (y < height) & (x < width)
    total = tl.where(inside, total, 1.0)
    channel = start + tl.arange(0, BLOCK)
    place = _place(channel[None, :], y[:, None], x[:, None], channels, height, width, VALUE_LAST)
    kept = inside[:, None] & (channel < channels)[None, :]
    tl.store(out + image * channels + place, (sums / total[:, None]).to(out.dtype.element_ty), mask=kept)
    if SAVE:
        base = tl.where(inside, highest, 0.0)
        tl.store(logsum + image + y * width + x, base + tl.log(total), mask=inside & (tl.program_id(1) == 0))


@triton.jit
def differentiate_scores(
    query,
    key,
    value,
    out,
    grad_out,
    logsum,
    weights,
    grad_scores,
    embedding,
    channels,
    height,
    width,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
    QUERY_LAST: tl.constexpr,
    KEY_LAST: tl.constexpr,
    VALUE_LAST: tl.constexpr,
    GRAD_LAST: tl.constexpr,
):
    """Backward, first: `weights` and `grad_scores`, `[N, H, W, L, L]`, written only inside the image.

    Grid: tiles, 1, images.
    """
    TILE: tl.constexpr = ROWS * COLUMNS
    image = tl.program_id(2).to(tl.int64) * height * width
    query += image * embedding
    key += image * embedding
    value += image * channels
    out += image * channels
    grad_out += image * channels
    y, x, reach, first, end = _tile(height, width, WINDOW, ROWS, COLUMNS, SPAN)
    inside = (y < height) & (x < width)
    mean = tl.zeros((TILE,), dtype=tl.float32)  # of the weights' gradients, weighted: <out, grad_out>
    for start in range(0, channels, BLOCK):
        outs = _load_tile(out, start, y, x, channels, height, width, BLOCK, VALUE_LAST)
        grads = _load_tile(grad_out, start, y, x, channels, height, width, BLOCK, GRAD_LAST)
        mean += tl.sum(outs.to(tl.float32) * grads.to(tl.float32), 1)
    base = tl.load(logsum + image + y * width + x, mask=inside, other=0.0)
    for row in range(first, end):
        scores = _score(
            query, key, y, x, row, reach, embedding, height, width, WINDOW, TILE, SPAN, EMBED, QUERY_LAST, KEY_LAST
        )
        weight = tl.exp(scores - base[:, None])
        grad_weight = tl.zeros((TILE, SPAN), dtype=tl.float32)
        for start in range(0, channels, BLOCK):
            grads = _load_tile(grad_out, start, y, x, channels, height, width, BLOCK, GRAD_LAST)
            values = _load_row(value, start, row, reach, channels, height, width, BLOCK, VALUE_LAST)
            grad_weight = tl.dot(grads, tl.trans(values), grad_weight, input_precision="tf32x3")
        place = _window_place(y[:, None], x[:, None], row, reach[None, :], width, WINDOW)
        near = _near(y, x, row, reach, height, width, WINDOW)
        tl.store(weights + image * WINDOW * WINDOW + place, weight, mask=near)
        grad_score = weight * (grad_weight - mean[:, None])
        tl.store(grad_scores + image * WINDOW * WINDOW + place, grad_score, mask=near)


@triton.jit
def _window_place(y, x, y_neighbour, x_neighbour, width, WINDOW: tl.constexpr):
    """Offset of a pixel's weight for a neighbour in `[H, W, L, L]`."""
    down = y_neighbour - y + WINDOW // 2
    right = x_neighbour - x + WINDOW // 2
    return ((y * width + x) * WINDOW + down) * WINDOW + right


@triton.jit
def _sum_row_by_row(
    weights,
    source,
    result,
    start,
    channels,
    height,
    width,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
    BLOCK: tl.constexpr,
    SOURCE_LAST: tl.constexpr,
    RESULT_LAST: tl.constexpr,
    NEIGHBOURS: tl.constexpr,
    WIDE: tl.constexpr,
):
    """A block of channels of the sums over windows; NEIGHBOURS: with the weight that each neighbour has for the pixel.

    WIDE: in float32, whatever the source; gradients of scores can be too small for float16.
    """
    y, x, reach, first, end = _tile(height, width, WINDOW, ROWS, COLUMNS, SPAN)
    sums = tl.zeros((ROWS * COLUMNS, BLOCK), dtype=tl.float32)
    for row in range(first, end):
        if NEIGHBOURS:
            place = _window_place(row, reach[None, :], y[:, None], x[:, None], width, WINDOW)
        else:
            place = _window_place(y[:, None], x[:, None], row, reach[None, :], width, WINDOW)
        near = _near(y, x, row, reach, height, width, WINDOW)
        weight = tl.load(weights + place, mask=near, other=0.0)
        values = _load_row(source, start, row, reach, channels, height, width, BLOCK, SOURCE_LAST)
        if WIDE:
            values = values.to(tl.float32)
        sums = tl.dot(weight.to(values.dtype), values, sums, input_precision="tf32x3")
    channel = start + tl.arange(0, BLOCK)
    kept = ((y < height) & (x < width))[:, None] & (channel < channels)[None, :]
    place = _place(channel[None, :], y[:, None], x[:, None], channels, height, width, RESULT_LAST)
    tl.store(result + place, sums.to(result.dtype.element_ty), mask=kept)


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
    value_blocks,
    key_blocks,
    embedding,
    channels,
    height,
    width,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    COLUMNS: tl.constexpr,
    SPAN: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
    QUERY_LAST: tl.constexpr,
    KEY_LAST: tl.constexpr,
    VALUE_LAST: tl.constexpr,
    GRAD_LAST: tl.constexpr,
):
    """Backward, second: the three gradients, from what `differentiate_scores` wrote; each laid out as its map.

    Grid: tiles; blocks of channels, first `value_blocks` of the value's, then `key_blocks` of the key's, then the
    query's; images.
    """
    image = tl.program_id(2).to(tl.int64) * height * width
    weights += image * WINDOW * WINDOW
    grad_scores += image * WINDOW * WINDOW
    embedded = image * embedding
    valued = image * channels
    block = tl.program_id(1)
    if block < value_blocks:
        _sum_row_by_row(
            weights, grad_out + valued, grad_value + valued, block * BLOCK, channels, height, width,
            WINDOW, ROWS, COLUMNS, SPAN, BLOCK, GRAD_LAST, VALUE_LAST, True, False,
        )  # fmt: skip
    elif block < value_blocks + key_blocks:
        _sum_row_by_row(
            grad_scores, query + embedded, grad_key + embedded, (block - value_blocks) * EMBED, embedding, height,
            width,
            WINDOW, ROWS, COLUMNS, SPAN, EMBED, QUERY_LAST, KEY_LAST, True, True,
        )  # fmt: skip
    else:
        start = (block - value_blocks - key_blocks) * EMBED
        _sum_row_by_row(
            grad_scores, key + embedded, grad_query + embedded, start, embedding, height, width,
            WINDOW, ROWS, COLUMNS, SPAN, EMBED, KEY_LAST, QUERY_LAST, False, True,
        )  # fmt: skip
