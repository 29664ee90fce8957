// What went wrong, in the words and codes of the protocol's ERROR frame.
#ifndef EDGECAT_FAULT_H
#define EDGECAT_FAULT_H

#include "platform.h"

enum fault_code {
    MALFORMED = 1,
    UNSUPPORTED,
    WRONG_SHAPE,
    MODEL_REFUSED,
    WRONG_MODEL,
    INFERENCE_FAILED,
    OPERATOR_MISSING
};

typedef struct {
    enum fault_code code;
    char words[2048];
} Fault;

#ifdef __cplusplus
extern "C" {
#endif
void fault_set(Fault *fault, enum fault_code code, const char *format, ...) __attribute__((format(printf, 3, 4)));
#ifdef __cplusplus
}
#endif

// Fills in a fault and is false, which the compiler sees: one may write `return refuse(fault, ...)`.
#define refuse(...) (fault_set(__VA_ARGS__), false)

#endif
