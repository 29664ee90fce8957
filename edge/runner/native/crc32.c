// Sixteen bytes a step by sixteen tables ("slicing"); where the processor has instructions for it, by those.
#include "crc32.h"

enum { SLICES = 16 };

static uint32_t tables[SLICES][256];

static uint32_t by_tables(uint32_t crc, const uint8_t *data, size_t bytes) {
    for (; bytes >= SLICES; bytes -= SLICES, data += SLICES) {
        uint32_t words[4], next = 0;
        memcpy(words, data, sizeof words);
        words[0] ^= crc;
#pragma GCC unroll 4
        for (int word = 0; word < 4; word++) {
#pragma GCC unroll 4
            for (int byte = 0; byte < 4; byte++) {
                next ^= tables[SLICES - 1 - 4 * word - byte][words[word] >> (8 * byte) & 0xFF];
            }
        }
        crc = next;
    }
    for (; bytes; bytes--) crc = crc >> 8 ^ tables[0][(crc ^ *data++) & 0xFF];
    return crc;
}

#if defined(__aarch64__)

#ifdef EDGECAT_BIONIC
unsigned long getauxval(unsigned long type);
#else
#include <sys/auxv.h>
#endif

enum { CAPABILITIES = 16, HAS_CRC32 = 1 << 7 };  // AT_HWCAP, HWCAP_CRC32

__attribute__((target("+crc"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *data, size_t bytes) {
    for (; bytes >= 8; bytes -= 8, data += 8) {
        uint64_t word;
        memcpy(&word, data, sizeof word);
        __asm__("crc32x %w0, %w0, %x1" : "+r"(crc) : "r"(word));
    }
    for (; bytes; bytes--, data++) __asm__("crc32b %w0, %w0, %w1" : "+r"(crc) : "r"((uint32_t)*data));
    return crc;
}

static bool has_instruction(void) { return (getauxval(CAPABILITIES) & HAS_CRC32) != 0; }

#elif defined(__x86_64__)

#include <cpuid.h>

// Not <wmmintrin.h>: that one includes headers of the C library.
typedef long long Block __attribute__((vector_size(16)));

static bool has_instruction(void) {
    unsigned int a, b, c = 0, d;
    return __get_cpuid(1, &a, &b, &c, &d) && (c & bit_PCLMUL);
}

static Block load(const uint8_t *data) {
    Block block;
    memcpy(&block, data, sizeof block);
    return block;
}

// Carries `folded` on by as many bits as `by` is made for, and adds what stands there.
__attribute__((target("pclmul"))) static Block fold(Block folded, Block by, Block next) {
    return __builtin_ia32_pclmulqdq128(folded, by, 0x00) ^ __builtin_ia32_pclmulqdq128(folded, by, 0x11) ^ next;
}

// Carry-less multiplication (Gopal et al., "Fast CRC Computation for Generic Polynomials Using PCLMULQDQ Instruction",
// Intel 2009): four blocks of 16 bytes are carried side by side, and in the end folded to one, which has the CRC
// of all.
__attribute__((target("pclmul"))) static uint32_t by_instruction(uint32_t crc, const uint8_t *data, size_t bytes) {
    if (bytes < 64) return by_tables(crc, data, bytes);
    // x^(512 + 32) and x^(512 - 32), x^(128 + 32) and x^(128 - 32), modulo the polynomial, bits reflected.
    const Block by_512 = {0x154442bd4, 0x1c6e41596}, by_128 = {0x1751997d0, 0x0ccaa009e};
    Block blocks[4];
    for (int i = 0; i < 4; i++) blocks[i] = load(data + 16 * i);
    blocks[0] ^= (Block){crc, 0};
    for (data += 64, bytes -= 64; bytes >= 64; data += 64, bytes -= 64) {
        for (int i = 0; i < 4; i++) blocks[i] = fold(blocks[i], by_512, load(data + 16 * i));
    }
    Block folded = blocks[0];
    for (int i = 1; i < 4; i++) folded = fold(folded, by_128, blocks[i]);
    for (; bytes >= 16; data += 16, bytes -= 16) folded = fold(folded, by_128, load(data));
    uint8_t last[16];
    memcpy(last, &folded, sizeof last);
    return by_tables(by_tables(0, last, sizeof last), data, bytes);
}

#else

static bool has_instruction(void) { return false; }
static uint32_t by_instruction(uint32_t crc, const uint8_t *data, size_t bytes) { return by_tables(crc, data, bytes); }

#endif

static uint32_t (*update)(uint32_t, const uint8_t *, size_t) = by_tables;

void crc32_prepare(void) {
    for (uint32_t byte = 0; byte < 256; byte++) {
        uint32_t crc = byte;
        for (int bit = 0; bit < 8; bit++) crc = crc >> 1 ^ (crc & 1 ? 0xEDB88320u : 0);
        tables[0][byte] = crc;
    }
    for (int slice = 1; slice < SLICES; slice++) {
        for (int byte = 0; byte < 256; byte++) {
            uint32_t before = tables[slice - 1][byte];
            tables[slice][byte] = before >> 8 ^ tables[0][before & 0xFF];
        }
    }
    if (has_instruction()) update = by_instruction;
}

uint32_t crc32_update(uint32_t crc, const void *data, size_t bytes) { return ~update(~crc, data, bytes); }
