/* An example of @name@.h.
 *
 *   ./@name@                 compare with Keras on the test images; exit code 1 if they differ
 *   ./@name@ --time 100      the shortest time of 100 runs
@if uint8@
 *   ./@name@ picture.ppm     the five likeliest classes of a binary PPM of @width@x@height@ pixels
@end@
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "@name@.h"
#include "@name@_vectors.h"
#include "bnn.h"

/* Rounding may flip a sign near zero; then the following values differ a little. */
#define TOLERANCE 0.05

static unsigned char workspace[@NAME@_WORKSPACE];
static float logits[@NAME@_OUTPUTS];

/* The same hash as in the exporter, so test images need no file. */
static uint8_t test_byte(int number, uint32_t i)
{
    uint32_t x = (i + (uint32_t)number * @NAME@_INPUTS) * 2654435761u;
    x ^= x >> 16;
    x *= 2246822519u;
    x ^= x >> 13;
    return (uint8_t)x;
}

static void run_test_image(int number)
{
@if uint8@
    static uint8_t image[@NAME@_INPUTS];
    for (uint32_t i = 0; i < @NAME@_INPUTS; ++i) image[i] = test_byte(number, i);
    @name@_run_uint8(image, logits, workspace);
@end@
@if float@
    static float image[@NAME@_INPUTS];
    for (uint32_t i = 0; i < @NAME@_INPUTS; ++i)
        image[i] = ((float)test_byte(number, i) - 128.0f) / 64.0f;
    @name@_run(image, logits, workspace);
@end@
}

static int likeliest(const float *values)
{
    int best = 0;
    for (int i = 1; i < @NAME@_OUTPUTS; ++i)
        if (values[i] > values[best]) best = i;
    return best;
}

static void print_class(int number)
{
@if classes@
    printf("%s", @name@_class(number));
@end@
@if numbers@
    printf("class %d", number);
@end@
}

static int compare(void)
{
    int wrong = 0;
    for (int number = 0; number < @NAME@_VECTORS; ++number) {
        const float *expected = @name@_expected[number];
        double difference = 0, size = 0;
        run_test_image(number);
        for (int i = 0; i < @NAME@_OUTPUTS; ++i) {
            difference += pow((double)logits[i] - (double)expected[i], 2);
            size += pow((double)expected[i], 2);
        }
        difference = sqrt(difference / (size > 0 ? size : 1));
        printf("test image %d: ", number);
        print_class(likeliest(logits));
        printf(", differs from Keras by %.1e of the outputs' size\n", difference);
        if (!(difference <= TOLERANCE)) wrong = 1;
    }
    printf("%s\n", wrong ? "DIFFERENT" : "equal");
    return wrong;
}

static double seconds(void)
{
    struct timespec now;
    timespec_get(&now, TIME_UTC);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

static int measure(int runs)
{
    double best = 1e9;
    for (int i = 0; i < runs; ++i) {
        const double start = seconds();
        run_test_image(0);
        if (seconds() - start < best) best = seconds() - start;
    }
    printf("%.3f ms with %s, %d bytes of workspace\n", 1e3 * best, bnn_instructions(),
           @NAME@_WORKSPACE);
    return 0;
}
@if uint8@

static int classify(const char *path)
{
    static uint8_t image[@NAME@_INPUTS];
    int width, height, most;
    FILE *file = fopen(path, "rb");
    if (!file) {
        fprintf(stderr, "'%s' cannot be read.\n", path);
        return 2;
    }
    if (fscanf(file, "P6 %d %d %d", &width, &height, &most) != 3 || fgetc(file) == EOF
        || width != @NAME@_WIDTH || height != @NAME@_HEIGHT || most != 255
        || fread(image, 1, sizeof image, file) != sizeof image) {
        fprintf(stderr, "'%s' is no binary PPM (P6, 255) of %dx%d pixels.\n", path, @NAME@_WIDTH,
                @NAME@_HEIGHT);
        fclose(file);
        return 2;
    }
    fclose(file);
    @name@_run_uint8(image, logits, workspace);
    for (int place = 0; place < 5 && place < @NAME@_OUTPUTS; ++place) {
        const int best = likeliest(logits);
        printf("%9.4f  ", (double)logits[best]);
        print_class(best);
        printf("\n");
        logits[best] = -INFINITY;
    }
    return 0;
}
@end@

int main(int count, char **words)
{
    if (count == 1) return compare();
    if (count == 3 && strcmp(words[1], "--time") == 0 && atoi(words[2]) > 0)
        return measure(atoi(words[2]));
@if uint8@
    if (count == 2) return classify(words[1]);
@end@
    fprintf(stderr, "See the first lines of main.c for how to call this.\n");
    return 2;
}
