/* The layers in one instruction set; see bnn_vectors.h. Included by bnn.c after it. */

#include "bnn_steps.h"

/* Compute sums of signs: 16 filters, one in each lane, times P pixels. Each weight is read once for
 * all pixels; each word of a pixel is broadcast to all filters. */
TARGET BNN_INLINE void V(binary)(const int P, V(f) *v, const unsigned char *const *at,
                                 const bnn_taps *taps, const uint32_t *weights, const V(f) base)
{
    V(counts) count[PIXELS];
    int32_t left = BURST;
    EACH count[i] = C_ZERO();
    EACH v[i] = base;
    for (int32_t row = 0; row < taps->rows; ++row)
        for (int32_t column = 0; column < taps->columns; ++column) {
            const uint32_t *w = weights + 16 * (ptrdiff_t)(row * taps->w_row + column * taps->w_column);
            ptrdiff_t offset = row * taps->row + column * taps->column;
            for (int32_t n = taps->length; n > 0;) {
                int32_t k = BURSTS && left < n ? left : n;
                n -= k;
                if (BURSTS) left -= k;
                for (; k > 0; --k, w += 16, offset += 4) {
                    const V(words) x = W_LOAD(w);
                    EACH count[i] = C_COUNT(count[i], x, bnn_word(at[i] + offset));
                }
                if (BURSTS && left == 0) {
                    left = BURST;
                    EACH v[i] = F_SUMS(v[i], count[i]);
                    EACH count[i] = C_ZERO();
                }
            }
        }
    EACH v[i] = F_SUMS(v[i], count[i]);
}

/* The same for pixels of 16 signs, two per word. A row of the kernel may begin or end in the middle
 * of a word: then the other half, which belongs to a neighbouring pixel, is masked. */
TARGET BNN_INLINE void V(pairs)(const int P, V(f) *v, const unsigned char *const *at,
                                const bnn_taps *taps, const uint32_t *weights, const V(f) base)
{
    V(counts) count[PIXELS];
    int32_t left = BURST;
    EACH count[i] = C_ZERO();
    EACH v[i] = base;
    for (int32_t row = 0; row < taps->rows; ++row) {
        const uint32_t *w = weights + 16 * (ptrdiff_t)(row * taps->w_row);
        ptrdiff_t offset = row * taps->row;
        int32_t k = 0;
        for (; k + 2 <= taps->length; k += 2, w += 32, offset += 8) {
            const V(words) x = W_LOAD(w), y = W_LOAD(w + 16);
            const uint32_t first = k == 0 ? taps->first_mask : 0xffffffffu;
            const uint32_t second = k + 2 == taps->length ? taps->last_mask : 0xffffffffu;
            EACH {
                const unsigned char *p = at[i] + offset;
                count[i] = C_COUNT_MASKED(count[i], x, bnn_word(p), first);
                count[i] = C_COUNT_MASKED(count[i], y, bnn_word(p + 4), second);
            }
            if (BURSTS && (left -= 2) < 2) {
                left = BURST;
                EACH v[i] = F_SUMS(v[i], count[i]);
                EACH count[i] = C_ZERO();
            }
        }
        if (k < taps->length) {
            const V(words) x = W_LOAD(w);
            const uint32_t mask = taps->last_mask & (k == 0 ? taps->first_mask : 0xffffffffu);
            EACH count[i] = C_COUNT_MASKED(count[i], x, bnn_word(at[i] + offset), mask);
            if (BURSTS && --left < 2) {
                left = BURST;
                EACH v[i] = F_SUMS(v[i], count[i]);
                EACH count[i] = C_ZERO();
            }
        }
    }
    EACH v[i] = F_SUMS(v[i], count[i]);
}

/* The same in float32, for `blocks` times 16 filters (1 or BLOCKS). Each broadcast value serves all of
 * them: a processor with two loads and two products a cycle would else wait for its loads. */
TARGET BNN_INLINE void V(real)(const int P, const int blocks, V(f) *v, const unsigned char *const *at,
                               const bnn_taps *taps, const float *weights)
{
    const ptrdiff_t filter = 16 * (ptrdiff_t)taps->filter;
    V(f) sum[BLOCKS][PIXELS];
    EACH_BLOCK EACH sum[b][i] = F_ALL(0.0f);
    for (int32_t row = 0; row < taps->rows; ++row)
        for (int32_t column = 0; column < taps->columns; ++column) {
            const float *w = weights + 16 * (ptrdiff_t)(row * taps->w_row + column * taps->w_column);
            ptrdiff_t offset = row * taps->row + column * taps->column;
            for (int32_t n = taps->length; n > 0; --n, w += 16, offset += 4) {
                V(f) x[BLOCKS];
                EACH_BLOCK x[b] = F_LOAD(w + b * filter);
                EACH {
                    const V(f) pixel = F_ALL(bnn_float(at[i] + offset));
                    EACH_BLOCK sum[b][i] = F_MADD(pixel, x[b], sum[b][i]);
                }
            }
        }
    EACH_BLOCK EACH v[b * PIXELS + i] = sum[b][i];
}

