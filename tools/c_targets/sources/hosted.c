/* Read images as float32 from standard input; write the outputs and the digest of signs of each. */
#include <stdio.h>

#include "network.h"
#include "watch.h"

static unsigned char workspace[NETWORK_WORKSPACE];
static float image[NETWORK_INPUTS], outputs[NETWORK_OUTPUTS];

int main(int count, char **words)
{
    (void)words;
    if (count > 1) { /* print the name of the instruction set */
        puts(bnn_instructions());
        return 0;
    }
    while (fread(image, sizeof image, 1, stdin) == 1) {
        watched = WATCH_START;
        network_run(image, outputs, workspace);
        if (fwrite(outputs, sizeof outputs, 1, stdout) != 1
            || fwrite(&watched, sizeof watched, 1, stdout) != 1)
            return 1;
    }
    return 0;
}
