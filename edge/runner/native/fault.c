#include "fault.h"

void fault_set(Fault *fault, enum fault_code code, const char *format, ...) {
    va_list values;
    va_start(values, format);
    vsnprintf(fault->words, sizeof fault->words, format, values);
    va_end(values);
    fault->code = code;
}
