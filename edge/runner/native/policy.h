// What an answer lets out: label, topk:K or scores.
#ifndef EDGECAT_POLICY_H
#define EDGECAT_POLICY_H

#include "platform.h"

enum { MAX_CLASSES = 0xFFFF };

typedef enum { LABEL, TOPK, SCORES } PolicyKind;

typedef struct {
    PolicyKind kind;
    uint32_t k;
} Policy;

bool policy_read(const char *text, Policy *policy);

// How many classes an answer names.
static inline uint32_t policy_width(Policy policy, uint32_t classes) {
    return policy.kind == LABEL ? 1 : policy.kind == TOPK ? policy.k : classes;
}

static inline bool policy_tells_labels(Policy policy) { return policy.kind != SCORES; }
static inline bool policy_tells_scores(Policy policy) { return policy.kind != LABEL; }

// Cuts one image's logits down: u16 labels and float32 scores, as far as the policy tells them, to addresses that need
// not be aligned. Logits are finite. `order` has room for all classes.
void policy_apply(Policy policy, const float *logits, uint32_t classes, uint16_t *order, uint8_t *labels,
                  uint8_t *scores);

#endif
