/* The network @title@. Written by binary-zoo; see README.md. */
#include "@name@.h"

#include "bnn.h"

@constants@

@layers@

/* -DBNN_WATCH=look calls `look` before each layer. It can read the layer's input: the input signs of
 * a binary convolution are at `workspace + layer->input`. */
#ifdef BNN_WATCH
void BNN_WATCH(const bnn_layer *layer, const unsigned char *workspace);
#define bnn_run(layer, image, ws) (BNN_WATCH(layer, ws), bnn_run(layer, image, ws))
#define bnn_run_pair(layer, next, image, ws) \
    (bnn_run(layer, image, ws), bnn_run(next, image, ws))
#endif

static void run(const float *image, float *logits, unsigned char *ws)
{
    @calls@
}

void @name@_run(const float *image, float *logits, void *workspace)
{
    run(image, logits, bnn_aligned(workspace));
}
@if uint8@

void @name@_run_uint8(const uint8_t *image, float *logits, void *workspace)
{
    unsigned char *ws = bnn_aligned(workspace);
    unsigned char *pixels = ws + @image_offset@;
    bnn_normalize(image, @height@ * @width@, @channels@, @table@, pixels);
    run((const float *)(const void *)pixels, logits, ws);
}
@end@
@if classes@

const char *@name@_class(int number)
{
    static const char *const names[@NAME@_OUTPUTS] = {
    @classes@
    };
    return number >= 0 && number < @NAME@_OUTPUTS ? names[number] : 0;
}
@end@
