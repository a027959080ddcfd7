/* A digest of all signs that the binary convolutions of a network read: FNV-1a, 32 bits. */
#include "watch.h"

uint32_t watched;

void watch(const bnn_layer *layer, const unsigned char *workspace)
{
    if (layer->kind != BNN_BINARY) return;
    const unsigned char *p = workspace + layer->input;
    const unsigned char *end = p + (size_t)layer->in_h * (size_t)layer->in_w * (size_t)layer->in_stride;
    for (; p != end; ++p) watched = (watched ^ *p) * 16777619u;
}
