// Sixteen bytes a step by sixteen tables ("slicing"); where the processor has an instruction for it, that one.
#include "crc32.h"

enum { SLICES = 16 };

static uint32_t tables[SLICES][256];

static uint32_t by_tables(uint32_t crc, const uint8_t *data, size_t bytes) {
    for (; bytes >= SLICES; bytes -= SLICES, data += SLICES) {
        uint32_t words[4], next = 0;
        memcpy(words, data, sizeof words);
        words[0] ^= crc;
        for (int word = 0; word < 4; word++) {
            for (int byte = 0; byte < 4; byte++) {
                next ^= tables[SLICES - 1 - 4 * word - byte][words[word] >> (8 * byte) & 0xFF];
            }
        }
        crc = next;
    }
    for (; bytes; bytes--) crc = crc >> 8 ^ tables[0][(crc ^ *data++) & 0xFF];
    return crc;
}

static uint32_t (*update)(uint32_t, const uint8_t *, size_t) = by_tables;

#ifdef __aarch64__

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

static void choose(void) {
    if (getauxval(CAPABILITIES) & HAS_CRC32) update = by_instruction;
}

#else

static void choose(void) {}

#endif

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
    choose();
}

uint32_t crc32_update(uint32_t crc, const void *data, size_t bytes) { return ~update(~crc, data, bytes); }
