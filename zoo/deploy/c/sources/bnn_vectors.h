/* Vectors of 16 lanes in one instruction set, for bnn_layers.h.
 *
 * bnn.c includes this file once for each set, which BNN_SET names. `f` holds 16 floats, `words` 16
 * words of 32 signs, and `counts` the number of differing bits so far. Counts are integers if the
 * machine can count the bits of a word (AVX-512). Otherwise they are bytes, which can count the bits
 * of BURST words, up to 8 bits each.
 */
#if BNN_SET == BNN_AVX512
#define V(name) bnn_##name##_avx512
#define TARGET __attribute__((target("avx512f,avx512bw,avx512vl,avx512dq,avx512vpopcntdq,fma,popcnt")))
#define PIXELS 8
#define BLOCKS 2
#define BURST INT32_MAX
#define BURSTS 0
typedef __m512 V(f);
typedef __m512i V(words);
typedef __m512i V(counts);
#define F_LOAD(p) _mm512_loadu_ps(p)
#define F_STORE(p, v) _mm512_storeu_ps(p, v)
#define F_ALL(x) _mm512_set1_ps(x)
#define F_ADD(a, b) _mm512_add_ps(a, b)
#define F_MUL(a, b) _mm512_mul_ps(a, b)
#define F_MADD(a, b, c) _mm512_fmadd_ps(a, b, c)
#define F_MIN(a, b) _mm512_min_ps(a, b)
#define F_MAX(a, b) _mm512_max_ps(a, b)
#define F_PRELU(v, a) \
    _mm512_mask_mul_ps(v, _mm512_cmp_ps_mask(v, _mm512_setzero_ps(), _CMP_LT_OQ), v, a)
#define F_REACHES(v, t) ((uint16_t)_mm512_cmp_ps_mask(v, t, _CMP_GE_OQ))
#define W_LOAD(p) _mm512_loadu_si512(p)
#define C_ZERO() _mm512_setzero_si512()
/* Exclusive or with a broadcast word, popcount (VPOPCNTDQ: Intel, 2019; AMD, 2022), sum. */
#define C_COUNT(c, w, x) \
    _mm512_add_epi32(c, _mm512_popcnt_epi32(_mm512_xor_si512(w, _mm512_set1_epi32((int)(x)))))
/* 0x28 is (w ^ x) & mask. */
#define C_COUNT_MASKED(c, w, x, mask) \
    _mm512_add_epi32(c, _mm512_popcnt_epi32(_mm512_ternarylogic_epi32( \
        _mm512_set1_epi32((int)(x)), w, _mm512_set1_epi32((int)(mask)), 0x28)))
/* base - 2 * counts, exact below 2^24 */
#define F_SUMS(base, c) _mm512_fnmadd_ps(_mm512_cvtepi32_ps(c), _mm512_set1_ps(2.0f), base)

#elif BNN_SET == BNN_AVX2
#define V(name) bnn_##name##_avx2
#define TARGET __attribute__((target("avx2,fma,popcnt")))
#define PIXELS 4
#define BLOCKS 1
#define BURST 31
#define BURSTS 1
typedef struct { __m256 l, h; } V(f);
typedef struct { __m256i l, h; } V(words);
typedef struct { __m256i l, h; } V(counts);
TARGET BNN_INLINE V(f) V(pair)(__m256 l, __m256 h) { V(f) v; v.l = l; v.h = h; return v; }
TARGET BNN_INLINE V(words) V(load)(const uint32_t *p)
{
    V(words) w;
    w.l = _mm256_loadu_si256((const __m256i *)(const void *)p);
    w.h = _mm256_loadu_si256((const __m256i *)(const void *)(p + 8));
    return w;
}
/* Count the bits of each byte, with a table of 16 in a register (Mula, Kurz, Lemire: 1611.07612). */
TARGET BNN_INLINE __m256i V(bits)(__m256i x)
{
    const __m256i table = _mm256_setr_epi8(0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4,
                                           0, 1, 1, 2, 1, 2, 2, 3, 1, 2, 2, 3, 2, 3, 3, 4);
    const __m256i low = _mm256_set1_epi8(15);
    return _mm256_add_epi8(
        _mm256_shuffle_epi8(table, _mm256_and_si256(x, low)),
        _mm256_shuffle_epi8(table, _mm256_and_si256(_mm256_srli_epi16(x, 4), low)));
}
TARGET BNN_INLINE V(counts) V(zero)(void)
{
    V(counts) c;
    c.l = c.h = _mm256_setzero_si256();
    return c;
}
TARGET BNN_INLINE V(counts) V(count)(V(counts) c, V(words) w, uint32_t word)
{
    const __m256i x = _mm256_set1_epi32((int)word);
    c.l = _mm256_add_epi8(c.l, V(bits)(_mm256_xor_si256(w.l, x)));
    c.h = _mm256_add_epi8(c.h, V(bits)(_mm256_xor_si256(w.h, x)));
    return c;
}
TARGET BNN_INLINE V(words) V(masked)(V(words) w, uint32_t mask)
{
    const __m256i m = _mm256_set1_epi32((int)mask);
    w.l = _mm256_and_si256(w.l, m);
    w.h = _mm256_and_si256(w.h, m);
    return w;
}
TARGET BNN_INLINE __m256 V(wide)(__m256i c)
{
    const __m256i pairs = _mm256_maddubs_epi16(c, _mm256_set1_epi8(1));
    return _mm256_cvtepi32_ps(_mm256_madd_epi16(pairs, _mm256_set1_epi16(1)));
}
#define F_LOAD(p) V(pair)(_mm256_loadu_ps(p), _mm256_loadu_ps((p) + 8))
#define F_STORE(p, v) (_mm256_storeu_ps(p, (v).l), _mm256_storeu_ps((p) + 8, (v).h))
#define F_ALL(x) V(pair)(_mm256_set1_ps(x), _mm256_set1_ps(x))
#define F_ADD(a, b) V(pair)(_mm256_add_ps((a).l, (b).l), _mm256_add_ps((a).h, (b).h))
#define F_MUL(a, b) V(pair)(_mm256_mul_ps((a).l, (b).l), _mm256_mul_ps((a).h, (b).h))
#define F_MADD(a, b, c) \
    V(pair)(_mm256_fmadd_ps((a).l, (b).l, (c).l), _mm256_fmadd_ps((a).h, (b).h, (c).h))
