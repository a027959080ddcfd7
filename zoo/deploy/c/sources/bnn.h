/* Layers of binary neural networks, as the generated code next to this file calls them.
 *
 * A feature map is channels-last: of float32, its channels filled up to a multiple of 16; or of
 * signs, one bit a channel (1 is +1, 0 is -1), filled up with zeros to 16 bits or whole 32. Each layer
 * computes 16 channels of a few pixels in registers and runs its steps (batch norm, shortcut,
 * activation, next sign) on them before anything is written.
 *
 * C11, and C++. No allocation, no global state: everything lives in the caller's workspace.
 */
#ifndef BNN_H
#define BNN_H

#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define BNN_IMAGE (-1) /* an input that is the image, not in the workspace */

/* What is done to a value before it is written, 16 channels at a time. */
enum {
    BNN_AFFINE,  /* v * a[c] + b[c] */
    BNN_SCALE,   /* v * a[c] */
    BNN_SHIFT,   /* v + b[c] */
    BNN_ADD,     /* v + tensor */
    BNN_MULTIPLY,/* v * tensor */
    BNN_CONSTANT,/* v * a[pixel][c] */
    BNN_PIXEL,   /* v * a[pixel] */
    BNN_ROW,     /* v * a[row] * b[column], `stride` columns a row */
    BNN_PRELU,   /* v < 0 ? v * a[c] : v */
    BNN_CLIP,    /* clip(v, a[0], a[1]), and beyond it the slope a[2] */
    BNN_FUNCTION,/* function number `stride` of v */
    BNN_STORE,   /* write v to tensor */
    BNN_POOL,    /* write the mean of each 2x2 pixels to tensor; of a layer with `quads` */
    BNN_SIGN,    /* write the bits (v >= a[c]) ^ flip to tensor */
    BNN_LAST_SIGN/* the same, and 16 zeros behind the last */
};

enum {
    BNN_SIGMOID, BNN_TANH, BNN_ELU, BNN_SELU, BNN_SOFTPLUS, BNN_SOFTSIGN, BNN_SWISH, BNN_GELU,
    BNN_EXPONENTIAL, BNN_SIGN_OF
};

typedef struct {
    int32_t kind;
    int32_t offset;       /* of a tensor: bytes from the workspace's start */
    int32_t stride;       /* of a tensor: bytes from pixel to pixel; 0 is one pixel for all */
    const float *a, *b;   /* constants, by channel unless said otherwise */
    const uint16_t *flip; /* 16 channels each: where the comparison is turned round */
} bnn_step;

/* How a layer makes the values that its steps begin with. */
enum {
    BNN_BINARY,    /* convolution of signs by signs: xor and popcount */
    BNN_REAL,      /* convolution in float32, in groups or not */
    BNN_DEPTHWISE, /* one kernel for each channel, in float32 */
    BNN_MAXIMUM, BNN_MEAN, /* over those pixels of the window that exist */
    BNN_LOAD       /* the pixel itself, zero outside of the image */
};

typedef struct {
    int32_t kind;
    int32_t in_h, in_w, in_c, in_stride; /* `in_stride`: bytes from pixel to pixel */
    int32_t out_h, out_w, out_c;
    int32_t kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w;
    int32_t group_in, group_out; /* REAL: channels and filters in a group */
    int32_t fill;     /* BINARY: the sign of the padding, or 0 */
    int32_t channel;  /* LOAD: the output channel at which the input's first one lies */
    int32_t quads;    /* whether pixels are computed in fours, 2x2 (1x1 kernel, even size) */
    int32_t at_once;  /* pixels to compute before more are read, as the output lies in the input; 0: any */
    int32_t input;    /* bytes from the workspace's start, or BNN_IMAGE */
    const void *weights; /* [16 filters][kernel row][kernel column][channels] of 16 words each */
    const bnn_step *steps;
    int32_t step_count;
} bnn_layer;

/* Run one layer. `workspace` is what bnn_aligned gave. */
void bnn_run(const bnn_layer *layer, const float *image, unsigned char *workspace);

/* The first address in the workspace that is a multiple of 64. */
unsigned char *bnn_aligned(void *workspace);

/* target[(y * w + x) * out_stride + channel] = source[y * step[0] + x * step[1] + channel * step[2]] */
void bnn_gather(const unsigned char *source, unsigned char *target, const int32_t *shape,
                const int32_t *step, int32_t out_stride);

/* The elements of one shape in the order of another; strides in bytes from pixel to pixel. */
void bnn_reshape(const unsigned char *source, int32_t in_c, int32_t in_stride,
                 unsigned char *target, int32_t out_c, int32_t out_stride, int32_t count);

/* Softmax over the channels of each pixel. */
void bnn_softmax(unsigned char *values, int32_t pixels, int32_t channels, int32_t stride);

/* The first `channels` of each pixel, one pixel after another. */
void bnn_output(const unsigned char *source, int32_t pixels, int32_t channels, int32_t stride,
                float *target);

/* Images of bytes, each replaced by its value in table[channel][256]. */
void bnn_normalize(const uint8_t *image, int32_t pixels, int32_t channels, const float *table,
                   unsigned char *target);

/* The instruction set that bnn_run takes on this machine, such as "AVX-512". */
const char *bnn_instructions(void);

#ifdef __cplusplus
}
#endif
#endif
