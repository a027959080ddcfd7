/* Measure the time of each layer of a network in C, and how fast this processor counts the differing
 * bits of two words: the limit of a binary convolution. benchmarks/c_layers.py builds this program.
 *
 * It prints, RUNS times, the limit in multiply-accumulates per nanosecond, then a line for each
 * layer: nanoseconds, whether it is binary, its multiply-accumulates, its output's shape. The limit
 * is measured before each run, so that both are measured under the same conditions.
 */
#include "bnn.h"
#include "network.h"

#include <immintrin.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define LAYERS 1024
#define ROUNDS 20000

static const bnn_layer *layers[LAYERS];
static double begins[LAYERS + 1];
static int count;

static double now(void)
{
    struct timespec time;
    clock_gettime(CLOCK_MONOTONIC, &time);
    return 1e9 * (double)time.tv_sec + (double)time.tv_nsec;
}

/* The network's BNN_WATCH: called before each layer. */
void watch(const bnn_layer *layer, const unsigned char *workspace)
{
    (void)workspace;
    if (count < LAYERS) {
        layers[count] = layer;
        begins[count++] = now();
    }
}

/* Exclusive or, popcount, sum: the operations of the innermost loop on 512 pairs of signs, here only
 * in registers. Twelve sums do not depend on each other. An empty statement in each round stops the
 * compiler from computing them in advance. */
#define STEP(sum) \
    sum = _mm512_add_epi32(sum, _mm512_popcnt_epi32(_mm512_xor_si512(word, sum)))
static double limit(void)
{
    const __m512i word = _mm512_set1_epi32(0x12345678);
    __m512i a = word, b = word, c = word, d = word, e = word, f = word;
    __m512i g = word, h = word, i = word, j = word, k = word, l = word;
    const double start = now();
    for (int round = 0; round < ROUNDS; ++round) {
        STEP(a); STEP(b); STEP(c); STEP(d); STEP(e); STEP(f);
        STEP(g); STEP(h); STEP(i); STEP(j); STEP(k); STEP(l);
        __asm__ volatile("" : "+v"(a), "+v"(b), "+v"(c), "+v"(d), "+v"(e), "+v"(f), "+v"(g),
                         "+v"(h), "+v"(i), "+v"(j), "+v"(k), "+v"(l));
    }
    return 512.0 * 12 * ROUNDS / (now() - start);
}

static double macs(const bnn_layer *layer)
{
    const int32_t seen = layer->kind == BNN_BINARY ? layer->in_c
        : layer->kind == BNN_REAL ? layer->group_in : layer->kind == BNN_DEPTHWISE ? 1 : 0;
    return (double)layer->out_h * layer->out_w * layer->out_c * layer->kernel_h * layer->kernel_w
        * seen;
}

int main(int argc, char **argv)
{
    const int runs = argc > 1 ? atoi(argv[1]) : 1;
    float *image = (float *)malloc(sizeof(float) * NETWORK_INPUTS);
    float *outputs = (float *)malloc(sizeof(float) * NETWORK_OUTPUTS);
    void *workspace = malloc(NETWORK_WORKSPACE);
    if (!image || !outputs || !workspace) return 1;
    srand(0);
    for (int i = 0; i < NETWORK_INPUTS; ++i) image[i] = 4.0f * (float)rand() / (float)RAND_MAX - 2.0f;
    for (int run = 0; run < runs; ++run) {
        printf("%.1f\n", limit());
        count = 0;
        network_run(image, outputs, workspace);
        begins[count] = now();
        for (int i = 0; i < count; ++i)
            printf("%.0f %d %.0f %dx%dx%d\n", begins[i + 1] - begins[i],
                   layers[i]->kind == BNN_BINARY, macs(layers[i]), layers[i]->out_h,
                   layers[i]->out_w, layers[i]->out_c);
    }
    return 0;
}
