/* A network on a Cortex-M without an operating system. After start-up it reads images of bytes from a
 * file of the host (semihosting), and writes the outputs, the digest of the signs and the time of
 * each image.
 *
 * The MPS2 board's timer measures the time at 25 MHz. With -icount shift=0 an instruction takes 1 ns,
 * so 40 instructions are one tick. */
#include <stddef.h>
#include <stdint.h>

#include "network.h"
#include "watch.h"

extern uint32_t stack_top[], stack_bottom[], data_load[], data_start[], data_end[], bss_start[],
    bss_end[];
#define PAINT 0xa5a5a5a5u

#define TIMER_CONTROL (*(volatile uint32_t *)0x40000000u)
#define TIMER_VALUE (*(volatile uint32_t *)0x40000004u)
#define TIMER_RELOAD (*(volatile uint32_t *)0x40000008u)
#define COPROCESSOR_ACCESS (*(volatile uint32_t *)0xe000ed88u)

static unsigned char workspace[NETWORK_WORKSPACE];
static uint8_t image[NETWORK_INPUTS];
static float outputs[NETWORK_OUTPUTS];

/* Arm's semihosting for M profiles: the operation in r0, the address of its arguments in r1. */
static int32_t host(uint32_t operation, const void *arguments)
{
    register uint32_t r0 __asm__("r0") = operation;
    register const void *r1 __asm__("r1") = arguments;
    __asm__ volatile("bkpt 0xab" : "+r"(r0) : "r"(r1) : "memory");
    return (int32_t)r0;
}

static int32_t open_file(const char *name, uint32_t length, uint32_t mode)
{
    const uint32_t arguments[] = {(uint32_t)name, mode, length};
    return host(0x01, arguments);
}

static int32_t read_file(int32_t file, void *target, uint32_t size) /* returns the number of missing bytes */
{
    const uint32_t arguments[] = {(uint32_t)file, (uint32_t)target, size};
    return host(0x06, arguments);
}

static void write_file(int32_t file, const void *source, uint32_t size)
{
    const uint32_t arguments[] = {(uint32_t)file, (uint32_t)source, size};
    host(0x05, arguments);
}

static void leave(int failed)
{
    host(0x18, (const void *)(failed ? 0x20023u : 0x20026u));
    for (;;) {
    }
}

static uint32_t stack_used(void)
{
    const uint32_t *p = stack_bottom;
    while (*p == PAINT) ++p;
    return (uint32_t)((const char *)stack_top - (const char *)p);
}

static uint32_t since(uint32_t start) { return start - TIMER_VALUE; } /* the timer counts down */

/* Run two million instructions, to check the timer. */
static uint32_t calibrate(void)
{
    const uint32_t start = TIMER_VALUE;
    uint32_t n = 1000000;
    __asm__ volatile("1: subs %0, %0, #1\n bne 1b" : "+r"(n) : : "cc");
    return since(start);
}

static void run_all(void)
{
    const int32_t in = open_file("images.bin", 10, 1), out = open_file("outputs.bin", 11, 5);
    if (in < 0 || out < 0) leave(1);
    TIMER_RELOAD = TIMER_VALUE = 0xffffffffu;
    TIMER_CONTROL = 1;
    const uint32_t ticks = calibrate();
    write_file(out, &ticks, sizeof ticks);
    while (read_file(in, image, sizeof image) == 0) {
        watched = WATCH_START;
        const uint32_t start = TIMER_VALUE;
        network_run_uint8(image, outputs, workspace);
        const uint32_t took[] = {watched, since(start)};
        write_file(out, outputs, sizeof outputs);
        write_file(out, took, sizeof took);
    }
    const uint32_t stack = stack_used();
    write_file(out, &stack, sizeof stack);
    leave(0);
}

void reset(void)
{
    const uint32_t *from = data_load;
    for (uint32_t *p = data_start; p != data_end;) *p++ = *from++;
    for (uint32_t *p = bss_start; p != bss_end;) *p++ = 0;
    for (uint32_t *p = stack_bottom; p < (uint32_t *)__builtin_frame_address(0) - 16;) *p++ = PAINT;
    COPROCESSOR_ACCESS |= 0xfu << 20; /* enable the floating-point unit for all code */
    __asm__ volatile("dsb\n isb");
    run_all();
}

static void fault(void) { leave(1); }

__attribute__((section(".vectors"), used)) static const void *const vectors[] = {
    stack_top, (const void *)reset,
    (const void *)fault, (const void *)fault, (const void *)fault, (const void *)fault,
    (const void *)fault,
};