#define F_MIN(a, b) V(pair)(_mm256_min_ps((a).l, (b).l), _mm256_min_ps((a).h, (b).h))
#define F_MAX(a, b) V(pair)(_mm256_max_ps((a).l, (b).l), _mm256_max_ps((a).h, (b).h))
/* The blend chooses by a float's first bit, its sign. */
#define F_PRELU(v, a) \
    V(pair)(_mm256_blendv_ps((v).l, _mm256_mul_ps((v).l, (a).l), (v).l), \
            _mm256_blendv_ps((v).h, _mm256_mul_ps((v).h, (a).h), (v).h))
#define F_REACHES(v, t) \
    ((uint16_t)(_mm256_movemask_ps(_mm256_cmp_ps((v).l, (t).l, _CMP_GE_OQ)) | \
                _mm256_movemask_ps(_mm256_cmp_ps((v).h, (t).h, _CMP_GE_OQ)) << 8))
#define W_LOAD(p) V(load)(p)
#define C_ZERO() V(zero)()
#define C_COUNT(c, w, x) V(count)(c, w, x)
#define C_COUNT_MASKED(c, w, x, mask) V(count)(c, V(masked)(w, mask), (x) & (mask))
#define F_SUMS(base, c) \
    V(pair)(_mm256_fnmadd_ps(V(wide)((c).l), _mm256_set1_ps(2.0f), (base).l), \
            _mm256_fnmadd_ps(V(wide)((c).h), _mm256_set1_ps(2.0f), (base).h))

#elif BNN_SET == BNN_NEON || BNN_SET == BNN_WASM
/* Four vectors of four lanes; the two sets differ only in the names of their instructions. */
#define TARGET
#define PIXELS 4
#define BLOCKS 1
#define BURST 31
#define BURSTS 1
#if BNN_SET == BNN_NEON
#define V(name) bnn_##name##_neon
typedef float32x4_t V(q);
typedef uint8x16_t V(b);
#define Q_LOAD(p) vld1q_f32(p)
#define Q_STORE(p, v) vst1q_f32(p, v)
#define Q_ALL(x) vdupq_n_f32(x)
#define Q_ADD(a, b) vaddq_f32(a, b)
#define Q_MUL(a, b) vmulq_f32(a, b)
#define Q_MADD(a, b, c) vfmaq_f32(c, a, b)
#define Q_MIN(a, b) vminq_f32(a, b)
#define Q_MAX(a, b) vmaxq_f32(a, b)
#define Q_PRELU(v, a) vbslq_f32(vcltq_f32(v, vdupq_n_f32(0)), vmulq_f32(v, a), v)
#define B_LOAD(p) vreinterpretq_u8_u32(vld1q_u32(p))
#define B_ALL(x) vreinterpretq_u8_u32(vdupq_n_u32(x))
#define B_ZERO() vdupq_n_u8(0)
#define B_AND(a, b) vandq_u8(a, b)
#define B_COUNT(c, w, x) vaddq_u8(c, vcntq_u8(veorq_u8(w, x)))
#define B_WIDE(c) vcvtq_f32_u32(vpaddlq_u16(vpaddlq_u8(c)))
BNN_INLINE unsigned V(reaches4)(V(q) v, V(q) t)
{
    static const uint32_t weight[4] = {1, 2, 4, 8};
    return vaddvq_u32(vandq_u32(vcgeq_f32(v, t), vld1q_u32(weight)));
}
#else
#define V(name) bnn_##name##_wasm
typedef v128_t V(q);
typedef v128_t V(b);
#define Q_LOAD(p) wasm_v128_load(p)
#define Q_STORE(p, v) wasm_v128_store(p, v)
#define Q_ALL(x) wasm_f32x4_splat(x)
#define Q_ADD(a, b) wasm_f32x4_add(a, b)
#define Q_MUL(a, b) wasm_f32x4_mul(a, b)
#define Q_MADD(a, b, c) wasm_f32x4_add(wasm_f32x4_mul(a, b), c)
#define Q_MIN(a, b) wasm_f32x4_pmin(a, b)
#define Q_MAX(a, b) wasm_f32x4_pmax(a, b)
#define Q_PRELU(v, a) \
    wasm_v128_bitselect(wasm_f32x4_mul(v, a), v, wasm_f32x4_lt(v, wasm_f32x4_splat(0.0f)))
