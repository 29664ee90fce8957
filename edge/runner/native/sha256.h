// SHA-256 (FIPS 180-4).
#ifndef EDGECAT_SHA256_H
#define EDGECAT_SHA256_H

#include "platform.h"

// The digest of `data` as 64 lower-case hexadecimal digits and a final 0.
void sha256_hex(const void *data, size_t bytes, char digits[65]);

#endif
