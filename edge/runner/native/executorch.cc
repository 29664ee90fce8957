// ExecuTorch programs (XNNPACK delegate) by its C++ API; the only engine that needs C++.
#include <executorch/extension/data_loader/buffer_data_loader.h>
#include <executorch/extension/module/module.h>
#include <executorch/extension/tensor/tensor.h>
#include <executorch/runtime/platform/platform.h>
#include <executorch/runtime/platform/runtime.h>

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "engine.h"
#include "executorch_tracer.h"

#ifndef EXECUTORCH_VERSION
#error "-DEXECUTORCH_VERSION=\"...\": the library does not tell its version"
#endif

// Exported by libexecutorch_threadpool.so; the wheel leaves threadpool.h out.
namespace executorch::extension::threadpool {
class ThreadPool {
   public:
    bool _unsafe_reset_threadpool(uint32_t threads);
};
ThreadPool *get_threadpool();
}  // namespace executorch::extension::threadpool

using executorch::aten::ScalarType;
using executorch::extension::BufferDataLoader;
using executorch::extension::Module;
using executorch::runtime::Error;
using executorch::runtime::Program;
using executorch::runtime::TensorInfo;

extern const char engine_runtime[] = "executorch";
// XNNPACK's own clock; what ExecuTorch times itself is in nanoseconds.
extern const uint32_t engine_step_ns = 1000;

namespace {

const void *model_data;
size_t model_bytes;
Module *module;
// A second instance, made once a profile is asked for.
Module *traced;
Tracer *tracer;
executorch::extension::TensorPtr input_tensor;
std::vector<float> output_values;
// Of what ExecuTorch logged so far: its first error, and the operators that no linked library has a kernel for.
std::string first_error, missing_operators;
// A fault has room for no more; a program may lack operators without end.
constexpr size_t longest_list = 1500;

void keep_missing(std::string_view message) {
    constexpr std::string_view told = "Missing operator: [";
    size_t name = message.find("] ");
    if (message.substr(0, told.size()) != told || name == message.npos) return;
    if (missing_operators.size() > longest_list) return;
    std::string listed = ", " + missing_operators + ", ", wanted = ", " + std::string(message.substr(name + 2));
    if (listed.find(wanted + ", ") != listed.npos) return;
    missing_operators += missing_operators.empty() ? wanted.substr(2) : wanted;
}

// Errors go to stderr; the rest, some lines for every start, nobody reads.
void hear(et_timestamp_t, et_pal_log_level_t level, const char *file, const char *, size_t line, const char *message,
          size_t length) {
    if (level != kError && level != kFatal) return;
    fprintf(stderr, "%s:%zu] %.*s\n", file, line, int(length), message);
    // Names come from the file: whatever is in them, a fault is one line of text.
    std::string text(message, length);
    for (char &letter : text) letter = letter >= ' ' && letter <= '~' ? letter : '?';
    if (first_error.empty()) first_error = ": " + text;
    keep_missing(text);
}

bool describe(const TensorInfo &info, Tensor *tensor, Fault *fault) {
    if (info.scalar_type() != ScalarType::Float) {
        return refuse(fault, MODEL_REFUSED, "tensors of ExecuTorch's type %d are not taken", int(info.scalar_type()));
    }
    tensor->element = FLOAT32;
    tensor->rank = uint32_t(info.sizes().size());
    if (tensor->rank > MAX_RANK) return refuse(fault, MODEL_REFUSED, "a tensor of %u axes", tensor->rank);
    for (uint32_t axis = 0; axis < tensor->rank; axis++) tensor->shape[axis] = info.sizes()[axis];
    return true;
}

std::unique_ptr<BufferDataLoader> open_model() { return std::make_unique<BufferDataLoader>(model_data, model_bytes); }

bool load_module(Module *loaded, Fault *fault) {
    Error error = loaded->load(Program::Verification::InternalConsistency);
    if (error == Error::Ok) error = loaded->load_forward();
    if (error == Error::Ok) return true;
    if (error == Error::OperatorMissing) {
        return refuse(fault, OPERATOR_MISSING, "no kernel for %s", missing_operators.c_str());
    }
    return refuse(fault, MODEL_REFUSED, "ExecuTorch refuses the program (error 0x%x)%s", unsigned(error),
                  first_error.c_str());
}

}  // namespace

const char *engine_version(void) { return "ExecuTorch " EXECUTORCH_VERSION; }

bool engine_load(const void *model, size_t bytes, uint32_t threads, Tensor *input, Tensor *output, Fault *fault) {
    executorch::runtime::runtime_init();
    executorch::runtime::register_pal(executorch::runtime::PalImpl::create(hear, __FILE_NAME__));
    auto *pool = executorch::extension::threadpool::get_threadpool();
    if (!pool || !pool->_unsafe_reset_threadpool(threads)) {
        return refuse(fault, MODEL_REFUSED, "ExecuTorch cannot start %u threads", threads);
    }
    model_data = model;
    model_bytes = bytes;
    module = new Module(open_model());
    if (!load_module(module, fault)) return false;
    auto meta = module->method_meta("forward");
    if (!meta.ok() || meta->num_inputs() != 1 || meta->num_outputs() != 1) {
        return refuse(fault, MODEL_REFUSED, "the program's forward has not one input and one output");
    }
    auto in = meta->input_tensor_meta(0), out = meta->output_tensor_meta(0);
    if (!in.ok() || !out.ok()) return refuse(fault, MODEL_REFUSED, "the program's input or output is no tensor");
    if (!describe(*in, input, fault) || !describe(*out, output, fault)) return false;
    output_values.resize(tensor_elements(output));
    output->data = output_values.data();
    std::vector<executorch::aten::SizesType> sizes(in->sizes().begin(), in->sizes().end());
    input_tensor = executorch::extension::make_tensor_ptr(sizes, std::vector<float>(tensor_elements(input)));
    input->data = input_tensor->mutable_data_ptr();
    return true;
}

bool engine_run(Fault *fault) {
    auto outputs = module->forward(input_tensor);
    if (!outputs.ok()) {
        return refuse(fault, INFERENCE_FAILED, "ExecuTorch failed to run the program (error 0x%x)",
                      unsigned(outputs.error()));
    }
    const auto &values = outputs->at(0).toTensor();
    if (values.nbytes() != output_values.size() * sizeof(float)) {
        return refuse(fault, INFERENCE_FAILED, "the program gave %zu bytes", size_t(values.nbytes()));
    }
    memcpy(output_values.data(), values.const_data_ptr(), values.nbytes());
    return true;
}

bool engine_profile(StepSink *tell, void *to, Fault *fault) {
    if (!traced) {
        tracer = new Tracer;
        traced = new Module(open_model(), nullptr, nullptr, std::unique_ptr<Tracer>(tracer));
        if (!load_module(traced, fault)) return false;
    }
    tracer->forget();
    auto outputs = traced->forward(input_tensor);
    if (!outputs.ok()) {
        return refuse(fault, INFERENCE_FAILED, "ExecuTorch failed to run the program (error 0x%x)",
                      unsigned(outputs.error()));
    }
    for (const auto &step : tracer->steps) tell(to, step.name.c_str(), step.scope, step.ns);
    return true;
}
