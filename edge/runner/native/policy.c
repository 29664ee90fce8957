#include "policy.h"

#include "portable.h"

enum { MILLION = 1000 * 1000 };

typedef struct {
    const char *name;
    int parameters;
    uint64_t least, most;  // of each, in millionths
    bool whole;
} Kind;

static const Kind kinds[] = {
    [LABEL] = {.name = "label"},
    [TOPK] = {"topk", 1, MILLION, (uint64_t)9999 * MILLION, true},
    [SCORES] = {.name = "scores"},
    [ROUND] = {"round", 1, MILLION, 6 * MILLION, true},
    [NOISE] = {"noise", 1, 1, MILLION, false},
    [REVERSE_SIGMOID] = {"reverse_sigmoid", 2, 1, 100 * MILLION, false},
    [CONFIDENT] = {"confident", 1, 1, MILLION, false},
    [LOGITS] = {.name = "logits"},
};

const char policies_known[] =
    "label, topk:K, scores, round:D, noise:S, reverse_sigmoid:B,G, confident:T or logits (docs/protocol.md)";

// Digits, up to `most` of them, added to `number`; gives how many.
static int read_digits(const char **text, int most, uint64_t *number) {
    int digits = 0;
    for (; digits < most && **text >= '0' && **text <= '9'; digits++, (*text)++) {
        *number = 10 * *number + (uint64_t)(**text - '0');
    }
    return digits;
}

// A decimal number in millionths: no needless zeros before the point, at most six places behind it.
static bool read_millionths(const char **text, uint64_t *number) {
    *number = 0;
    int digits = read_digits(text, **text == '0' ? 1 : 9, number), places = 0;
    if (!digits) return false;
    if (**text == '.') {
        (*text)++;
        places = read_digits(text, 6, number);
        if (!places) return false;
    }
    for (; places < 6; places++) *number *= 10;
    return true;
}

bool policy_read(const char *text, Policy *policy) {
    size_t named = 0;
    while (text[named] && text[named] != ':') named++;
    for (PolicyKind kind = LABEL; kind <= LOGITS; kind++) {
        const Kind *known = &kinds[kind];
        if (strlen(known->name) != named || memcmp(known->name, text, named) != 0) continue;
        *policy = (Policy){.kind = kind};
        text += named;
        for (int i = 0; i < known->parameters; i++) {
            uint64_t *number = &policy->parameters[i];
            if (*text++ != (i ? ',' : ':') || !read_millionths(&text, number)) return false;
            if (*number < known->least || *number > known->most) return false;
            if (known->whole && *number % MILLION) return false;
        }
        return !*text;
    }
    return false;
}

void policy_write(const Policy *policy, char text[POLICY_TEXT]) {
    int at = snprintf(text, POLICY_TEXT, "%s", kinds[policy->kind].name);
    for (int i = 0; i < kinds[policy->kind].parameters; i++) {
        unsigned long long number = policy->parameters[i];
        at += snprintf(text + at, POLICY_TEXT - (size_t)at, "%c%llu.%06llu", i ? ',' : ':', number / MILLION,
                       number % MILLION);
        while (text[at - 1] == '0') at--;
        if (text[at - 1] == '.') at--;
        text[at] = 0;
    }
}

uint32_t policy_width(const Policy *policy, uint32_t classes) {
    if (policy->kind == TOPK) return (uint32_t)(policy->parameters[0] / MILLION);
    return policy->kind == LABEL ? 1 : classes;
}

static uint32_t best_class(const float *logits, uint32_t classes) {
    uint32_t best = 0;
    for (uint32_t c = 1; c < classes; c++) {
        if (logits[c] > logits[best]) best = c;
    }
    return best;
}

static void scale(double *values, uint32_t classes) {
    double sum = 0;
    for (uint32_t c = 0; c < classes; c++) sum += values[c];
    for (uint32_t c = 0; sum > 0 && c < classes; c++) values[c] /= sum;
}

static void softmax(const float *logits, uint32_t classes, double *values) {
    double largest = (double)logits[best_class(logits, classes)];
    for (uint32_t c = 0; c < classes; c++) values[c] = exponential((double)logits[c] - largest);
    scale(values, classes);
}

static double reverse_sigmoid(double score, double beta, double gamma) {
    const double margin = 1e-9;
    double bounded = score < margin ? margin : score > 1 - margin ? 1 - margin : score;
    double odds = gamma * logarithm((1 - bounded) / bounded);
    // 1 / (1 + e^odds), by the exponential that does not overflow.
    double small = exponential(odds > 0 ? -odds : odds);
    double moved = score - beta * ((odds > 0 ? small : 1) / (1 + small) - 0.5);
    return moved < 0 ? 0 : moved > 1 ? 1 : moved;
}

static void disturb(const Policy *policy, double *values, uint32_t classes, uint64_t seed) {
    double first = (double)policy->parameters[0] / MILLION, second = (double)policy->parameters[1] / MILLION, steps = 1;
    for (double decimals = first; policy->kind == ROUND && decimals > 0; decimals--) steps *= 10;
    for (uint32_t c = 0; c < classes; c++) {
        double value = values[c];
        if (policy->kind == ROUND) value = nearest(value * steps) / steps;
        if (policy->kind == CONFIDENT && value < first) value = 0;
        if (policy->kind == REVERSE_SIGMOID) value = reverse_sigmoid(value, first, second);
        if (policy->kind == NOISE) value += first * gaussian(seed, c);
        values[c] = value > 0 ? value : 0;
    }
    if (policy->kind == REVERSE_SIGMOID || policy->kind == NOISE) scale(values, classes);
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

static void tell_topk(const float *logits, uint32_t classes, uint32_t k, PolicyRoom room, uint8_t *labels,
                      uint8_t *scores) {
    best_classes(logits, classes, k, room.order);
    for (uint32_t rank = 0; rank < k; rank++) {
        uint16_t c = room.order[classes - 1 - rank];
        float score = (float)room.values[c];
        memcpy(labels + rank * sizeof c, &c, sizeof c);
        memcpy(scores + rank * sizeof score, &score, sizeof score);
    }
}

void policy_apply(const Policy *policy, const float *logits, uint32_t classes, uint64_t seed, PolicyRoom room,
                  uint8_t *labels, uint8_t *scores) {
    if (policy->kind == LABEL) {
        uint16_t label = (uint16_t)best_class(logits, classes);
        memcpy(labels, &label, sizeof label);
        return;
    }
    if (policy->kind == LOGITS) {
        memcpy(scores, logits, classes * sizeof *logits);
        return;
    }
    softmax(logits, classes, room.values);
    if (policy->kind == TOPK) {
        tell_topk(logits, classes, policy_width(policy, classes), room, labels, scores);
        return;
    }
    if (policy->kind != SCORES) disturb(policy, room.values, classes, seed);
    for (uint32_t c = 0; c < classes; c++) {
        float score = (float)room.values[c];
        memcpy(scores + c * sizeof score, &score, sizeof score);
    }
}
