// TFLite models by LiteRT's C API, on the CPU (XNNPACK).
#include "engine.h"
#include "litert_api.h"

#ifndef LITERT_VERSION
#error "-DLITERT_VERSION=\"...\": the library does not tell its version"
#endif

const char engine_runtime[] = "tflite";

const uint32_t engine_step_ns = 1000;

// A runner loads one model in its life; LiteRT keeps what it needs of these.
static LiteRtEnvironment environment;
static LiteRtModel model;
static uint32_t threads_wanted;
static LiteRtCompiledModel compiled, profiled;
static LiteRtTensorBuffer input_buffer, output_buffer;

const char *engine_version(void) { return "LiteRT " LITERT_VERSION; }

static bool describe(LiteRtTensor tensor, Tensor *described, LiteRtRankedTensorType *type, Fault *fault) {
    int quantisation;
    if (LiteRtGetRankedTensorType(tensor, type) || LiteRtGetQuantizationTypeId(tensor, &quantisation)) {
        return refuse(fault, MODEL_REFUSED, "LiteRT cannot tell a tensor's type");
    }
    switch (type->element_type) {
        case kLiteRtElementTypeFloat32: described->element = FLOAT32; break;
        case kLiteRtElementTypeInt8: described->element = INT8; break;
        case kLiteRtElementTypeUInt8: described->element = UINT8; break;
        default: return refuse(fault, MODEL_REFUSED, "tensors of LiteRT's type %d are not taken", type->element_type);
    }
    LiteRtQuantizationPerTensor per_tensor = {0};
    if (quantisation == kLiteRtQuantizationPerTensor) LiteRtGetPerTensorQuantization(tensor, &per_tensor);
    described->scale = per_tensor.scale;
    described->zero_point = (int32_t)per_tensor.zero_point;
    described->rank = type->layout.rank;
    if (described->rank > MAX_RANK) return refuse(fault, MODEL_REFUSED, "a tensor of %u axes", described->rank);
    memcpy(described->shape, type->layout.dimensions, described->rank * sizeof *described->shape);
    return true;
}

static bool find_tensors(LiteRtTensor tensors[2], Fault *fault) {
    LiteRtSignature signature;
    size_t signatures, inputs, outputs;
    if (LiteRtGetNumModelSignatures(model, &signatures) || !signatures ||
        LiteRtGetModelSignature(model, 0, &signature) || LiteRtGetNumSignatureInputs(signature, &inputs) ||
        LiteRtGetNumSignatureOutputs(signature, &outputs)) {
        return refuse(fault, MODEL_REFUSED, "the model has no signature");
    }
    if (inputs != 1 || outputs != 1) {
        return refuse(fault, MODEL_REFUSED, "the model has %zu inputs and %zu outputs, not one of each", inputs,
                      outputs);
    }
    if (LiteRtGetSignatureInputTensorByIndex(signature, 0, &tensors[0]) ||
        LiteRtGetSignatureOutputTensorByIndex(signature, 0, &tensors[1])) {
        return refuse(fault, MODEL_REFUSED, "LiteRT cannot find the model's input and output");
    }
    return true;
}

static void keep(void *settings) { (void)settings; }

static bool compile(bool profiling, LiteRtCompiledModel *made, Fault *fault) {
    static char settings[32], profiler[] = "enable_profiling = true\n";  // TOML
    snprintf(settings, sizeof settings, "num_threads = %u\n", threads_wanted);
    LiteRtOptions options;
    LiteRtOpaqueOptions xnnpack, runtime;
    if (LiteRtCreateOptions(&options) || LiteRtSetOptionsHardwareAccelerators(options, kLiteRtHwAcceleratorCpu) ||
        LiteRtCreateOpaqueOptions("xnnpack", settings, keep, &xnnpack) || LiteRtAddOpaqueOptions(options, xnnpack)) {
        return refuse(fault, MODEL_REFUSED, "LiteRT does not take its options");
    }
    if (profiling && (LiteRtCreateOpaqueOptions("runtime_options_string", profiler, keep, &runtime) ||
                      LiteRtAddOpaqueOptions(options, runtime))) {
        return refuse(fault, MODEL_REFUSED, "LiteRT does not take its options");
    }
    LiteRtStatus status = LiteRtCreateCompiledModel(environment, model, options, made);
    return !status || refuse(fault, MODEL_REFUSED, "LiteRT refuses the model (status %d)", status);
}

