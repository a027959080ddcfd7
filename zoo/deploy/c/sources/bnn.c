/* See bnn.h. The instruction set is chosen at compile time; on x86 also at run time. */
#include "bnn.h"

#include <float.h>
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#define BNN_PORTABLE 0
#define BNN_AVX2 1
#define BNN_AVX512 2
#define BNN_NEON 3
#define BNN_WASM 4

#if defined(__BYTE_ORDER__) && __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "The packed weights are little-endian."
#endif

#if defined(__GNUC__)
#define BNN_INLINE static inline __attribute__((always_inline))
#define BNN_NEVER_INLINE static __attribute__((noinline))
#else
#define BNN_INLINE static inline
#define BNN_NEVER_INLINE static
#endif
#if defined(__clang__)
#define BNN_UNROLL _Pragma("clang loop unroll(full)")
#elif defined(__GNUC__)
#define BNN_UNROLL _Pragma("GCC unroll 16")
#else
#define BNN_UNROLL
#endif
/* For each of P pixels. PIXELS is known to compilers earlier than P. So they unroll the loop early
 * enough to keep arrays of pixels in registers. */
#define EACH BNN_UNROLL for (int i = 0; i < PIXELS; ++i) if (i < P)
#define EACH_BLOCK BNN_UNROLL for (int b = 0; b < BLOCKS; ++b) if (b < blocks)

/* -DBNN_ONLY_PORTABLE and -DBNN_NO_AVX512 exclude instruction sets. */
#if defined(BNN_ONLY_PORTABLE)
#elif defined(__GNUC__) && defined(__x86_64__)
#define BNN_X86
#include <immintrin.h>
#elif defined(__ARM_NEON) && defined(__aarch64__)
#define BNN_ARM
#include <arm_neon.h>
#elif defined(__wasm_simd128__)
#define BNN_WEB
#include <wasm_simd128.h>
#endif

/* Pixels that are computed together in a layer, and the parts of regions among them. They share one
 * reading of the weights. Layers with many weights compute CHUNK pixels together. Others compute FEW:
 * then weights, inputs and outputs stay in the nearest cache. A smaller -DCHUNK needs less stack. */
#ifndef CHUNK
#define CHUNK 256
#endif
#define FEW (CHUNK < 32 ? CHUNK : 32)
#if CHUNK % 8 != 0
#error "CHUNK must be a multiple of 8."
#endif
#define PARTS 16
/* How many blocks of 16 filters of one pixel are computed together; at most PIXELS. */
#define DENSE (UINTPTR_MAX > 0xffffffffu ? 4 : 2)

/* The part of a kernel that is inside the image: `rows` times `columns` runs of `length` words. */
typedef struct {
    int32_t rows, columns, length;
    ptrdiff_t row, column;            /* bytes from run to run in the input */
    int32_t w_row, w_column;          /* words from run to run in a filter's weights */
    int32_t first, filter;            /* words before the part; words of a whole filter */
    int32_t top, left, bottom, right; /* the part, in positions of the kernel */
    uint32_t first_mask, last_mask;   /* runs of 16-bit pixels: masks of the first and last word */
    float signs;                      /* number of signs in the part */
} bnn_taps;

BNN_INLINE const float *bnn_floats(const unsigned char *p)
{
    return (const float *)(const void *)p;
}

BNN_INLINE float *bnn_floats_at(unsigned char *p) { return (float *)(void *)p; }

BNN_INLINE float bnn_float(const unsigned char *p)
{
    float x;
    memcpy(&x, p, sizeof x);
    return x;
}

BNN_INLINE uint32_t bnn_word(const unsigned char *p)
{
    uint32_t x;
    memcpy(&x, p, sizeof x);
    return x;
}

