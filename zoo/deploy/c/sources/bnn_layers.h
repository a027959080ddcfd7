/* The layers in one instruction set; see bnn_vectors.h. Included by bnn.c after it. */

/* Run the layer's steps on channels `16 * block` and following of P pixels, numbers `px`. */
TARGET BNN_INLINE void V(steps)(const int P, const bnn_layer *layer, V(f) *v,
                                const int32_t *px, const int32_t block, unsigned char *ws)
{
    const int32_t c = 16 * block;
    for (const bnn_step *s = layer->steps, *end = s + layer->step_count; s != end; ++s) {
        unsigned char *tensor = ws + s->offset + 4 * c;
        switch (s->kind) {
        case BNN_AFFINE: {
            const V(f) a = F_LOAD(s->a + c), b = F_LOAD(s->b + c);
            EACH v[i] = F_MADD(v[i], a, b);
            break;
        }
        case BNN_SCALE: {
            const V(f) a = F_LOAD(s->a + c);
            EACH v[i] = F_MUL(v[i], a);
            break;
        }
        case BNN_SHIFT: {
            const V(f) b = F_LOAD(s->b + c);
            EACH v[i] = F_ADD(v[i], b);
            break;
        }
        case BNN_ADD:
            EACH v[i] = F_ADD(v[i], F_LOAD(bnn_floats(tensor + (ptrdiff_t)px[i] * s->stride)));
            break;
        case BNN_MULTIPLY:
            EACH v[i] = F_MUL(v[i], F_LOAD(bnn_floats(tensor + (ptrdiff_t)px[i] * s->stride)));
            break;
        case BNN_CONSTANT:
            EACH v[i] = F_MUL(v[i], F_LOAD(s->a + (ptrdiff_t)px[i] * s->stride + c));
            break;
        case BNN_PIXEL:
            EACH v[i] = F_MUL(v[i], F_ALL(s->a[px[i]]));
            break;
        case BNN_ROW:
            EACH v[i] = F_MUL(v[i], F_ALL(s->a[px[i] / s->stride] * s->b[px[i] % s->stride]));
            break;
        case BNN_PRELU: {
            const V(f) a = F_LOAD(s->a + c);
            EACH v[i] = F_PRELU(v[i], a);
            break;
        }
        case BNN_CLIP: {
            const V(f) low = F_ALL(s->a[0]), high = F_ALL(s->a[1]);
            if (s->a[2] == 0.0f) {
                EACH v[i] = F_MIN(F_MAX(v[i], low), high);
            } else {
                const V(f) slope = F_ALL(s->a[2]), rest = F_ALL(1.0f - s->a[2]);
                EACH v[i] = F_MADD(v[i], slope, F_MUL(rest, F_MIN(F_MAX(v[i], low), high)));
            }
            break;
        }
        case BNN_FUNCTION: { /* by memory, as no value may stay in a register during the call */
            float lanes[16 * PIXELS];
            EACH F_STORE(lanes + 16 * i, v[i]);
            bnn_functions(s->stride, lanes, 16 * P);
            EACH v[i] = F_LOAD(lanes + 16 * i);
            break;
        }
        case BNN_STORE:
            EACH F_STORE(bnn_floats_at(tensor + (ptrdiff_t)px[i] * s->stride), v[i]);
            break;
        case BNN_POOL: /* pixels come in fours, two above two: at once, or one pair after the other */
            for (int i = 0; i + (PIXELS < 4 ? 2 : 4) <= P; i += PIXELS < 4 ? 2 : 4) {
                const int32_t row = px[i] / layer->out_w, column = px[i] % layer->out_w;
                const ptrdiff_t pixel = (ptrdiff_t)(row / 2) * (layer->out_w / 2) + column / 2;
                unsigned char *mean = tensor + pixel * s->stride;
                V(f) sum = F_ADD(v[i], v[(i + 1) % PIXELS]);
                if (PIXELS < 4 && row % 2 == 0) {
                    F_STORE(bnn_floats_at(mean), sum);
                    continue;
                }
                if (PIXELS < 4)
                    sum = F_ADD(F_LOAD(bnn_floats(mean)), sum);
                else
                    sum = F_ADD(sum, F_ADD(v[(i + 2) % PIXELS], v[(i + 3) % PIXELS]));
                F_STORE(bnn_floats_at(mean), F_MUL(sum, F_ALL(0.25f)));
            }
            break;
        default: { /* BNN_SIGN, BNN_LAST_SIGN */
            const V(f) threshold = F_LOAD(s->a + c);
            const unsigned flip = s->flip ? s->flip[block] : 0;
            unsigned char *bits = ws + s->offset + 2 * block;
            if (s->kind == BNN_LAST_SIGN && 16 * (block + 1) >= layer->out_c) {
                EACH {
                    const uint32_t sign = F_REACHES(v[i], threshold) ^ flip;
                    memcpy(bits + (ptrdiff_t)px[i] * s->stride, &sign, sizeof sign);
                }
                break;
            }
            EACH {
                const uint16_t sign = (uint16_t)(F_REACHES(v[i], threshold) ^ flip);
                memcpy(bits + (ptrdiff_t)px[i] * s->stride, &sign, sizeof sign);
            }
        }
        }
    }
}

