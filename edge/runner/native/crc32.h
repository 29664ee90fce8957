// CRC-32 of zlib, PNG and Ethernet.
#ifndef EDGECAT_CRC32_H
#define EDGECAT_CRC32_H

#include "platform.h"

// Call once, before anything else here.
void crc32_prepare(void);

// Goes on from `crc` (0 to begin with), as zlib's `crc32` does.
uint32_t crc32_update(uint32_t crc, const void *data, size_t bytes);

#endif