static float bnn_function(int32_t number, float x)
{
    switch (number) {
    case BNN_SIGMOID: return 1.0f / (1.0f + expf(-x));
    case BNN_TANH: return tanhf(x);
    case BNN_ELU: return x > 0 ? x : expm1f(x);
    case BNN_SELU: return 1.05070098f * (x > 0 ? x : 1.67326324f * expm1f(x));
    case BNN_SOFTPLUS: return (x > 0 ? x : 0) + log1pf(expf(-fabsf(x)));
    case BNN_SOFTSIGN: return x / (1.0f + fabsf(x));
    case BNN_SWISH: return x / (1.0f + expf(-x));
    case BNN_GELU: return 0.5f * x * (1.0f + erff(x * 0.70710678f));
    case BNN_SIGN_OF: return x >= 0 ? 1.0f : -1.0f;
    default: return expf(x);
    }
}

BNN_NEVER_INLINE void bnn_functions(int32_t number, float *lanes, int count)
{
    for (int k = 0; k < count; ++k) lanes[k] = bnn_function(number, lanes[k]);
}

static uint32_t bnn_popcount(uint32_t x)
{
    x -= x >> 1 & 0x55555555u;
    x = (x & 0x33333333u) + (x >> 2 & 0x33333333u);
    return ((x + (x >> 4)) & 0x0f0f0f0fu) * 0x01010101u >> 24;
}

/* Compute the start value of a sum of signs if the padding is not zero: the number of signs inside
 * the image, plus `fill` times the weights' signs outside. Twice the number of differing bits is
 * subtracted from it later. */
static void bnn_base(const bnn_layer *layer, const bnn_taps *taps, int32_t block, float *base)
{
    const int32_t halves = layer->in_stride / 2, columns = layer->kernel_w;
    const uint32_t *weights =
        (const uint32_t *)layer->weights + 16 * (ptrdiff_t)block * taps->filter;
    const int32_t inside = (taps->bottom - taps->top) * (taps->right - taps->left);
    int32_t sum[16];
    for (int k = 0; k < 16; ++k)
        sum[k] = (inside - layer->fill * (layer->kernel_h * columns - inside)) * layer->in_c;
    for (int32_t y = 0; y < layer->kernel_h; ++y)
        for (int32_t x = 0; x < columns; ++x) {
            if (y >= taps->top && y < taps->bottom && x >= taps->left && x < taps->right) continue;
            for (int32_t half = x * halves; half < (x + 1) * halves; ++half)
                for (int k = 0; k < 16; ++k) {
                    const uint32_t word = weights[16 * (y * taps->w_row + half / 2) + k];
                    sum[k] += 2 * layer->fill
                        * (int32_t)bnn_popcount(word >> 16 * (half % 2) & 0xffffu);
                }
        }
    for (int k = 0; k < 16; ++k) base[k] = (float)sum[k];
}

#if defined(__GNUC__) && !defined(__clang__) && defined(__cplusplus)
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized" /* g++ 12 warns about its own immintrin.h */
#endif
#if !defined(BNN_ARM) && !defined(BNN_WEB) /* these always have a vector instruction set */
#define BNN_SET BNN_PORTABLE
#include "bnn_vectors.h"
#include "bnn_layers.h"
#undef BNN_SET
#endif
#ifdef BNN_X86
#define BNN_SET BNN_AVX2
#include "bnn_vectors.h"
#include "bnn_layers.h"
#undef BNN_SET
#ifndef BNN_NO_AVX512
#define BNN_SET BNN_AVX512
#include "bnn_vectors.h"
#include "bnn_layers.h"
#undef BNN_SET
#endif
#endif
#ifdef BNN_ARM
#define BNN_SET BNN_NEON
#include "bnn_vectors.h"
#include "bnn_layers.h"
#undef BNN_SET
#endif
#ifdef BNN_WEB
#define BNN_SET BNN_WASM
#include "bnn_vectors.h"
#include "bnn_layers.h"
#undef BNN_SET
#endif

