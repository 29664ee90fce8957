// An engine without a runtime, which answers as its "model" says: the first byte of the input chooses the row.
#include "scripted_engine.h"

enum { ROOM = 1 << 20 };

const char engine_runtime[] = "tflite";

static const Script *script;
static uint8_t input_data[ROOM] __attribute__((aligned(64))), output_data[ROOM] __attribute__((aligned(64)));
static size_t input_bytes, output_bytes;

const char *engine_version(void) { return "Scripted 1"; }

bool engine_load(const void *model, size_t bytes, uint32_t threads, Tensor *input, Tensor *output, Fault *fault) {
    (void)threads;
    if (bytes < sizeof *script) return refuse(fault, MODEL_REFUSED, "no script");
    script = model;
    *input = (Tensor){.element = (Element)script->input_element, .rank = 4, .scale = script->input_scale};
    *output = (Tensor){.element = (Element)script->output_element, .rank = 2, .scale = script->output_scale};
    memcpy(input->shape, script->shape, sizeof script->shape);
    output->shape[0] = 1;
    output->shape[1] = script->classes;
    input->zero_point = script->input_zero_point;
    output->zero_point = script->output_zero_point;
    input->data = input_data;
    output->data = output_data;
    input_bytes = tensor_elements(input) * element_bytes(input->element);
    output_bytes = tensor_elements(output) * element_bytes(output->element);
    bool whole = bytes - sizeof *script >= script->rows * output_bytes;
    if (input_bytes > ROOM || output_bytes > ROOM || !whole)
        return refuse(fault, MODEL_REFUSED, "a script that does not fit");
    return true;
}

bool engine_run(Fault *fault) {
    if (!script->rows) {
        for (size_t i = 0; i < output_bytes; i++) output_data[i] = input_data[i % input_bytes];
        return true;
    }
    uint32_t row = input_data[0] % script->rows;
    memcpy(output_data, (const uint8_t *)(script + 1) + row * output_bytes, output_bytes);
    return row != script->failing_row || refuse(fault, INFERENCE_FAILED, "the script says so");
}

const uint32_t engine_step_ns = 1000;

// A name that JSON cannot carry as it is, and a time that says which call it was of. A script that fails at row
// `CHANGING_STEPS` has another step at every other call.
bool engine_profile(StepSink *tell, void *to, Fault *fault) {
    enum { CHANGING_STEPS = 0xFFFF };
    static uint32_t calls;
    calls++;
    if (!engine_run(fault)) return false;
    tell(to, "a \"quoted\\ name\n\xff", STEP_DELEGATED, calls);
    tell(to, "", STEP_DELEGATE, 2 * calls);
    tell(to, script->failing_row == CHANGING_STEPS && calls % 2 ? "odd" : "op", STEP_OPERATOR, UINT64_MAX);
    tell(to, "", STEP_INFERENCE, 4 * calls);
    return true;
}
