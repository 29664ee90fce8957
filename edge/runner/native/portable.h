// exp, log and pseudo-random numbers with the same bits as `foundation/portable.py`, on every processor and C library:
// only additions, multiplications, divisions and roundings of doubles, in a fixed order (no -ffast-math, no fused ones).
#ifndef EDGECAT_PORTABLE_H
#define EDGECAT_PORTABLE_H

#include "platform.h"

// e^x for x <= 0, to 2e-14 of it; 0 below -110.
double exponential(double x);

// ln x for normal x > 0.
double logarithm(double x);

// To the nearest whole number, halves to even; for |x| < 2^51.
static inline double nearest(double x) {
    const double shift = 0x1.8p52;
    return x + shift - shift;
}

// A seed of all bytes of an image. No secret: whoever has the image has the seed.
uint64_t image_seed(const uint8_t *image, size_t bytes);

// The number `at` (from 0) of a seed's sequence: mean 0, standard deviation 1, bell-shaped up to +-6.
double gaussian(uint64_t seed, uint32_t at);

#endif