static int bnn_set(void)
{
#ifdef BNN_X86
#ifndef BNN_NO_AVX512
    if (__builtin_cpu_supports("avx512vpopcntdq") && __builtin_cpu_supports("avx512bw")
        && __builtin_cpu_supports("avx512vl") && __builtin_cpu_supports("avx512dq"))
        return BNN_AVX512;
#endif
    if (__builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma")) return BNN_AVX2;
#endif
#ifdef BNN_ARM
    return BNN_NEON;
#elif defined(BNN_WEB)
    return BNN_WASM;
#else
    return BNN_PORTABLE;
#endif
}

const char *bnn_instructions(void)
{
    static const char *const names[] = {"portable C", "AVX2", "AVX-512", "NEON", "WebAssembly SIMD"};
    return names[bnn_set()];
}

static void bnn_chunk(int set, const bnn_layer *layer, const bnn_taps *taps,
                      const unsigned char *const *at, const ptrdiff_t *px, int32_t pixels,
                      int32_t block, int32_t blocks, unsigned char *ws)
{
    switch (set) {
#ifdef BNN_X86
#ifndef BNN_NO_AVX512
    case BNN_AVX512: bnn_chunk_avx512(layer, taps, at, px, pixels, block, blocks, ws); return;
#endif
    case BNN_AVX2: bnn_chunk_avx2(layer, taps, at, px, pixels, block, blocks, ws); return;
#endif
#ifdef BNN_ARM
    default: bnn_chunk_neon(layer, taps, at, px, pixels, block, blocks, ws);
#elif defined(BNN_WEB)
    default: bnn_chunk_wasm(layer, taps, at, px, pixels, block, blocks, ws);
#else
    default: bnn_chunk_portable(layer, taps, at, px, pixels, block, blocks, ws);
#endif
    }
}

#include "bnn_regions.h"
#include "bnn_run.h"

unsigned char *bnn_aligned(void *workspace)
{
    unsigned char *start = (unsigned char *)workspace;
    return start + (64 - (uintptr_t)start % 64) % 64;
}

void bnn_gather(const unsigned char *source, unsigned char *target, const int32_t *shape,
                const int32_t *step, int32_t out_stride)
{
    for (int32_t y = 0; y < shape[0]; ++y)
        for (int32_t x = 0; x < shape[1]; ++x, target += out_stride)
            for (int32_t c = 0; c < shape[2]; ++c)
                memcpy(target + 4 * (ptrdiff_t)c,
                       source + (ptrdiff_t)y * step[0] + (ptrdiff_t)x * step[1] + (ptrdiff_t)c * step[2],
                       4);
}

void bnn_reshape(const unsigned char *source, int32_t in_c, int32_t in_stride,
                 unsigned char *target, int32_t out_c, int32_t out_stride, int32_t count)
{
    for (int32_t i = 0; i < count; ++i)
        memcpy(target + (ptrdiff_t)(i / out_c) * out_stride + 4 * (ptrdiff_t)(i % out_c),
               source + (ptrdiff_t)(i / in_c) * in_stride + 4 * (ptrdiff_t)(i % in_c), 4);
}

void bnn_softmax(unsigned char *values, int32_t pixels, int32_t channels, int32_t stride)
{
    for (int32_t pixel = 0; pixel < pixels; ++pixel, values += stride) {
        float highest = -FLT_MAX, sum = 0.0f;
        for (int32_t c = 0; c < channels; ++c) {
            const float x = bnn_float(values + 4 * (ptrdiff_t)c);
            if (x > highest) highest = x;
        }
        for (int32_t c = 0; c < channels; ++c) {
            const float x = expf(bnn_float(values + 4 * (ptrdiff_t)c) - highest);
            memcpy(values + 4 * (ptrdiff_t)c, &x, 4);
            sum += x;
        }
        for (int32_t c = 0; c < channels; ++c) {
            const float x = bnn_float(values + 4 * (ptrdiff_t)c) / sum;
            memcpy(values + 4 * (ptrdiff_t)c, &x, 4);
        }
    }
}

void bnn_output(const unsigned char *source, int32_t pixels, int32_t channels, int32_t stride,
                float *target)
{
    for (int32_t pixel = 0; pixel < pixels; ++pixel, source += stride, target += channels)
        memcpy(target, source, 4 * (size_t)channels);
}

void bnn_normalize(const uint8_t *image, int32_t pixels, int32_t channels, const float *table,
                   unsigned char *target)
{
    for (int32_t pixel = 0; pixel < pixels; ++pixel)
        for (int32_t c = 0; c < channels; ++c, ++image, target += 4)
            memcpy(target, &table[256 * c + *image], 4);
}
