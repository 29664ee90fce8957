// TFLite models by TFLite's C API: the library that Android apps carry.
#include "engine.h"
#include "tflite_api.h"

const char engine_runtime[] = "tflite";
// TFLite's C API tells no profile.
const uint32_t engine_step_ns = 0;

// A runner loads one model in its life.
static TfLiteInterpreter *interpreter;
static char said[512];  // the library's last words

const char *engine_version(void) {
    static char version[80];
    snprintf(version, sizeof version, "TFLite %.60s", TfLiteVersion());
    return version;
}

static void hear(void *nothing, const char *format, va_list values) {
    (void)nothing;
    vsnprintf(said, sizeof said, format, values);
}

static bool describe(const TfLiteTensor *tensor, Tensor *described, Fault *fault) {
    if (!tensor) return refuse(fault, MODEL_REFUSED, "TFLite gives no tensor");
    int type = TfLiteTensorType(tensor);
    switch (type) {
        case kTfLiteFloat32: described->element = FLOAT32; break;
        case kTfLiteInt8: described->element = INT8; break;
        case kTfLiteUInt8: described->element = UINT8; break;
        default: return refuse(fault, MODEL_REFUSED, "tensors of TFLite's type %d are not taken", type);
    }
    TfLiteQuantizationParams quantisation = TfLiteTensorQuantizationParams(tensor);
    described->scale = quantisation.scale;
    described->zero_point = quantisation.zero_point;
    int32_t rank = TfLiteTensorNumDims(tensor);
    if (rank < 0 || rank > MAX_RANK) return refuse(fault, MODEL_REFUSED, "a tensor of %d axes", rank);
    described->rank = (uint32_t)rank;
    for (int32_t axis = 0; axis < rank; axis++) described->shape[axis] = TfLiteTensorDim(tensor, axis);
    described->data = TfLiteTensorData(tensor);
    return described->data || refuse(fault, MODEL_REFUSED, "TFLite gives no memory for a tensor");
}

// The C API uses it only where it is asked to, and for quantised operators only by these flags. It matters: 0.4 ms
// against 61 for an int8 model of 64 x 64 pixels (TFLite 2.14 for Android, x86_64).
static void add_xnnpack(TfLiteInterpreterOptions *options, uint32_t threads) {
    if (!TfLiteXNNPackDelegateOptionsDefault || !TfLiteXNNPackDelegateCreate) return;
    TfLiteXNNPackDelegateOptions xnnpack = TfLiteXNNPackDelegateOptionsDefault();
    xnnpack.num_threads = (int32_t)threads;
    xnnpack.flags |= TFLITE_XNNPACK_DELEGATE_FLAG_QS8 | TFLITE_XNNPACK_DELEGATE_FLAG_QU8;
    TfLiteDelegate *delegate = TfLiteXNNPackDelegateCreate(&xnnpack);
    if (delegate) TfLiteInterpreterOptionsAddDelegate(options, delegate);
}

bool engine_load(const void *model_data, size_t bytes, uint32_t threads, Tensor *input, Tensor *output, Fault *fault) {
    TfLiteModel *model = TfLiteModelCreate(model_data, bytes);
    if (!model) return refuse(fault, MODEL_REFUSED, "TFLite refuses the model");
    TfLiteInterpreterOptions *options = TfLiteInterpreterOptionsCreate();
    if (!options) return refuse(fault, MODEL_REFUSED, "TFLite does not start");
    TfLiteInterpreterOptionsSetErrorReporter(options, hear, NULL);
    TfLiteInterpreterOptionsSetNumThreads(options, (int32_t)threads);
    add_xnnpack(options, threads);
    interpreter = TfLiteInterpreterCreate(model, options);
    if (!interpreter || TfLiteInterpreterAllocateTensors(interpreter) != kTfLiteOk) {
        return refuse(fault, MODEL_REFUSED, "TFLite refuses the model: %s", said);
    }
    int inputs = TfLiteInterpreterGetInputTensorCount(interpreter);
    int outputs = TfLiteInterpreterGetOutputTensorCount(interpreter);
    if (inputs != 1 || outputs != 1) {
        return refuse(fault, MODEL_REFUSED, "the model has %d inputs and %d outputs, not one of each", inputs, outputs);
    }
    return describe(TfLiteInterpreterGetInputTensor(interpreter, 0), input, fault) &&
           describe(TfLiteInterpreterGetOutputTensor(interpreter, 0), output, fault);
}

bool engine_run(Fault *fault) {
    if (TfLiteInterpreterInvoke(interpreter) == kTfLiteOk) return true;
    return refuse(fault, INFERENCE_FAILED, "TFLite failed to run the model: %s", said);
}

bool engine_profile(StepSink *tell, void *to, Fault *fault) {
    (void)tell, (void)to;
    return refuse(fault, UNSUPPORTED, "TFLite's C API tells no profile");
}
