"""The kernels of path `triton`: local attention in one launch forward and two backward. `mila.kernels.fused` runs them.

A program owns ROWS rows of PIXELS pixels and a block of channels. It first computes the weights of Eq. 2 of its pixels,
neighbour by neighbour. Then it walks through the neighbours again and adds the weighted values of all its pixels to
sums that stay in registers. Memory is read about once, the nearest cache (ROWS + L - 1) / ROWS x L times; tensor cores
would have to multiply six times as much, most of it outside the windows.

Weights lie in `[N, H, columns, L * L, PIXELS]`, float32, columns = ceil(W / PIXELS): those that all pixels of a block
have for one neighbour stand side by side. Backward reads them again: the first kernel computes the gradients of the
scores, laid out alike, the second sums with both, read from the pixel's side for the query's gradient and from the
neighbour's for those of key and value. Nothing is added atomically: the result is the same each time. All sums are in
float32.

Maps are dense, `[N, C, H, W]` or, where the flag ..._LAST says so, `[N, H, W, C]`. Blocks of channels are powers of
two; what they have more than the map is masked. Annotations are not postponed: Triton's interpreter reads them.
"""

import triton
import triton.language as tl


@triton.jit
def _load(source, start, y, x, channels, height, width, BLOCK: tl.constexpr, LAST: tl.constexpr):
    """`[PIXELS, BLOCK]` channels, float32, of the pixels x `[PIXELS]` in row y; 0 outside the image."""
    channel = start + tl.arange(0, BLOCK)
    inside = ((x >= 0) & (x < width) & (y >= 0) & (y < height))[:, None] & (channel < channels)[None, :]
    place = _place(channel, y, x, channels, height, width, LAST)
    return tl.load(source + place, mask=inside, other=0.0).to(tl.float32)


@triton.jit
def _place(channel, y, x, channels, height, width, LAST: tl.constexpr):
    """Offsets `[PIXELS, BLOCK]` within an image."""
    if LAST:
        return ((y * width + x) * channels)[:, None] + channel[None, :]
    else:  # noqa: RET505, where Triton compiles one of the two
        return (channel * height * width)[None, :] + (y * width + x)[:, None]


@triton.jit
def _tile(width, ROWS: tl.constexpr, PIXELS: tl.constexpr):
    """The program's first row, and the block of columns that it owns in each of its rows."""
    columns = tl.cdiv(width, PIXELS)
    return tl.program_id(0) // columns * ROWS, tl.program_id(0) % columns


@triton.jit
def _line(y, block, width, WINDOW: tl.constexpr, PIXELS: tl.constexpr):
    """Offsets `[PIXELS]` of the weights for the first neighbour, of a block of columns in row y."""
    first = (y * tl.cdiv(width, PIXELS) + block) * (WINDOW * WINDOW * PIXELS)
    return first + tl.arange(0, PIXELS)


@triton.jit
def _weigh(
    query,
    key,
    weights,
    y,
    block,
    embedding: tl.constexpr,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    EMBED: tl.constexpr,
    QUERY_LAST: tl.constexpr,
    KEY_LAST: tl.constexpr,
):
    """The weights of Eq. 2 of a block of columns in row y: first the scores, then their softmax."""
    x = block * PIXELS + tl.arange(0, PIXELS)
    place = weights + _line(y, block, width, WINDOW, PIXELS)
    queries = _load(query, 0, y, x, embedding, height, width, EMBED, QUERY_LAST)
    highest = tl.full((PIXELS,), float("-inf"), dtype=tl.float32)
    total = tl.zeros((PIXELS,), dtype=tl.float32)
    for down in range(WINDOW):
        row = y + down - WINDOW // 2
        for right in tl.static_range(WINDOW):
            column = x + right - WINDOW // 2
            keys = _load(key, 0, row, column, embedding, height, width, EMBED, KEY_LAST)
            inside = (column >= 0) & (column < width) & (row >= 0) & (row < height)
            score = tl.where(inside, tl.sum(queries * keys, 1), float("-inf"))
            higher = tl.maximum(highest, score)
            base = tl.where(higher == float("-inf"), 0.0, higher)  # where no neighbour was in the image yet
            total = total * tl.exp(highest - base) + tl.exp(score - base)
            highest = higher
            tl.store(place + (down * WINDOW + right) * PIXELS, score)
    base = tl.where(highest == float("-inf"), 0.0, highest)
    share = 1.0 / tl.where(total == 0.0, 1.0, total)  # right of the image there is nothing to share
    tl.debug_barrier()
    for neighbour in range(WINDOW * WINDOW):
        score = tl.load(place + neighbour * PIXELS)
        tl.store(place + neighbour * PIXELS, tl.exp(score - base) * share)


