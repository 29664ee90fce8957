// The part of LiteRT's C API that `litert.c` calls, declared by hand: the wheel of ai-edge-litert 2.3.0 brings the
// library (symbols of version VERS_1.0) but no header.
#ifndef EDGECAT_LITERT_API_H
#define EDGECAT_LITERT_API_H

#include "platform.h"

typedef int LiteRtStatus;  // 0: done
typedef struct LiteRtEnvironmentT *LiteRtEnvironment;
typedef struct LiteRtModelT *LiteRtModel;
typedef struct LiteRtSignatureT *LiteRtSignature;
typedef struct LiteRtTensorT *LiteRtTensor;
typedef struct LiteRtOptionsT *LiteRtOptions;
typedef struct LiteRtOpaqueOptionsT *LiteRtOpaqueOptions;
typedef struct LiteRtCompiledModelT *LiteRtCompiledModel;
typedef struct LiteRtProfilerT *LiteRtProfiler;
typedef struct LiteRtTensorBufferT *LiteRtTensorBuffer;
typedef struct LiteRtTensorBufferRequirementsT *LiteRtTensorBufferRequirements;
typedef size_t LiteRtParamIndex;

enum { kLiteRtElementTypeFloat32 = 1, kLiteRtElementTypeUInt8 = 3, kLiteRtElementTypeInt8 = 9 };
enum { kLiteRtQuantizationPerTensor = 1 };
enum { kLiteRtHwAcceleratorCpu = 1 };
enum { kLiteRtAnyTypeInt = 2 };
enum { kLiteRtEnvOptionTagAutoRegisterAccelerators = 24, kLiteRtEnvOptionTagMinLoggerSeverity = 25 };
enum { kLiteRtLogSeverityError = 3 };

typedef struct {
    unsigned int rank : 7;
    unsigned int has_strides : 1;
    int32_t dimensions[8];
    uint32_t strides[8];
} LiteRtLayout;

typedef struct {
    int element_type;
    LiteRtLayout layout;
} LiteRtRankedTensorType;

_Static_assert(sizeof(LiteRtLayout) == 68 && sizeof(LiteRtRankedTensorType) == 72, "LiteRT's layout");

typedef struct {
    float scale;
    int64_t zero_point;
} LiteRtQuantizationPerTensor;

typedef struct {
    int tag;
    struct {
        int type;
        union {
            bool bool_value;
            int64_t int_value;
            double real_value;
            const char *str_value;
            const void *ptr_value;
        };
    } value;
} LiteRtEnvOption;

// What happened within an inference. `type` is a set of bits; times are in microseconds.
enum {
    kLiteRtDefaultEvent = 1 << 0,
    kLiteRtOperatorInvokeEvent = 1 << 1,
    kLiteRtDelegateOperatorInvokeEvent = 1 << 2,
    kLiteRtDelegateProfiledOperatorInvokeEvent = 1 << 3
};

typedef struct {
    const char *tag;
    int type;
    uint64_t start_us, elapsed_us;
    size_t memory_before[3], memory_after[3];
    uint64_t metadata[2];
    int source;
} LiteRtProfiledEvent;

_Static_assert(sizeof(LiteRtProfiledEvent) == 104, "LiteRT's ProfiledEventData");

LiteRtStatus LiteRtCreateEnvironment(int, const LiteRtEnvOption *, LiteRtEnvironment *);
LiteRtStatus LiteRtCreateModelFromBuffer(LiteRtEnvironment, const void *, size_t, LiteRtModel *);
LiteRtStatus LiteRtGetNumModelSignatures(LiteRtModel, LiteRtParamIndex *);
LiteRtStatus LiteRtGetModelSignature(LiteRtModel, LiteRtParamIndex, LiteRtSignature *);
LiteRtStatus LiteRtGetNumSignatureInputs(LiteRtSignature, LiteRtParamIndex *);
LiteRtStatus LiteRtGetNumSignatureOutputs(LiteRtSignature, LiteRtParamIndex *);
LiteRtStatus LiteRtGetSignatureInputTensorByIndex(LiteRtSignature, LiteRtParamIndex, LiteRtTensor *);
LiteRtStatus LiteRtGetSignatureOutputTensorByIndex(LiteRtSignature, LiteRtParamIndex, LiteRtTensor *);
LiteRtStatus LiteRtGetRankedTensorType(LiteRtTensor, LiteRtRankedTensorType *);
LiteRtStatus LiteRtGetQuantizationTypeId(LiteRtTensor, int *);
LiteRtStatus LiteRtGetPerTensorQuantization(LiteRtTensor, LiteRtQuantizationPerTensor *);
LiteRtStatus LiteRtCreateOptions(LiteRtOptions *);
LiteRtStatus LiteRtSetOptionsHardwareAccelerators(LiteRtOptions, int);
LiteRtStatus LiteRtCreateOpaqueOptions(const char *, void *, void (*)(void *), LiteRtOpaqueOptions *);
LiteRtStatus LiteRtAddOpaqueOptions(LiteRtOptions, LiteRtOpaqueOptions);
LiteRtStatus LiteRtCreateCompiledModel(LiteRtEnvironment, LiteRtModel, LiteRtOptions, LiteRtCompiledModel *);
LiteRtStatus LiteRtGetCompiledModelInputBufferRequirements(LiteRtCompiledModel, LiteRtParamIndex, LiteRtParamIndex,
                                                           LiteRtTensorBufferRequirements *);
LiteRtStatus LiteRtGetCompiledModelOutputBufferRequirements(LiteRtCompiledModel, LiteRtParamIndex, LiteRtParamIndex,
                                                            LiteRtTensorBufferRequirements *);
LiteRtStatus LiteRtCreateManagedTensorBufferFromRequirements(LiteRtEnvironment, const LiteRtRankedTensorType *,
                                                             LiteRtTensorBufferRequirements, LiteRtTensorBuffer *);
LiteRtStatus LiteRtGetTensorBufferHostMemory(LiteRtTensorBuffer, void **);
LiteRtStatus LiteRtCompiledModelGetProfiler(LiteRtCompiledModel, LiteRtProfiler *);
LiteRtStatus LiteRtStartProfiler(LiteRtProfiler);
LiteRtStatus LiteRtStopProfiler(LiteRtProfiler);
LiteRtStatus LiteRtResetProfiler(LiteRtProfiler);
LiteRtStatus LiteRtGetNumProfilerEvents(LiteRtProfiler, int *);
LiteRtStatus LiteRtGetProfilerEvents(LiteRtProfiler, int, LiteRtProfiledEvent *);
LiteRtStatus LiteRtRunCompiledModel(LiteRtCompiledModel, LiteRtParamIndex, size_t, LiteRtTensorBuffer *, size_t,
                                    LiteRtTensorBuffer *);

#endif
