#include "portable.h"

static const uint64_t golden = 0x9E3779B97F4A7C15;  // 2^64 / golden ratio
static const double ln2 = 0x1.62e42fefa39efp-1;

double exponential(double x) {
    if (x < -110) return 0;
    double k = nearest(x * 0x1.71547652b82fep0);  // x / ln 2
    double r = x - k * ln2;
    double sum = 1;
    for (int term = 12; term > 0; term--) sum = 1 + sum * r / term;
    uint64_t bits = (uint64_t)(1023 + (int64_t)k) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

double logarithm(double x) {
    uint64_t bits;
    memcpy(&bits, &x, sizeof bits);
    int k = (int)(bits >> 52) - 1022;
    bits = (bits & 0xFFFFFFFFFFFFF) | (uint64_t)1022 << 52;
    double m;
    memcpy(&m, &bits, sizeof m);
    if (m < 0x1.6a09e667f3bcdp-1) m *= 2, k--;  // sqrt(1/2)
    double s = (m - 1) / (m + 1), square = s * s, sum = 1.0 / 21;
    for (int term = 19; term > 0; term -= 2) sum = sum * square + 1.0 / term;
    return k * ln2 + 2 * s * sum;
}

// splitmix64's finaliser.
static uint64_t mix(uint64_t word) {
    word = (word ^ word >> 30) * 0xBF58476D1CE4E5B9;
    word = (word ^ word >> 27) * 0x94D049BB133111EB;
    return word ^ word >> 31;
}

uint64_t image_seed(const uint8_t *image, size_t bytes) {
    uint64_t sum = 0, place = 0, word;
    for (; bytes >= sizeof word; bytes -= sizeof word, image += sizeof word) {
        memcpy(&word, image, sizeof word);
        sum += mix(word + (place += golden));
    }
    if (bytes) {
        word = 0;
        memcpy(&word, image, bytes);
        sum += mix(word + place + golden);
    }
    return mix(sum);
}

double gaussian(uint64_t seed, uint32_t at) {
    enum { UNIFORMS = 12, DRAWS = 3 };
    uint64_t sum = 0;
    for (uint64_t draw = 1; draw <= DRAWS; draw++) {
        uint64_t word = mix(seed + ((uint64_t)DRAWS * at + draw) * golden);
        for (int shift = 0; shift < 64; shift += 16) sum += word >> shift & 0xFFFF;
    }
    return ((double)sum - UNIFORMS * 0xFFFF / 2) / 0x10000;
}