#define B_LOAD(p) wasm_v128_load(p)
#define B_ALL(x) wasm_i32x4_splat((int)(x))
#define B_ZERO() wasm_i32x4_splat(0)
#define B_AND(a, b) wasm_v128_and(a, b)
#define B_COUNT(c, w, x) wasm_i8x16_add(c, wasm_i8x16_popcnt(wasm_v128_xor(w, x)))
#define B_WIDE(c) \
    wasm_f32x4_convert_u32x4(wasm_u32x4_extadd_pairwise_u16x8(wasm_u16x8_extadd_pairwise_u8x16(c)))
BNN_INLINE unsigned V(reaches4)(V(q) v, V(q) t)
{
    return (unsigned)wasm_i32x4_bitmask(wasm_f32x4_ge(v, t));
}
#endif
typedef struct { V(q) q[4]; } V(f);
typedef struct { V(b) b[4]; } V(words);
typedef struct { V(b) b[4]; } V(counts);
#define FOUR(type, member, value) \
    type r; BNN_UNROLL for (int k = 0; k < 4; ++k) r.member[k] = (value); return r
BNN_INLINE V(f) V(load)(const float *p) { FOUR(V(f), q, Q_LOAD(p + 4 * k)); }
BNN_INLINE void V(store)(float *p, V(f) v)
{
    BNN_UNROLL for (int k = 0; k < 4; ++k) Q_STORE(p + 4 * k, v.q[k]);
}
BNN_INLINE V(f) V(all)(float x) { FOUR(V(f), q, Q_ALL(x)); }
BNN_INLINE V(f) V(add)(V(f) a, V(f) b) { FOUR(V(f), q, Q_ADD(a.q[k], b.q[k])); }
BNN_INLINE V(f) V(mul)(V(f) a, V(f) b) { FOUR(V(f), q, Q_MUL(a.q[k], b.q[k])); }
BNN_INLINE V(f) V(madd)(V(f) a, V(f) b, V(f) c) { FOUR(V(f), q, Q_MADD(a.q[k], b.q[k], c.q[k])); }
BNN_INLINE V(f) V(min)(V(f) a, V(f) b) { FOUR(V(f), q, Q_MIN(a.q[k], b.q[k])); }
BNN_INLINE V(f) V(max)(V(f) a, V(f) b) { FOUR(V(f), q, Q_MAX(a.q[k], b.q[k])); }
BNN_INLINE V(f) V(prelu)(V(f) v, V(f) a) { FOUR(V(f), q, Q_PRELU(v.q[k], a.q[k])); }
BNN_INLINE uint16_t V(reaches)(V(f) v, V(f) t)
{
    unsigned bits = 0;
    BNN_UNROLL for (int k = 0; k < 4; ++k) bits |= V(reaches4)(v.q[k], t.q[k]) << 4 * k;
    return (uint16_t)bits;
}
BNN_INLINE V(words) V(words16)(const uint32_t *p) { FOUR(V(words), b, B_LOAD(p + 4 * k)); }
BNN_INLINE V(counts) V(zero)(void) { FOUR(V(counts), b, B_ZERO()); }
BNN_INLINE V(counts) V(count)(V(counts) c, V(words) w, uint32_t word)
{
    const V(b) x = B_ALL(word);
    FOUR(V(counts), b, B_COUNT(c.b[k], w.b[k], x));
}
BNN_INLINE V(words) V(masked)(V(words) w, uint32_t mask)
{
    const V(b) x = B_ALL(mask);
    FOUR(V(words), b, B_AND(w.b[k], x));
}
BNN_INLINE V(f) V(sums)(V(f) base, V(counts) c)
{
    FOUR(V(f), q, Q_ADD(base.q[k], Q_MUL(Q_ALL(-2.0f), B_WIDE(c.b[k]))));
}
#undef FOUR
#define BNN_BY_FUNCTION

