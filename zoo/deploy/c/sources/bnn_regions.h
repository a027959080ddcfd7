/* Pixels whose kernels have the same positions in the image, and batches of them. Included by
 * bnn.c. */

/* Outputs [first, last) with the same kernel positions [from, to) in the image. */
typedef struct { int32_t first, last, from, to; } bnn_range;

static void bnn_positions(int32_t output, int32_t inputs, int32_t kernel, int32_t stride,
                          int32_t pad, int32_t dilation, int32_t *from, int32_t *to)
{
    const int32_t origin = output * stride - pad;
    *from = origin >= 0 ? 0 : (-origin + dilation - 1) / dilation;
    *to = origin >= inputs ? 0 : (inputs - 1 - origin) / dilation + 1;
    if (*to > kernel) *to = kernel;
    if (*from > *to) *from = *to;
}

static bnn_range bnn_range_from(int32_t first, int32_t outputs, int32_t inputs, int32_t kernel,
                                int32_t stride, int32_t pad, int32_t dilation)
{
    bnn_range range = {first, first + 1, 0, 0};
    bnn_positions(first, inputs, kernel, stride, pad, dilation, &range.from, &range.to);
    if (range.from == 0 && range.to == kernel) { /* up to the last output with its whole kernel inside */
        range.last = (inputs - 1 - (kernel - 1) * dilation + pad) / stride + 1;
        if (range.last > outputs) range.last = outputs;
        return range;
    }
    for (; range.last < outputs; ++range.last) {
        int32_t from, to;
        bnn_positions(range.last, inputs, kernel, stride, pad, dilation, &from, &to);
        if (from != range.from || to != range.to) break;
    }
    return range;
}

static bnn_taps bnn_taps_of(const bnn_layer *layer, bnn_range y, bnn_range x)
{
    bnn_taps taps;
    const bool binary = layer->kind == BNN_BINARY, real = layer->kind == BNN_REAL;
    /* Words per position: a pixel's signs, the channels that a filter reads, or one. */
    const int32_t words = binary ? layer->in_stride / 4 : real ? layer->group_in : 1;
    taps.top = y.from, taps.bottom = y.to, taps.left = x.from, taps.right = x.to;
    taps.row = (ptrdiff_t)layer->dilation_h * layer->in_w * layer->in_stride;
    taps.column = (ptrdiff_t)layer->dilation_w * layer->in_stride;
    taps.rows = y.to - y.from;
    taps.columns = x.to - x.from;
    taps.length = words;
    taps.w_column = words;
    taps.w_row = layer->kernel_w * words;
    taps.first = y.from * taps.w_row + x.from * taps.w_column;
    taps.filter = layer->kernel_h * taps.w_row;
    taps.signs = (float)(taps.rows * taps.columns * layer->in_c);
    taps.first_mask = taps.last_mask = 0xffffffffu;
    if (binary && layer->in_stride == 2) {
        taps.w_row = (layer->kernel_w + 1) / 2;
        taps.filter = layer->kernel_h * taps.w_row;
        taps.first = y.from * taps.w_row + x.from / 2;
        taps.length = (x.to + 1) / 2 - x.from / 2;
        if (x.from % 2) taps.first_mask = 0xffff0000u;
        if (x.to % 2) taps.last_mask = 0x0000ffffu;
    } else if ((binary || real) && taps.column == 4 * (ptrdiff_t)words) {
        taps.length *= taps.columns; /* neighbours in memory */
        taps.columns = taps.columns > 0;
    }
    return taps;
}

/* Pixels that are computed together: parts of regions, each with its own taps. */
typedef struct {
    const unsigned char *at[CHUNK]; /* address of the first word of each pixel's window */
    ptrdiff_t px[CHUNK];
    bnn_taps taps[PARTS];
    int32_t ends[PARTS]; /* the end of each part in `at` and `px` */
    int32_t parts;
} bnn_batch;

/* Add pixels of a region to a batch, until it has `most` pixels; return how many were added. */
static int32_t bnn_fill(bnn_batch *batch, const bnn_layer *layer, const unsigned char *input,
                        bnn_range y, bnn_range x, int32_t first, int32_t most)
{
    bnn_taps *taps = &batch->taps[batch->parts];
    const int32_t width = x.last - x.first, start = batch->parts ? batch->ends[batch->parts - 1] : 0;
    int32_t count = width * (y.last - y.first) - first, row = y.first + first / width;
    int32_t column = x.first + first % width;
    *taps = bnn_taps_of(layer, y, x);
    const bool empty = taps->top == taps->bottom || taps->left == taps->right;
    /* A run of 16-bit pixels begins with a whole word. */
    const ptrdiff_t before = taps->first_mask == 0xffffffffu ? 0 : layer->in_stride;
    const ptrdiff_t step = (ptrdiff_t)layer->stride_w * layer->in_stride;
    if (count > most - start) count = most - start;
    if (layer->quads) {
        const int32_t across = layer->out_w / 2;
        for (int32_t i = 0; i < count;) {
            const int32_t quad = (first + i) / 4;
            const int32_t top =
                (y.first + 2 * (quad / across)) * layer->out_w + 2 * (quad % across);
            for (int32_t corner = (first + i) % 4; corner < 4 && i < count; ++corner, ++i) {
                const ptrdiff_t pixel = top + corner / 2 * layer->out_w + corner % 2;
                batch->px[start + i] = pixel;
                batch->at[start + i] = input + pixel * layer->in_stride;
            }
        }
        batch->ends[batch->parts++] = start + count;
        return count;
    }
    for (int32_t i = start; i < start + count;) {
        const int32_t top = row * layer->stride_h - layer->pad_h + taps->top * layer->dilation_h;
        const int32_t left =
            column * layer->stride_w - layer->pad_w + taps->left * layer->dilation_w;
        /* If no part of the kernel is inside the image, nothing is read. */
        const unsigned char *at = empty ? input
            : input + ((ptrdiff_t)top * layer->in_w + left) * layer->in_stride - before;
        const int32_t number = row * layer->out_w;
        for (; column < x.last && i < start + count; ++column, ++i) {
            batch->at[i] = at;
            batch->px[i] = number + column;
            if (!empty) at += step;
        }
        column = x.first;
        ++row;
    }
    batch->ends[batch->parts++] = start + count;
    return count;
}

/* Return the words of a filter's weights; zero for layers without many weights. */
static int64_t bnn_filter(const bnn_layer *layer)
{
    const int32_t words = layer->kind == BNN_BINARY ? (layer->in_stride + 3) / 4
        : layer->kind == BNN_REAL ? layer->group_in : 0;
    return (int64_t)words * layer->kernel_h * layer->kernel_w;
}

/* Return how many pixels of a layer are in a batch. Steps read and write 16 channels of each pixel,
 * then the next 16. With FEW pixels all channels stay in the nearest cache, unless many weights
 * replace them. */
static int32_t bnn_most(const bnn_layer *layer)
{
    const int32_t most = bnn_filter(layer) * layer->out_c > 16 << 10 ? CHUNK : FEW;
    return layer->at_once > 0 && layer->at_once < most ? layer->at_once : most;
}
