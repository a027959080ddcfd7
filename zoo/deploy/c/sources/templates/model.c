/* The network @title@. Written by binary-zoo; see README.md. */
#include "@name@.h"

#include "bnn.h"

@constants@

@layers@

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
