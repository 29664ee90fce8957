#include "classifier.h"

enum { SHAPE_WORDS = 160 };

static void write_shape(const Tensor *tensor, char words[SHAPE_WORDS]) {
    size_t at = 0;
    for (uint32_t axis = 0; axis < tensor->rank; axis++) {
        at += (size_t)snprintf(words + at, SHAPE_WORDS - at, "%s%d", axis ? ", " : "[", tensor->shape[axis]);
    }
    snprintf(words + at, SHAPE_WORDS - at, "%s]", tensor->rank ? "" : "[");
}

static bool check_shapes(const Classifier *classifier, const Options *options, Fault *fault) {
    const Tensor *input = &classifier->input, *output = &classifier->output;
    int32_t height = (int32_t)options->height, width = (int32_t)options->width, channels = (int32_t)options->channels;
    Tensor expected = {.rank = 4, .shape = {1, height, width, channels}};
    if (options->planar) expected = (Tensor){.rank = 4, .shape = {1, channels, height, width}};
    char has[SHAPE_WORDS], wants[SHAPE_WORDS];
    if (input->rank != 4 || memcmp(input->shape, expected.shape, 4 * sizeof *input->shape) != 0) {
        write_shape(input, has);
        write_shape(&expected, wants);
        return refuse(fault, MODEL_REFUSED, "the model takes %s, the command line says %s", has, wants);
    }
    if (output->rank != 2 || output->shape[0] != 1 || output->shape[1] < 1 || output->shape[1] > MAX_CLASSES) {
        write_shape(output, has);
        return refuse(fault, MODEL_REFUSED, "the model gives %s, not [1, classes] with 1 to %d classes", has,
                      MAX_CLASSES);
    }
    if (policy_width(&options->policy, (uint32_t)output->shape[1]) > (uint32_t)output->shape[1]) {
        char policy[POLICY_TEXT];
        policy_write(&options->policy, policy);
        return refuse(fault, MODEL_REFUSED, "answer policy %s asks for more than the %d classes there are", policy,
                      output->shape[1]);
    }
    return true;
}

static bool run_first(Classifier *classifier, const Options *options, Fault *fault) {
    uint8_t *black = calloc(image_bytes(options), 1);
    if (!black) return refuse(fault, MODEL_REFUSED, "no memory for an image");
    input_table_apply(&classifier->table, black, classifier->input.data);
    free(black);
    uint64_t start = now_ns();
    if (!engine_run(fault)) return fault->code = MODEL_REFUSED, false;
    classifier->first_ns = now_ns() - start;
    return true;
}

bool classifier_load(Classifier *classifier, const Options *options, const void *model, size_t bytes, Fault *fault) {
    uint64_t start = now_ns();
    memset(classifier, 0, sizeof *classifier);
    if (!engine_load(model, bytes, options->threads, &classifier->input, &classifier->output, fault)) return false;
    classifier->load_ns = now_ns() - start;
    if (!check_shapes(classifier, options, fault)) return false;
    classifier->classes = (uint32_t)classifier->output.shape[1];
    classifier->logits = malloc(classifier->classes * sizeof *classifier->logits);
    classifier->room.order = malloc(classifier->classes * sizeof *classifier->room.order);
    classifier->room.values = malloc(classifier->classes * sizeof *classifier->room.values);
    bool made = input_table_make(&classifier->table, options, &classifier->input);
    bool room = classifier->logits && classifier->room.order && classifier->room.values;
    if (!room || !made) return refuse(fault, MODEL_REFUSED, "no memory");
    if (!run_first(classifier, options, fault)) return false;
    return !options->profile || profile_make(&classifier->profile, options->profile, fault);
}

void classifier_free(Classifier *classifier) {
    free(classifier->logits);
    free(classifier->room.order);
    free(classifier->room.values);
    input_table_free(&classifier->table);
    profile_free(&classifier->profile);
}

bool classifier_logits(Classifier *classifier, Fault *fault) {
    const Tensor *output = &classifier->output;
    for (uint32_t c = 0; c < classifier->classes; c++) {
        float logit;
        if (output->element == FLOAT32) {
            logit = ((const float *)output->data)[c];
        } else {
            int value =
                output->element == INT8 ? ((const int8_t *)output->data)[c] : ((const uint8_t *)output->data)[c];
            logit = (float)(value - output->zero_point) * output->scale;
        }
        if (!__builtin_isfinite(logit)) {
            return refuse(fault, INFERENCE_FAILED, "the model gave logits that are no finite numbers");
        }
        classifier->logits[c] = logit;
    }
    return true;
}
