/* Runs a layer, or two in turns, on one thread or several. Included by bnn.c. */

#ifdef _OPENMP
#include <omp.h>
#endif

/* Rows of a pair's second layer that are computed together. */
#define STRIP 4
/* Operations on vectors that a layer must have for several threads; those of the steps on a vector. */
#ifndef WORTH_SHARING
#define WORTH_SHARING 32768
#endif
#define STEP_OPERATIONS 8

/* Compute `blocks` times 16 channels of a batch. */
static void bnn_blocks(int set, const bnn_layer *layer, const bnn_batch *batch, int32_t block,
                       int32_t blocks, unsigned char *ws)
{
    for (int32_t part = 0, first = 0; part < batch->parts; first = batch->ends[part++])
        bnn_chunk(set, layer, &batch->taps[part], batch->at + first, batch->px + first,
                  batch->ends[part] - first, block, blocks, ws);
}

/* Compute all channels of a batch: the weights of 16 filters are read once for all its pixels.
 * `share`: threads share the channels. */
static void bnn_compute(int set, const bnn_layer *layer, const bnn_batch *batch, unsigned char *ws,
                        bool share)
{
    const int32_t blocks = (layer->out_c + 15) / 16;
    const bool real = layer->kind == BNN_REAL && layer->group_in == layer->in_c;
    const int32_t step = !real ? 1 : batch->ends[batch->parts - 1] == 1 ? DENSE : 2;
    if (share) {
#ifdef _OPENMP
#pragma omp parallel for
#endif
        for (int32_t block = 0; block < blocks; block += step)
            bnn_blocks(set, layer, batch, block, step < blocks - block ? step : blocks - block, ws);
    } else {
        for (int32_t block = 0; block < blocks; block += step)
            bnn_blocks(set, layer, batch, block, step < blocks - block ? step : blocks - block, ws);
    }
}

/* Compute the rows [first, last) of a layer's output, and of these the columns [left, right). */
static void bnn_part(const bnn_layer *layer, const float *image, unsigned char *workspace,
                     int32_t first, int32_t last, int32_t left, int32_t right, bool share)
{
    const int set = bnn_set();
    const unsigned char *input = layer->input == BNN_IMAGE
        ? (const unsigned char *)(const void *)image : workspace + layer->input;
    const int32_t most = bnn_most(layer);
    bnn_batch batch;
    batch.parts = 0;
    for (bnn_range y = {0, first, 0, 0}; y.last < last;) {
        y = bnn_range_from(y.last, layer->out_h, layer->in_h, layer->kernel_h, layer->stride_h,
                           layer->pad_h, layer->dilation_h);
        if (y.last > last) y.last = last;
        for (bnn_range x = {0, left, 0, 0}; x.last < right;) {
            x = bnn_range_from(x.last, layer->out_w, layer->in_w, layer->kernel_w, layer->stride_w,
                               layer->pad_w, layer->dilation_w);
            if (x.last > right) x.last = right;
            const int32_t pixels = (x.last - x.first) * (y.last - y.first);
            for (int32_t done = 0; done < pixels;) {
                done += bnn_fill(&batch, layer, input, y, x, done, most);
                if (batch.parts == PARTS || batch.ends[batch.parts - 1] == most) {
                    bnn_compute(set, layer, &batch, workspace, share);
                    batch.parts = 0;
                }
            }
        }
    }
    if (batch.parts > 0) bnn_compute(set, layer, &batch, workspace, share);
}

/* Threads share the filters of a map of one batch, because it may have many weights, and the pixels of
 * a larger map. If input and output overlap, one thread computes the pixels in their order. A layer of
 * some microseconds has one thread: to start and to await the others takes as long. */
void bnn_run(const bnn_layer *layer, const float *image, unsigned char *workspace)
{
    bool share = false;
#ifdef _OPENMP
    const int32_t threads = omp_get_max_threads();
    const int64_t pixels = (int64_t)layer->out_h * layer->out_w;
    const bool large = pixels * layer->out_c / 16 * (bnn_filter(layer) + STEP_OPERATIONS) > WORTH_SHARING;
    share = large && pixels <= bnn_most(layer);
    if (large && !share && threads > 1 && layer->at_once == 0) {
        const bool row = layer->out_h == 1; /* a 1x1 convolution has all pixels in one row */
        const int32_t unit = layer->quads ? 2 : 1;
        const int32_t units = (row ? layer->out_w : layer->out_h) / unit;
#pragma omp parallel for schedule(static, 1)
        for (int32_t part = 0; part < threads; ++part) {
            const int32_t from = (int32_t)((int64_t)units * part / threads) * unit;
            const int32_t to = (int32_t)((int64_t)units * (part + 1) / threads) * unit;
            if (row)
                bnn_part(layer, image, workspace, 0, 1, from, to, false);
            else
                bnn_part(layer, image, workspace, from, to, 0, layer->out_w, false);
        }
        return;
    }
#endif
    bnn_part(layer, image, workspace, 0, layer->out_h, 0, layer->out_w, share);
}

void bnn_run_pair(const bnn_layer *layer, const bnn_layer *next, const float *image,
                  unsigned char *workspace)
{
#ifdef _OPENMP
    if (omp_get_max_threads() > 1) {
        bnn_run(layer, image, workspace);
        bnn_run(next, image, workspace);
        return;
    }
#endif
    int32_t done = 0;
    for (int32_t row = 0; row < next->out_h; row += STRIP) {
        const int32_t end = row + STRIP < next->out_h ? row + STRIP : next->out_h;
        const int32_t below = (end - 1) * next->stride_h - next->pad_h
            + (next->kernel_h - 1) * next->dilation_h + 1;
        const int32_t needed =
            end == next->out_h || below > layer->out_h ? layer->out_h : below > done ? below : done;
        bnn_part(layer, image, workspace, done, needed, 0, layer->out_w, false);
        bnn_part(next, image, workspace, row, end, 0, next->out_w, false);
        done = needed;
    }
}