#else /* portable C: sum a word's bits in its own bytes (Warren, Hacker's Delight, 5-1) */
#define V(name) bnn_##name##_portable
#define TARGET
#if UINTPTR_MAX > 0xffffffffu
#define PIXELS 4
#else
#define PIXELS 2 /* microcontrollers: fewer values are spilled to the stack */
#endif
#define BLOCKS 1
#define BURST 31
#define BURSTS 1
typedef struct { float v[16]; } V(f);
typedef struct { uint32_t v[16]; } V(words);
typedef struct { uint32_t v[16]; } V(counts);
#define SIXTEEN(type, value) \
    type r; for (int k = 0; k < 16; ++k) r.v[k] = (value); return r
BNN_INLINE V(f) V(load)(const float *p) { V(f) r; memcpy(r.v, p, sizeof r.v); return r; }
BNN_INLINE void V(store)(float *p, V(f) x) { memcpy(p, x.v, sizeof x.v); }
BNN_INLINE V(f) V(all)(float x) { SIXTEEN(V(f), x); }
BNN_INLINE V(f) V(add)(V(f) a, V(f) b) { SIXTEEN(V(f), a.v[k] + b.v[k]); }
BNN_INLINE V(f) V(mul)(V(f) a, V(f) b) { SIXTEEN(V(f), a.v[k] * b.v[k]); }
BNN_INLINE V(f) V(madd)(V(f) a, V(f) b, V(f) c) { SIXTEEN(V(f), a.v[k] * b.v[k] + c.v[k]); }
BNN_INLINE V(f) V(min)(V(f) a, V(f) b) { SIXTEEN(V(f), a.v[k] < b.v[k] ? a.v[k] : b.v[k]); }
BNN_INLINE V(f) V(max)(V(f) a, V(f) b) { SIXTEEN(V(f), a.v[k] > b.v[k] ? a.v[k] : b.v[k]); }
BNN_INLINE V(f) V(prelu)(V(f) x, V(f) a) { SIXTEEN(V(f), x.v[k] < 0 ? x.v[k] * a.v[k] : x.v[k]); }
BNN_INLINE uint16_t V(reaches)(V(f) x, V(f) t)
{
    unsigned bits = 0;
    for (int k = 0; k < 16; ++k) bits |= (unsigned)(x.v[k] >= t.v[k]) << k;
    return (uint16_t)bits;
}
BNN_INLINE V(words) V(words16)(const uint32_t *p)
{
    V(words) r;
    memcpy(r.v, p, sizeof r.v);
    return r;
}
BNN_INLINE V(counts) V(zero)(void) { SIXTEEN(V(counts), 0); }
BNN_INLINE uint32_t V(bytes)(uint32_t x)
{
    x -= x >> 1 & 0x55555555u;
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    return (x + (x >> 4)) & 0x0f0f0f0fu;
}
BNN_INLINE V(counts) V(count)(V(counts) c, V(words) w, uint32_t x)
{
    SIXTEEN(V(counts), c.v[k] + V(bytes)(w.v[k] ^ x));
}
BNN_INLINE V(words) V(masked)(V(words) w, uint32_t mask) { SIXTEEN(V(words), w.v[k] & mask); }
BNN_INLINE uint32_t V(wide)(uint32_t x)
{
    x = (x & 0x00ff00ffu) + (x >> 8 & 0x00ff00ffu);
    return (x & 0xffffu) + (x >> 16);
}
BNN_INLINE V(f) V(sums)(V(f) base, V(counts) c)
{
    SIXTEEN(V(f), base.v[k] - 2.0f * (float)V(wide)(c.v[k]));
}
#undef SIXTEEN
#define BNN_BY_FUNCTION
#endif

#ifdef BNN_BY_FUNCTION
#undef BNN_BY_FUNCTION
#define F_LOAD(p) V(load)(p)
#define F_STORE(p, v) V(store)(p, v)
#define F_ALL(x) V(all)(x)
#define F_ADD(a, b) V(add)(a, b)
#define F_MUL(a, b) V(mul)(a, b)
#define F_MADD(a, b, c) V(madd)(a, b, c)
#define F_MIN(a, b) V(min)(a, b)
#define F_MAX(a, b) V(max)(a, b)
#define F_PRELU(v, a) V(prelu)(v, a)
#define F_REACHES(v, t) V(reaches)(v, t)
#define W_LOAD(p) V(words16)(p)
#define C_ZERO() V(zero)()
#define C_COUNT(c, w, x) V(count)(c, w, x)
#define C_COUNT_MASKED(c, w, x, mask) V(count)(c, V(masked)(w, mask), (x) & (mask))
#define F_SUMS(base, c) V(sums)(base, c)
#endif
