/* A network as a WebAssembly module. JavaScript writes an image into the module's memory, calls
 * `run` or `run_bytes`, and reads the outputs. With -DBNN_WATCH=watch the module calls the import
 * `signs` with the input of each binary convolution: address, height, width, channels, bytes from
 * pixel to pixel. */
#include "bnn.h"
#include "network.h"

#define EXPORT(name) __attribute__((export_name(#name))) name

static unsigned char workspace[NETWORK_WORKSPACE];
static float numbers[NETWORK_INPUTS], logits[NETWORK_OUTPUTS];

float *EXPORT(image)(void) { return numbers; }
float *EXPORT(outputs)(void) { return logits; }
int32_t EXPORT(output_count)(void) { return NETWORK_OUTPUTS; }
const char *EXPORT(instructions)(void) { return bnn_instructions(); }
void EXPORT(run)(void) { network_run(numbers, logits, workspace); }

#ifdef TAKES_BYTES
static uint8_t pixels[NETWORK_INPUTS];
uint8_t *EXPORT(bytes)(void) { return pixels; }
void EXPORT(run_bytes)(void) { network_run_uint8(pixels, logits, workspace); }
#endif

#ifdef BNN_WATCH
__attribute__((import_module("env"), import_name("signs")))
void signs(const unsigned char *at, int32_t height, int32_t width, int32_t channels, int32_t stride);

void watch(const bnn_layer *layer, const unsigned char *ws)
{
    if (layer->kind == BNN_BINARY)
        signs(ws + layer->input, layer->in_h, layer->in_w, layer->in_c, layer->in_stride);
}
#endif
