/* Keras's outputs for the test images, which main.c makes. */
#ifndef @NAME@_VECTORS_H
#define @NAME@_VECTORS_H

#include "@name@.h"

#define @NAME@_VECTORS @vectors@

static const float @name@_expected[@NAME@_VECTORS][@NAME@_OUTPUTS] = {
@expected@
};

#endif
