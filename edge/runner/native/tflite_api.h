// The part of TFLite's C API that `tflite.c` calls, declared by hand: it has been the same from TFLite 2.5 to
// LiteRT 1.4.
#ifndef EDGECAT_TFLITE_API_H
#define EDGECAT_TFLITE_API_H

#include "platform.h"

typedef struct TfLiteModel TfLiteModel;
typedef struct TfLiteInterpreter TfLiteInterpreter;
typedef struct TfLiteInterpreterOptions TfLiteInterpreterOptions;
typedef struct TfLiteTensor TfLiteTensor;
typedef struct TfLiteDelegate TfLiteDelegate;

typedef struct {
    float scale;
    int32_t zero_point;
} TfLiteQuantizationParams;

enum { kTfLiteOk = 0 };
enum { kTfLiteFloat32 = 1, kTfLiteUInt8 = 3, kTfLiteInt8 = 9 };

const char *TfLiteVersion(void);
TfLiteModel *TfLiteModelCreate(const void *, size_t);
TfLiteInterpreterOptions *TfLiteInterpreterOptionsCreate(void);
void TfLiteInterpreterOptionsSetNumThreads(TfLiteInterpreterOptions *, int32_t);
void TfLiteInterpreterOptionsSetErrorReporter(TfLiteInterpreterOptions *, void (*)(void *, const char *, va_list),
                                              void *);
void TfLiteInterpreterOptionsAddDelegate(TfLiteInterpreterOptions *, TfLiteDelegate *);
TfLiteInterpreter *TfLiteInterpreterCreate(const TfLiteModel *, const TfLiteInterpreterOptions *);
int32_t TfLiteInterpreterGetInputTensorCount(const TfLiteInterpreter *);
int32_t TfLiteInterpreterGetOutputTensorCount(const TfLiteInterpreter *);
int TfLiteInterpreterAllocateTensors(TfLiteInterpreter *);
int TfLiteInterpreterInvoke(TfLiteInterpreter *);
TfLiteTensor *TfLiteInterpreterGetInputTensor(const TfLiteInterpreter *, int32_t);
const TfLiteTensor *TfLiteInterpreterGetOutputTensor(const TfLiteInterpreter *, int32_t);
int TfLiteTensorType(const TfLiteTensor *);
int32_t TfLiteTensorNumDims(const TfLiteTensor *);
int32_t TfLiteTensorDim(const TfLiteTensor *, int32_t);
void *TfLiteTensorData(const TfLiteTensor *);
TfLiteQuantizationParams TfLiteTensorQuantizationParams(const TfLiteTensor *);

// What stands after `flags` differs from version to version: room for any of them, since the library returns and reads
// its own size of it.
typedef struct {
    int32_t num_threads;
    uint32_t flags;
    uint64_t rest[31];
} TfLiteXNNPackDelegateOptions;

enum { TFLITE_XNNPACK_DELEGATE_FLAG_QS8 = 1, TFLITE_XNNPACK_DELEGATE_FLAG_QU8 = 2 };

// Weak: a library may have been built without them.
__attribute__((weak)) TfLiteXNNPackDelegateOptions TfLiteXNNPackDelegateOptionsDefault(void);
__attribute__((weak)) TfLiteDelegate *TfLiteXNNPackDelegateCreate(const TfLiteXNNPackDelegateOptions *);

#endif