static bool make_buffer(const LiteRtRankedTensorType *type, LiteRtTensorBufferRequirements requirements,
                        LiteRtTensorBuffer *buffer, Tensor *tensor, Fault *fault) {
    LiteRtStatus status = LiteRtCreateManagedTensorBufferFromRequirements(environment, type, requirements, buffer);
    // Host memory stays where it is and wants no lock.
    if (!status) status = LiteRtGetTensorBufferHostMemory(*buffer, &tensor->data);
    return !status || refuse(fault, MODEL_REFUSED, "LiteRT gives no memory for a tensor (status %d)", status);
}

bool engine_load(const void *model_data, size_t bytes, uint32_t threads, Tensor *input, Tensor *output, Fault *fault) {
    // Only the CPU, and no word about those that are not there.
    LiteRtEnvOption environment_options[2] = {
        {kLiteRtEnvOptionTagAutoRegisterAccelerators, {kLiteRtAnyTypeInt, {.int_value = kLiteRtHwAcceleratorCpu}}},
        {kLiteRtEnvOptionTagMinLoggerSeverity, {kLiteRtAnyTypeInt, {.int_value = kLiteRtLogSeverityError}}},
    };
    threads_wanted = threads;
    LiteRtStatus status = LiteRtCreateEnvironment(2, environment_options, &environment);
    if (status) return refuse(fault, MODEL_REFUSED, "LiteRT does not start (status %d)", status);
    status = LiteRtCreateModelFromBuffer(environment, model_data, bytes, &model);
    if (status) return refuse(fault, MODEL_REFUSED, "LiteRT refuses the model (status %d)", status);
    LiteRtTensor tensors[2];
    LiteRtRankedTensorType types[2];
    if (!find_tensors(tensors, fault) || !describe(tensors[0], input, &types[0], fault) ||
        !describe(tensors[1], output, &types[1], fault) || !compile(false, &compiled, fault)) {
        return false;
    }
    LiteRtTensorBufferRequirements needed[2];
    if (LiteRtGetCompiledModelInputBufferRequirements(compiled, 0, 0, &needed[0]) ||
        LiteRtGetCompiledModelOutputBufferRequirements(compiled, 0, 0, &needed[1])) {
        return refuse(fault, MODEL_REFUSED, "LiteRT cannot tell what memory the model needs");
    }
    return make_buffer(&types[0], needed[0], &input_buffer, input, fault) &&
           make_buffer(&types[1], needed[1], &output_buffer, output, fault);
}

bool engine_run(Fault *fault) {
    LiteRtStatus status = LiteRtRunCompiledModel(compiled, 0, 1, &input_buffer, 1, &output_buffer);
    return !status || refuse(fault, INFERENCE_FAILED, "LiteRT failed to run the model (status %d)", status);
}

static void tell_events(const LiteRtProfiledEvent *events, int count, StepSink *tell, void *to) {
    for (int i = 0; i < count; i++) {
        const LiteRtProfiledEvent *event = &events[i];
        const char *name = event->tag ? event->tag : "";
        uint64_t ns = event->elapsed_us * 1000;
        if (event->type == kLiteRtDefaultEvent && strcmp(name, "Invoke") == 0) {
            // Not a clock around the run: before and after it the profiler asks for the process's memory, for longer
            // than an inference takes.
            tell(to, "", STEP_INFERENCE, ns);
        } else if (event->type & kLiteRtDelegateProfiledOperatorInvokeEvent) {
            tell(to, name, STEP_DELEGATED, ns);
        } else if (event->type & kLiteRtDelegateOperatorInvokeEvent) {
            tell(to, name, STEP_DELEGATE, ns);
        } else if (event->type & kLiteRtOperatorInvokeEvent) {
            tell(to, name, STEP_OPERATOR, ns);
        }
    }
}

bool engine_profile(StepSink *tell, void *to, Fault *fault) {
    static LiteRtProfiler profiler;
    if (!profiled && !compile(true, &profiled, fault)) return false;
    if (!profiler && LiteRtCompiledModelGetProfiler(profiled, &profiler)) {
        return refuse(fault, INFERENCE_FAILED, "LiteRT gives no profiler");
    }
    LiteRtStatus status = LiteRtResetProfiler(profiler);
    if (!status) status = LiteRtStartProfiler(profiler);
    if (!status) status = LiteRtRunCompiledModel(profiled, 0, 1, &input_buffer, 1, &output_buffer);
    int count = 0;
    if (!status) status = LiteRtStopProfiler(profiler);
    if (!status) status = LiteRtGetNumProfilerEvents(profiler, &count);
    LiteRtProfiledEvent *events = !status && count > 0 ? calloc((size_t)count, sizeof *events) : NULL;
    if (events) status = LiteRtGetProfilerEvents(profiler, count, events);
    if (events && !status) tell_events(events, count, tell, to);
    free(events);
    return (events && !status) || refuse(fault, INFERENCE_FAILED, "LiteRT's profiler fails (status %d)", status);
}
