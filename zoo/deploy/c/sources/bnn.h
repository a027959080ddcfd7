/* Layers of binary neural networks, which the generated code next to this file calls.
 *
 * A feature map is channels-last. It holds float32 values, with channels padded to a multiple of 16;
 * or signs, one bit per channel (1 is +1, 0 is -1), padded with zeros to 16 bits or to words of 32.
 * Each layer computes 16 channels of a few pixels in registers and runs its steps (batch norm,
 * shortcut, activation, next sign) on them before anything is written.
 *
 * C11, and C++. No allocation, no global state: everything is in the caller's workspace.
 */
#ifndef BNN_H
#define BNN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BNN_IMAGE (-1) /* the input is the image, which is not in the workspace */

/* The steps on a value v before it is written, 16 channels at a time. */
enum {
    BNN_AFFINE,  /* v * a[c] + b[c] */
    BNN_SCALE,   /* v * a[c] */
    BNN_SHIFT,   /* v + b[c] */
    BNN_ADD,     /* v + tensor */
    BNN_MULTIPLY,/* v * tensor */
    BNN_CONSTANT,/* v * a[pixel][c] */
    BNN_PIXEL,   /* v * a[pixel] */
    BNN_ROW,     /* v * a[row] * b[column], with `stride` columns per row */
    BNN_PRELU,   /* v < 0 ? v * a[c] : v */
    BNN_CLIP,    /* clip(v, a[0], a[1]), with slope a[2] outside */
    BNN_FUNCTION,/* function number `stride` of v */
    BNN_STORE,   /* write v to tensor */
    BNN_POOL,    /* write the mean of each 2x2 pixels to tensor; only in layers with `quads` */
    BNN_SIGN,    /* write the bits (v >= a[c]) ^ flip to tensor */
    BNN_LAST_SIGN/* the same, and 16 zeros behind the last channels */
};

enum {
    BNN_SIGMOID, BNN_TANH, BNN_ELU, BNN_SELU, BNN_SOFTPLUS, BNN_SOFTSIGN, BNN_SWISH, BNN_GELU,
    BNN_EXPONENTIAL, BNN_SIGN_OF
};

typedef struct {
    int32_t kind;
    int32_t offset;       /* of the tensor: bytes from the workspace's start */
    int32_t stride;       /* of the tensor: bytes from pixel to pixel; 0: one pixel for all */
    const float *a, *b;   /* constants, per channel unless noted above */
    const uint16_t *flip; /* one bit per channel, 16 channels each: invert the comparison */
} bnn_step;

/* The operations that compute the values for a layer's steps. */
enum {
    BNN_BINARY,    /* convolution of signs with signs: xor and popcount */
    BNN_REAL,      /* convolution in float32, in groups or not */
    BNN_DEPTHWISE, /* convolution with one kernel per channel, in float32 */
    BNN_MAXIMUM, BNN_MEAN, /* over the pixels of the window that are in the image */
    BNN_LOAD       /* the pixel itself; zero outside of the image */
};

typedef struct {
    int32_t kind;
    int32_t in_h, in_w, in_c, in_stride; /* `in_stride`: bytes from pixel to pixel */
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int32_t group_in, group_out; /* REAL: channels and filters per group */
    int32_t fill;     /* BINARY: the sign of the padding, or 0 */
    int32_t channel;  /* LOAD: the output channel for the input's first channel */
    int32_t quads;    /* whether pixels are computed in groups of 2x2 (1x1 kernel, even size) */
    int32_t at_once;  /* pixels to compute before reading more, if input and output overlap; 0: any */
    int32_t input;    /* bytes from the workspace's start, or BNN_IMAGE */
    const void *weights; /* [block of 16 filters][kernel row][kernel column][channel][16] words */
    const bnn_step *steps;
    int32_t step_count;
} bnn_layer;

/* Run one layer. `workspace` is the result of bnn_aligned. */
void bnn_run(const bnn_layer *layer, const float *image, unsigned char *workspace);

/* Run a layer and `next`, which reads its output, in turns, a few rows at a time: so the rows are
 * still in the cache when `next` reads them. The results are the same as with bnn_run. */
void bnn_run_pair(const bnn_layer *layer, const bnn_layer *next, const float *image,
                  unsigned char *workspace);

/* Return the first address in the workspace that is a multiple of 64. */
unsigned char *bnn_aligned(void *workspace);

/* target[(y * w + x) * out_stride + channel] = source[y * step[0] + x * step[1] + channel * step[2]] */
void bnn_gather(const unsigned char *source, unsigned char *target, const int32_t *shape,
                const int32_t *step, int32_t out_stride);

/* Copy the elements of one shape to another shape; strides are bytes from pixel to pixel. */
void bnn_reshape(const unsigned char *source, int32_t in_c, int32_t in_stride,
                 unsigned char *target, int32_t out_c, int32_t out_stride, int32_t count);

/* Compute the softmax over the channels of each pixel, in place. */
void bnn_softmax(unsigned char *values, int32_t pixels, int32_t channels, int32_t stride);

/* Copy the first `channels` of each pixel, one pixel after another. */
void bnn_output(const unsigned char *source, int32_t pixels, int32_t channels, int32_t stride,
                float *target);

/* Replace each byte of an image by its value in table[channel][256]. */
void bnn_normalize(const uint8_t *image, int32_t pixels, int32_t channels, const float *table,
                   unsigned char *target);

/* Return the name of the instruction set that bnn_run uses on this machine, such as "AVX-512". */
const char *bnn_instructions(void);

#ifdef __cplusplus
}
#endif
#endif
