/* The network @title@. Written by binary-zoo; see README.md. */
#ifndef @NAME@_H
#define @NAME@_H

#include <stdint.h>

#define @NAME@_HEIGHT @height@
#define @NAME@_WIDTH @width@
#define @NAME@_CHANNELS @channels@
#define @NAME@_INPUTS @inputs@   /* numbers of an image */
#define @NAME@_OUTPUTS @outputs@
#define @NAME@_WORKSPACE @workspace@ /* bytes */

#ifdef __cplusplus
extern "C" {
#endif

/* Compute the outputs of one image.
 *
 * image: @NAME@_INPUTS numbers in the order row, column, channel, normalised as in training.
 * logits: receives @NAME@_OUTPUTS numbers.
 * workspace: @NAME@_WORKSPACE bytes at any address. They need no initialisation and may be reused
 *     after the call. Calls with different workspaces may run at the same time.
 */
void @name@_run(const float *image, float *logits, void *workspace);

@if uint8@
/* The same for an image of bytes from 0 to 255, normalised inside. */
void @name@_run_uint8(const uint8_t *image, float *logits, void *workspace);

@end@
@if classes@
/* Return the name of an output; 0 if there is no output with this number. */
const char *@name@_class(int number);

@end@
#ifdef __cplusplus
}
#endif
#endif
