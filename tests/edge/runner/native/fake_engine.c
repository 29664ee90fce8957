// An engine without a runtime, for fuzzing: its input is what the harness says, its logits are a few of its input's bytes.
#include "fake_engine.h"

enum { ROOM = 1 << 16 };

const char engine_runtime[] = "tflite";

static Tensor fake_input, fake_output;
static uint8_t input_data[ROOM] __attribute__((aligned(64)));
static uint8_t output_data[ROOM] __attribute__((aligned(64)));

bool fake_engine_set(const Options *options, Element element, uint32_t classes) {
    int32_t height = (int32_t)options->height, width = (int32_t)options->width, channels = (int32_t)options->channels;
    fake_input = (Tensor){.element = element, .rank = 4, .shape = {1, height, width, channels}, .scale = 1.0f / 255};
    if (options->planar) memcpy(fake_input.shape, (int32_t[]){1, channels, height, width}, 4 * sizeof(int32_t));
    fake_input.zero_point = element == INT8 ? -128 : 0;
    fake_output = (Tensor){.element = element, .rank = 2, .shape = {1, (int32_t)classes}, .scale = 0.25f, .zero_point = 3};
    if (image_bytes(options) * element_bytes(element) > ROOM || classes * element_bytes(element) > ROOM) return false;
    fake_input.data = input_data;
    fake_output.data = output_data;
    return true;
}

const char *engine_version(void) { return "Fake 1"; }

bool engine_load(const void *model, size_t bytes, uint32_t threads, Tensor *input, Tensor *output, Fault *fault) {
    (void)model, (void)threads;
    *input = fake_input;
    *output = fake_output;
    return bytes != 0 || refuse(fault, MODEL_REFUSED, "nothing to load");
}

bool engine_run(Fault *fault) {
    size_t given = tensor_elements(&fake_input) * element_bytes(fake_input.element);
    size_t wanted = tensor_elements(&fake_output) * element_bytes(fake_output.element);
    for (size_t i = 0; i < wanted; i++) output_data[i] = input_data[i % given];
    // One kind of failure that a runtime has; a float's bits make another, logits that are no numbers.
    if (fake_output.element == FLOAT32 && given > 8 && input_data[5] == 0x42) {
        uint32_t infinite = 0x7F800000;
        memcpy(output_data, &infinite, sizeof infinite);
    }
    if (fake_input.element == UINT8 && input_data[0] == 0x99) return refuse(fault, INFERENCE_FAILED, "as told");
    return true;
}