/* The same for one pixel and P times 16 filters, for dense layers: the sums do not depend on each
 * other, and the weights are read as P streams. The order of additions and the result are equal to
 * those of V(real). */
TARGET BNN_INLINE void V(dense)(const int P, V(f) *sum, const unsigned char *at, const bnn_taps *taps,
                                const float *weights)
{
    const ptrdiff_t filter = 16 * (ptrdiff_t)taps->filter;
    EACH sum[i] = F_ALL(0.0f);
    for (int32_t n = 0; n < taps->length; ++n, weights += 16) {
        const V(f) x = F_ALL(bnn_float(at + 4 * (ptrdiff_t)n));
        EACH sum[i] = F_MADD(x, F_LOAD(weights + i * filter), sum[i]);
    }
}

/* Compute P pixels of a pooling or a depthwise convolution; each lane is a channel. */
TARGET BNN_INLINE void V(window)(const int P, const bnn_layer *layer, const bnn_taps *taps, V(f) *v,
                                 const unsigned char *const *at, const int32_t block)
{
#define EACH_TAP(value) \
    for (int32_t row = 0; row < taps->rows; ++row) \
        for (int32_t column = 0; column < taps->columns; ++column) { \
            const ptrdiff_t tap = row * taps->row + column * taps->column + 64 * (ptrdiff_t)block; \
            value; \
        }
#define X F_LOAD(bnn_floats(at[i] + tap))
    const V(f) first = F_ALL(layer->kind == BNN_MAXIMUM ? -FLT_MAX : 0.0f);
    EACH v[i] = first;
    if (layer->kind == BNN_MAXIMUM) {
        EACH_TAP(EACH v[i] = F_MAX(v[i], X))
    } else if (layer->kind == BNN_DEPTHWISE) {
        const float *weights = (const float *)layer->weights
            + 16 * (ptrdiff_t)(block * layer->kernel_h * layer->kernel_w + taps->first);
        EACH_TAP(const V(f) w = F_LOAD(weights + 16 * (row * taps->w_row + column * taps->w_column));
                 EACH v[i] = F_MADD(X, w, v[i]))
    } else {
        const float count = (float)(taps->rows * taps->columns);
        EACH_TAP(EACH v[i] = F_ADD(v[i], X))
        if (count > 1.0f) EACH v[i] = F_MUL(v[i], F_ALL(1.0f / count));
    }
#undef X
#undef EACH_TAP
}

/* Load 16 channels of a pixel, shifted by layer->channel; zeros for channels that do not exist. */
TARGET BNN_INLINE V(f) V(moved)(const bnn_layer *layer, const unsigned char *at, int32_t c)
{
    float lane[16] = {0};
    const int32_t start = c < layer->channel ? layer->channel - c : 0;
    const int32_t end = layer->channel + layer->in_c - c < 16 ? layer->channel + layer->in_c - c : 16;
    const unsigned char *from = at + 4 * (ptrdiff_t)(c + start - layer->channel);
    if (end - start == 8) /* half a vector, a frequent case: copies of a constant size are fast */
        memcpy(lane + start, from, 8 * sizeof *lane);
    else if (end > start)
        memcpy(lane + start, from, (size_t)(end - start) * sizeof *lane);
    return F_LOAD(lane);
}

/* Compute 16 channels of P pixels: the layer's operation, then its steps. */
TARGET BNN_INLINE void V(group)(const int P, const bnn_layer *layer, const bnn_taps *taps,
                                const unsigned char *const *at, const ptrdiff_t *px,
                                const int32_t block, const float *base, unsigned char *ws)
{
    V(f) v[PIXELS];
    const ptrdiff_t c = 16 * (ptrdiff_t)block;
    switch (layer->kind) {
    case BNN_BINARY: {
        const uint32_t *w =
            (const uint32_t *)layer->weights + 16 * (ptrdiff_t)(taps->first + block * taps->filter);
        const V(f) start = base ? F_LOAD(base) : F_ALL(taps->signs);
        if (layer->in_stride == 2)
            V(pairs)(P, v, at, taps, w, start);
        else
            V(binary)(P, v, at, taps, w, start);
        break;
    }
    case BNN_REAL: {
        const unsigned char *moved[PIXELS];
        const ptrdiff_t first = 4 * (c / layer->group_out * layer->group_in);
        EACH moved[i] = at[i] + first;
        V(real)(P, 1, v, moved, taps,
                (const float *)layer->weights + 16 * (taps->first + block * taps->filter));
        break;
    }
    case BNN_LOAD:
        if (taps->rows * taps->columns == 0) {
            EACH v[i] = F_ALL(0.0f);
        } else if (c >= layer->channel && c + 16 <= layer->channel + layer->in_c) {
            EACH v[i] = F_LOAD(bnn_floats(at[i] + 4 * (c - layer->channel)));
        } else {
            EACH v[i] = V(moved)(layer, at[i], 16 * block);
        }
        break;
    default:
        V(window)(P, layer, taps, v, at, block);
    }
    V(steps)(P, layer, v, px, block, ws);
}

