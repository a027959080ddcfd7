/* The steps of a layer in one instruction set; see bnn_vectors.h. Included by bnn_layers.h. */

/* Run a step that only few networks or layers have. */
TARGET BNN_INLINE void V(rare_step)(const int P, const bnn_layer *layer, const bnn_step *s, V(f) *v,
                                    const ptrdiff_t *px, const int32_t block, unsigned char *ws)
{
    const int32_t c = 16 * block;
    unsigned char *tensor = ws + s->offset + 4 * c;
    switch (s->kind) {
    case BNN_MULTIPLY:
        EACH v[i] = F_MUL(v[i], F_LOAD(bnn_floats(tensor + px[i] * s->stride)));
        break;
    case BNN_CONSTANT:
        EACH v[i] = F_MUL(v[i], F_LOAD(s->a + px[i] * s->stride + c));
        break;
    case BNN_PIXEL:
        EACH v[i] = F_MUL(v[i], F_ALL(s->a[px[i]]));
        break;
    case BNN_ROW:
        EACH v[i] = F_MUL(v[i], F_ALL(s->a[px[i] / s->stride] * s->b[px[i] % s->stride]));
        break;
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
    case BNN_FUNCTION: { /* through memory: the call keeps no vector registers */
        float lanes[16 * PIXELS];
        EACH F_STORE(lanes + 16 * i, v[i]);
        bnn_functions(s->stride, lanes, 16 * P);
        EACH v[i] = F_LOAD(lanes + 16 * i);
        break;
    }
    case BNN_POOL: /* pixels are in groups of 2x2, in one call or as two pairs */
        for (int i = 0; i + (PIXELS < 4 ? 2 : 4) <= P; i += PIXELS < 4 ? 2 : 4) {
            const int32_t number = (int32_t)px[i], row = number / layer->out_w;
            const int32_t column = number % layer->out_w;
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
    default: break;
    }
}

/* Write the signs of 16 channels of P pixels. */
TARGET BNN_INLINE void V(sign)(const int P, const bnn_layer *layer, const bnn_step *s, const V(f) *v,
                               const ptrdiff_t *px, const int32_t block, unsigned char *ws)
{
    const V(f) threshold = F_LOAD(s->a + 16 * block);
    const unsigned flip = s->flip ? s->flip[block] : 0;
    unsigned char *bits = ws + s->offset + 2 * block;
    const ptrdiff_t stride = s->stride;
    if (s->kind == BNN_LAST_SIGN && 16 * (block + 1) >= layer->out_c) {
        EACH {
            const uint32_t sign = F_REACHES(v[i], threshold) ^ flip;
            memcpy(bits + px[i] * stride, &sign, sizeof sign);
        }
        return;
    }
    EACH {
        const uint16_t sign = (uint16_t)(F_REACHES(v[i], threshold) ^ flip);
        memcpy(bits + px[i] * stride, &sign, sizeof sign);
    }
}

/* Run the layer's steps on the 16 channels from `16 * block` of the P pixels with numbers `px`.
 *
 * The loop tests the usual kinds in their usual order in networks. So one iteration is enough for
 * most layers, and each branch goes the same way in a whole layer. */
TARGET BNN_INLINE void V(steps)(const int P, const bnn_layer *layer, V(f) *v,
                                const ptrdiff_t *px, const int32_t block, unsigned char *ws)
{
    const int32_t c = 16 * block;
    const bnn_step *s = layer->steps, *const end = s + layer->step_count;
    while (s != end) {
        const bnn_step *const first = s;
        if (s->kind == BNN_SCALE) {
            const V(f) a = F_LOAD(s->a + c);
            EACH v[i] = F_MUL(v[i], a);
            if (++s == end) return;
        }
        if (s->kind == BNN_AFFINE) {
            const V(f) a = F_LOAD(s->a + c), b = F_LOAD(s->b + c);
            EACH v[i] = F_MADD(v[i], a, b);
            if (++s == end) return;
        }
        if (s->kind == BNN_ADD) {
            const unsigned char *tensor = ws + s->offset + 4 * c;
            const ptrdiff_t stride = s->stride;
            EACH v[i] = F_ADD(v[i], F_LOAD(bnn_floats(tensor + px[i] * stride)));
            if (++s == end) return;
        }
        if (s->kind == BNN_PRELU) {
            const V(f) a = F_LOAD(s->a + c);
            EACH v[i] = F_PRELU(v[i], a);
            if (++s == end) return;
        }
        if (s->kind == BNN_SIGN || s->kind == BNN_LAST_SIGN) {
            V(sign)(P, layer, s, v, px, block, ws);
            if (++s == end) return;
        }
        if (s->kind == BNN_SHIFT) {
            const V(f) b = F_LOAD(s->b + c);
            EACH v[i] = F_ADD(v[i], b);
            if (++s == end) return;
        }
        if (s->kind == BNN_STORE) {
            unsigned char *tensor = ws + s->offset + 4 * c;
            const ptrdiff_t stride = s->stride;
            EACH F_STORE(bnn_floats_at(tensor + px[i] * stride), v[i]);
            if (++s == end) return;
        }
        if (s == first) V(rare_step)(P, layer, s++, v, px, block, ws);
    }
}
