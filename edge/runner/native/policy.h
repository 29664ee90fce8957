// What an answer lets out, and how it is disturbed first; the definition is `foundation/answers.py`.
#ifndef EDGECAT_POLICY_H
#define EDGECAT_POLICY_H

#include "platform.h"

enum { MAX_CLASSES = 0xFFFF, POLICY_TEXT = 48 };

// The numbers of ANSWER frames.
typedef enum { LABEL, TOPK, SCORES, ROUND, NOISE, REVERSE_SIGMOID, CONFIDENT, LOGITS } PolicyKind;

typedef struct {
    PolicyKind kind;
    uint64_t parameters[2];  // in millionths
} Policy;

// What there is, in words.
extern const char policies_known[];

bool policy_read(const char *text, Policy *policy);

// The one way to write it, as HELLO does.
void policy_write(const Policy *policy, char text[POLICY_TEXT]);

// How many classes an answer names or has a value for.
uint32_t policy_width(const Policy *policy, uint32_t classes);

static inline bool policy_tells_labels(const Policy *policy) { return policy->kind <= TOPK; }
static inline bool policy_tells_scores(const Policy *policy) { return policy->kind != LABEL; }
static inline bool policy_wants_seed(const Policy *policy) { return policy->kind == NOISE; }

// Room for all classes.
typedef struct {
    uint16_t *order;
    double *values;
} PolicyRoom;

// Cuts one image's logits down: u16 labels and float32 scores, as far as the policy tells them, to addresses that need
// not be aligned. Logits are finite. `seed` is the image's, where the policy wants one.
void policy_apply(const Policy *policy, const float *logits, uint32_t classes, uint64_t seed, PolicyRoom room,
                  uint8_t *labels, uint8_t *scores);

#endif
