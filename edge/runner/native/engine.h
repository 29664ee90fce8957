// A runtime behind one small interface. A runner is linked with one engine, and loads one model in its life.
#ifndef EDGECAT_ENGINE_H
#define EDGECAT_ENGINE_H

#include "fault.h"

enum { MAX_RANK = 8 };

typedef enum { FLOAT32, INT8, UINT8 } Element;

// The model's only input or output. `data` stays where it is for the life of the process.
typedef struct {
    Element element;
    uint32_t rank;
    int32_t shape[MAX_RANK];
    float scale;  // of the quantisation; 0 where there is none
    int32_t zero_point;
    void *data;
} Tensor;

// What of an inference a time belongs to: all of it, an operator that the runtime's own kernel computed, a call of a
// delegate as a whole, or an operator within a delegate.
typedef enum { STEP_INFERENCE, STEP_OPERATOR, STEP_DELEGATE, STEP_DELEGATED } StepScope;

// Takes one step of an inference; `name` is the callee's for the time of the call.
typedef void StepSink(void *to, const char *name, StepScope scope, uint64_t ns);

static inline size_t tensor_elements(const Tensor *tensor) {
    size_t elements = 1;
    for (uint32_t axis = 0; axis < tensor->rank; axis++) elements *= (size_t)tensor->shape[axis];
    return elements;
}

static inline size_t element_bytes(Element element) { return element == FLOAT32 ? 4 : 1; }

#ifdef __cplusplus
extern "C" {
#endif

// What `--runtime` must say: `tflite` or `executorch`.
extern const char engine_runtime[];

// Name and version of the runtime, as HELLO tells them.
const char *engine_version(void);

// Loads a model. `model` must stay, unchanged, for the life of the process, and stand on a 64-byte boundary.
bool engine_load(const void *model, size_t bytes, uint32_t threads, Tensor *input, Tensor *output, Fault *fault);

// One inference, from the input's `data` to the output's.
bool engine_run(Fault *fault);

// How finely the runtime's profiler tells a delegate's steps, in nanoseconds; 0: it has none.
extern const uint32_t engine_step_ns;

// One inference of the input's `data` under the runtime's profiler, on a second instance of the loaded model, which the
// first call makes. Tells every step, in an order that is the same for every inference.
bool engine_profile(StepSink *tell, void *to, Fault *fault);

#ifdef __cplusplus
}
#endif

#endif