/* Compute `blocks` times 16 filters of one pixel. */
TARGET BNN_INLINE void V(dense_blocks)(const bnn_layer *layer, const bnn_taps *taps,
                                       const unsigned char *at, const ptrdiff_t *px, int32_t block,
                                       int32_t blocks, unsigned char *ws)
{
    V(f) v[DENSE];
    const float *weights = (const float *)layer->weights
        + 16 * (ptrdiff_t)(taps->first + block * taps->filter);
    if (blocks == DENSE)
        V(dense)(DENSE, v, at, taps, weights);
    for (int32_t i = 0; i < blocks; ++i) {
        if (blocks < DENSE) V(dense)(1, v + i, at, taps, weights + 16 * (ptrdiff_t)(i * taps->filter));
        V(steps)(1, layer, v + i, px, block + i, ws);
    }
}

/* Compute BLOCKS times 16 filters of PIXELS pixels. */
TARGET BNN_INLINE void V(real_blocks)(const bnn_layer *layer, const bnn_taps *taps,
                                      const unsigned char *const *at, const ptrdiff_t *px,
                                      int32_t block, unsigned char *ws)
{
    V(f) v[BLOCKS * PIXELS];
    V(real)(PIXELS, BLOCKS, v, at, taps,
            (const float *)layer->weights + 16 * (ptrdiff_t)(taps->first + block * taps->filter));
    for (int b = 0; b < BLOCKS; ++b) V(steps)(PIXELS, layer, v + b * PIXELS, px, block + b, ws);
}

/* Compute `blocks` times 16 channels of up to CHUNK pixels with the same positions of the kernel in
 * the image. */
TARGET BNN_NEVER_INLINE void V(chunk)(const bnn_layer *layer, const bnn_taps *taps,
                                      const unsigned char *const *at, const ptrdiff_t *px,
                                      int32_t pixels, int32_t block, int32_t blocks,
                                      unsigned char *ws)
{
    float outside[16], *base = 0;
    int32_t done = 0;
    if (blocks > 1 && pixels == 1 && taps->rows * taps->columns == 1) {
        V(dense_blocks)(layer, taps, at[0], px, block, blocks, ws);
        return;
    }
    if (BLOCKS > 1 && blocks == BLOCKS)
        for (; done + PIXELS <= pixels; done += PIXELS)
            V(real_blocks)(layer, taps, at + done, px + done, block, ws);
    for (; blocks > 0; --blocks, ++block) {
        int32_t i = done;
        if (layer->kind == BNN_BINARY && layer->fill != 0)
            bnn_base(layer, taps, block, base = outside);
        for (; i + PIXELS <= pixels; i += PIXELS)
            V(group)(PIXELS, layer, taps, at + i, px + i, block, base, ws);
        if (PIXELS > 4 && i + 4 <= pixels) {
            V(group)(PIXELS > 4 ? 4 : 1, layer, taps, at + i, px + i, block, base, ws);
            i += 4;
        }
        if (PIXELS > 2 && i + 2 <= pixels) {
            V(group)(PIXELS > 2 ? 2 : 1, layer, taps, at + i, px + i, block, base, ws);
            i += 2;
        }
        if (i < pixels) V(group)(1, layer, taps, at + i, px + i, block, base, ws);
    }
}

#undef V
#undef TARGET
#undef PIXELS
#undef BLOCKS
#undef BURST
#undef BURSTS
#undef F_LOAD
#undef F_STORE
#undef F_ALL
#undef F_ADD
#undef F_MUL
#undef F_MADD
#undef F_MIN
#undef F_MAX
#undef F_PRELU
#undef F_REACHES
#undef F_SUMS
#undef W_LOAD
#undef C_ZERO
#undef C_COUNT
#undef C_COUNT_MASKED
