#include "policy.h"

bool policy_read(const char *text, Policy *policy) {
    *policy = (Policy){LABEL, 1};
    if (strcmp(text, "label") == 0) return true;
    if (strcmp(text, "scores") == 0) return policy->kind = SCORES, true;
    if (strncmp(text, "topk:", 5) != 0 || text[5] == '0' || !text[5] || strlen(text) > 9) return false;
    policy->kind = TOPK;
    policy->k = 0;
    for (const char *at = text + 5; *at; at++) {
        if (*at < '0' || *at > '9') return false;
        policy->k = 10 * policy->k + (uint32_t)(*at - '0');
    }
    return true;
}

static uint32_t best_class(const float *logits, uint32_t classes) {
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++) {
        if (logits[c] > logits[best]) best = c;
    }
    return best;
}

// e^x for x <= 0, to the last bit of a float or next to it. Our own, in double and without fused operations: libm's
// differ between C libraries and processors, and two runners are to give equal scores for equal logits.
static double exponential(double x) {
    if (x < -110) return 0;
    const double round = 0x1.8p52;
    double k = x * 0x1.71547652b82fep0 + round - round;  // x / ln 2
    double r = x - k * 0x1.62e42fefa39efp-1;
    double sum = 1;
    for (int term = 12; term > 0; term--) sum = 1 + sum * r / term;
    uint64_t bits = (uint64_t)(1023 + (int64_t)k) << 52;
    double power;
    memcpy(&power, &bits, sizeof power);
    return sum * power;
}

// `c` goes before `d`: the larger logit, of equal ones the lower class.
static bool before(const float *logits, uint32_t c, uint32_t d) {
    return logits[c] > logits[d] || (logits[c] == logits[d] && c < d);
}

static void sink(const float *logits, uint16_t *heap, uint32_t size, uint32_t at) {
    for (uint32_t child; (child = 2 * at + 1) < size; at = child) {
        if (child + 1 < size && before(logits, heap[child + 1], heap[child])) child++;
        if (!before(logits, heap[child], heap[at])) return;
        uint16_t moved = heap[at];
        heap[at] = heap[child];
        heap[child] = moved;
    }
}

// The best `k` classes to the end of `order`, the best of all last.
static void best_classes(const float *logits, uint32_t classes, uint32_t k, uint16_t *order) {
    for (uint32_t c = 0; c < classes; c++) order[c] = (uint16_t)c;
    for (uint32_t at = classes / 2; at-- > 0;) sink(logits, order, classes, at);
    for (uint32_t left = classes; left > classes - k; left--) {
        uint16_t best = order[0];
        order[0] = order[left - 1];
        order[left - 1] = best;
        sink(logits, order, left - 1, 0);
    }
}

void policy_apply(Policy policy, const float *logits, uint32_t classes, uint16_t *order, uint8_t *labels,
                  uint8_t *scores) {
    uint32_t best = best_class(logits, classes), width = policy_width(policy, classes);
    if (policy.kind == LABEL) {
        uint16_t label = (uint16_t)best;
        memcpy(labels, &label, sizeof label);
        return;
    }
    double sum = 0;
    for (uint32_t c = 0; c < classes; c++) sum += exponential((double)logits[c] - (double)logits[best]);
    if (policy.kind == TOPK) best_classes(logits, classes, width, order);
    for (uint32_t rank = 0; rank < width; rank++) {
        uint16_t c = policy.kind == TOPK ? order[classes - 1 - rank] : (uint16_t)rank;
        float score = (float)(exponential((double)logits[c] - (double)logits[best]) / sum);
        if (policy.kind == TOPK) memcpy(labels + rank * sizeof c, &c, sizeof c);
        memcpy(scores + rank * sizeof score, &score, sizeof score);
    }
}