@triton.jit
def _read_weight(
    weights,
    y,
    block,
    down,
    right,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    NEIGHBOURS: tl.constexpr,
):
    """The weights `[PIXELS]` of a block of columns in row y for one place in their windows; 0 outside the window.

    NEIGHBOURS: the weight that the neighbour at that place has for the pixel.
    """
    x = block * PIXELS + tl.arange(0, PIXELS)
    counts = (down >= 0) & (down < WINDOW) & (y < height)
    if NEIGHBOURS:
        row = y + down - WINDOW // 2
        column = x + right - WINDOW // 2
        opposite = (WINDOW - 1 - down) * WINDOW + WINDOW - 1 - right
        line = row * tl.cdiv(width, PIXELS) + column // PIXELS
        place = (line * (WINDOW * WINDOW) + opposite) * PIXELS + column % PIXELS
        inside = counts & (row >= 0) & (row < height) & (column >= 0) & (column < width)
    else:
        place = _line(y, block, width, WINDOW, PIXELS) + (down * WINDOW + right) * PIXELS
        inside = counts
    return tl.load(weights + place, mask=inside, other=0.0)


@triton.jit
def _sum_over_windows(
    weights,
    source,
    result,
    start,
    y,
    block,
    channels,
    height,
    width,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
    BLOCK: tl.constexpr,
    SOURCE_LAST: tl.constexpr,
    RESULT_LAST: tl.constexpr,
    NEIGHBOURS: tl.constexpr,
):
    """A block of channels of weight times source, summed over the windows of one or two rows of pixels."""
    x = block * PIXELS + tl.arange(0, PIXELS)
    sums = tl.zeros((PIXELS, BLOCK), dtype=tl.float32)
    below = tl.zeros((PIXELS, BLOCK), dtype=tl.float32)
    for down in range(WINDOW + ROWS - 1):
        row = y + down - WINDOW // 2
        if (row >= 0) & (row < height):
            for right in tl.static_range(WINDOW):
                values = _load(source, start, row, x + right - WINDOW // 2, channels, height, width, BLOCK, SOURCE_LAST)
                weight = _read_weight(weights, y, block, down, right, height, width, WINDOW, PIXELS, NEIGHBOURS)
                sums += weight[:, None] * values
                if ROWS == 2:
                    weight = _read_weight(
                        weights, y + 1, block, down - 1, right, height, width, WINDOW, PIXELS, NEIGHBOURS
                    )
                    below += weight[:, None] * values
    channel = start + tl.arange(0, BLOCK)
    kept = (x < width)[:, None] & (channel < channels)[None, :]
    place = result + _place(channel, y, x, channels, height, width, RESULT_LAST)
    tl.store(place, sums.to(result.dtype.element_ty), mask=kept & (y < height))
    if ROWS == 2:
        place = result + _place(channel, y + 1, x, channels, height, width, RESULT_LAST)
        tl.store(place, below.to(result.dtype.element_ty), mask=kept & (y + 1 < height))


@triton.jit
def attend(
    query,
    key,
    value,
    out,
    weights,
    weights_size,
    channels,
    height,
    width,
    embedding: tl.constexpr,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
    QUERY_LAST: tl.constexpr,
    KEY_LAST: tl.constexpr,
    VALUE_LAST: tl.constexpr,
):
    """Eqs. 1 and 2. Grid: tiles, blocks of the value's channels, images. `out` is laid out as `value`.

    Each block of channels has weights of its own, `weights_size` numbers an image, as no program waits for another.
    """
    image = tl.program_id(2).to(tl.int64)
    query += image * height * width * embedding
    key += image * height * width * embedding
    weights += (tl.program_id(1) * tl.num_programs(2) + image) * weights_size
    y, block = _tile(width, ROWS, PIXELS)
    for below in tl.static_range(ROWS):
        if y + below < height:
            _weigh(
                query, key, weights, y + below, block, embedding, height, width,
                WINDOW, PIXELS, EMBED, QUERY_LAST, KEY_LAST,
            )  # fmt: skip
    tl.debug_barrier()
    start = tl.program_id(1) * BLOCK
    value += image * height * width * channels
    out += image * height * width * channels
    _sum_over_windows(
        weights, value, out, start, y, block, channels, height, width,
        WINDOW, ROWS, PIXELS, BLOCK, VALUE_LAST, VALUE_LAST, False,
    )  # fmt: skip


@triton.jit
def differentiate_scores(
    value,
    grad_out,
    weights,
    grad_scores,
    weights_size,
    channels,
    height,
    width,
    WINDOW: tl.constexpr,
    PIXELS: tl.constexpr,
    BLOCK: tl.constexpr,
    VALUE_LAST: tl.constexpr,
    GRAD_LAST: tl.constexpr,
):
    """Backward, first: `grad_scores`, laid out as `weights`. Grid: tiles of one row, 1, images."""
    image = tl.program_id(2).to(tl.int64)
    value += image * height * width * channels
    grad_out += image * height * width * channels
    y, block = _tile(width, 1, PIXELS)
    x = block * PIXELS + tl.arange(0, PIXELS)
    line = image * weights_size + _line(y, block, width, WINDOW, PIXELS)
    # what the weights' gradients would be: inner products with the neighbours' values
    for start in range(0, channels, BLOCK):
        grads = _load(grad_out, start, y, x, channels, height, width, BLOCK, GRAD_LAST)
        for down in range(WINDOW):
            for right in tl.static_range(WINDOW):
                row, column = y + down - WINDOW // 2, x + right - WINDOW // 2
                values = _load(value, start, row, column, channels, height, width, BLOCK, VALUE_LAST)
                product = tl.sum(grads * values, 1)
                place = grad_scores + line + (down * WINDOW + right) * PIXELS
                if start > 0:
                    product += tl.load(place)
                tl.store(place, product)
        tl.debug_barrier()
    mean = tl.zeros((PIXELS,), dtype=tl.float32)
    for neighbour in range(WINDOW * WINDOW):
        weight = tl.load(weights + line + neighbour * PIXELS)
        mean += weight * tl.load(grad_scores + line + neighbour * PIXELS)
    tl.debug_barrier()
    for neighbour in range(WINDOW * WINDOW):
        weight = tl.load(weights + line + neighbour * PIXELS)
        product = tl.load(grad_scores + line + neighbour * PIXELS)
        tl.store(grad_scores + line + neighbour * PIXELS, weight * (product - mean))


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
    channels,
    height,
    width,
    embedding: tl.constexpr,
    WINDOW: tl.constexpr,
    ROWS: tl.constexpr,
    PIXELS: tl.constexpr,
    EMBED: tl.constexpr,
    BLOCK: tl.constexpr,
    QUERY_LAST: tl.constexpr,
    KEY_LAST: tl.constexpr,
    VALUE_LAST: tl.constexpr,
    GRAD_LAST: tl.constexpr,
):
    """Backward, second: the three gradients, from weights and gradients of scores; each laid out as its map.

    Grid: tiles; blocks of channels, first `value_blocks` of the value's, then `key_blocks` (0 or 1) of the key's, then
    the query's; images.
    """
    image = tl.program_id(2).to(tl.int64)
    weights += image * weights_size
    grad_scores += image * weights_size
    embedded = image * height * width * embedding
    valued = image * height * width * channels
    y, block = _tile(width, ROWS, PIXELS)
    number = tl.program_id(1)
    if number < value_blocks:
        _sum_over_windows(
            weights, grad_out + valued, grad_value + valued, number * BLOCK, y, block, channels, height, width,
            WINDOW, ROWS, PIXELS, BLOCK, GRAD_LAST, VALUE_LAST, True,
        )  # fmt: skip
    elif number < value_blocks + key_blocks:
        _sum_over_windows(
            grad_scores, query + embedded, grad_key + embedded, 0, y, block, embedding, height, width,
            WINDOW, ROWS, PIXELS, EMBED, QUERY_LAST, KEY_LAST, True,
        )  # fmt: skip
    else:
        _sum_over_windows(
            grad_scores, key + embedded, grad_query + embedded, 0, y, block, embedding, height, width,
            WINDOW, ROWS, PIXELS, EMBED, KEY_LAST, QUERY_LAST, False,
        )  # fmt: skip