/* Sums of signs: 16 filters, one in each lane, times P pixels. Each weight is read once for all
 * pixels, each word of a pixel is broadcast to all filters. */
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
                int32_t k = n < left ? n : left;
                n -= k;
                left -= k;
                for (; k > 0; --k, w += 16, offset += 4) {
                    const V(words) x = W_LOAD(w);
                    EACH count[i] = C_COUNT(count[i], x, bnn_word(at[i] + offset));
                }
                if (left == 0) {
                    left = BURST;
                    EACH v[i] = F_SUMS(v[i], count[i]);
                    EACH count[i] = C_ZERO();
                }
            }
        }
    EACH v[i] = F_SUMS(v[i], count[i]);
}

/* The same for pixels of 16 signs, two to a word. A row of the kernel may begin or end within a
 * word: the half outside is masked, whatever the neighbouring pixel there holds. */
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
            if ((left -= 2) < 2) {
                left = BURST;
                EACH v[i] = F_SUMS(v[i], count[i]);
                EACH count[i] = C_ZERO();
            }
        }
        if (k < taps->length) {
            const V(words) x = W_LOAD(w);
            const uint32_t mask = taps->last_mask & (k == 0 ? taps->first_mask : 0xffffffffu);
            EACH count[i] = C_COUNT_MASKED(count[i], x, bnn_word(at[i] + offset), mask);
            if (--left < 2) {
                left = BURST;
                EACH v[i] = F_SUMS(v[i], count[i]);
                EACH count[i] = C_ZERO();
            }
        }
    }
    EACH v[i] = F_SUMS(v[i], count[i]);
}

/* The same in float32. */
TARGET BNN_INLINE void V(real)(const int P, V(f) *v, const unsigned char *const *at,
                               const bnn_taps *taps, const float *weights)
{
    V(f) sum[PIXELS];
    EACH sum[i] = F_ALL(0.0f);
    for (int32_t row = 0; row < taps->rows; ++row)
        for (int32_t column = 0; column < taps->columns; ++column) {
            const float *w = weights + 16 * (ptrdiff_t)(row * taps->w_row + column * taps->w_column);
            ptrdiff_t offset = row * taps->row + column * taps->column;
            for (int32_t n = taps->length; n > 0; --n, w += 16, offset += 4) {
                const V(f) x = F_LOAD(w);
                EACH sum[i] = F_MADD(F_ALL(bnn_float(at[i] + offset)), x, sum[i]);
            }
        }
    EACH v[i] = sum[i];
}

/* One pixel of a pooling or a depthwise convolution; channels lie in lanes as they do in memory. */
TARGET BNN_INLINE V(f) V(window)(const bnn_layer *layer, const bnn_taps *taps,
                                 const unsigned char *at, const int32_t block)
{
    const bool maximum = layer->kind == BNN_MAXIMUM;
    V(f) v = F_ALL(maximum ? -FLT_MAX : 0.0f);
    for (int32_t row = 0; row < taps->rows; ++row)
        for (int32_t column = 0; column < taps->columns; ++column) {
            const V(f) x = F_LOAD(bnn_floats(at + row * taps->row + column * taps->column));
            if (layer->kind == BNN_DEPTHWISE) {
                const float *w = (const float *)layer->weights
                    + 16 * (ptrdiff_t)(block * layer->kernel_h * layer->kernel_w
                                       + taps->first + row * taps->w_row + column * taps->w_column);
                v = F_MADD(x, F_LOAD(w), v);
            } else {
                v = maximum ? F_MAX(v, x) : F_ADD(v, x);
            }
        }
    if (layer->kind == BNN_MEAN && taps->rows * taps->columns > 1)
        v = F_MUL(v, F_ALL(1.0f / (float)(taps->rows * taps->columns)));
    return v;
}

/* 16 channels of a pixel, moved by layer->channel; zeros where there are none. */
TARGET BNN_INLINE V(f) V(moved)(const bnn_layer *layer, const unsigned char *at, int32_t c)
{
    float lane[16] = {0};
    const int32_t start = c < layer->channel ? layer->channel - c : 0;
    const int32_t end = layer->channel + layer->in_c - c < 16 ? layer->channel + layer->in_c - c : 16;
    const unsigned char *from = at + 4 * (ptrdiff_t)(c + start - layer->channel);
    if (end - start == 8) /* half, as between 16 and 32 channels; of a constant size, a copy is fast */
        memcpy(lane + start, from, 8 * sizeof *lane);
    else if (end > start)
        memcpy(lane + start, from, (size_t)(end - start) * sizeof *lane);
    return F_LOAD(lane);
}

/* 16 channels of P pixels: what the layer's kind computes, then the steps. */
TARGET BNN_INLINE void V(group)(const int P, const bnn_layer *layer, const bnn_taps *taps,
                                const unsigned char *const *at, const int32_t *px,
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
        V(real)(P, v, moved, taps,
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
        EACH v[i] = V(window)(layer, taps, at[i] + 4 * c, block);
    }
    V(steps)(P, layer, v, px, block, ws);
}

/* Every channel of up to CHUNK pixels that have the same positions of the kernel in the image. */
TARGET BNN_NEVER_INLINE void V(chunk)(const bnn_layer *layer, const bnn_taps *taps,
                                      const unsigned char *const *at, const int32_t *px,
                                      int32_t pixels, int32_t block, unsigned char *ws)
{
    float outside[16], *base = 0;
    int32_t i = 0;
    if (layer->kind == BNN_BINARY && layer->fill != 0) bnn_base(layer, taps, block, base = outside);
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

#undef V
#undef TARGET
#undef PIXELS
#undef BURST
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
