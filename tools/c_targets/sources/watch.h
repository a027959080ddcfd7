#ifndef WATCH_H
#define WATCH_H

#include <stddef.h>

#include "bnn.h"

#define WATCH_START 2166136261u

extern uint32_t watched;
void watch(const bnn_layer *layer, const unsigned char *workspace);

#endif
