// The model file, read once: the bytes that are hashed are those that are loaded.
#ifndef EDGECAT_MODEL_FILE_H
#define EDGECAT_MODEL_FILE_H

#include "fault.h"

typedef struct {
    void *data;  // page-aligned
    size_t bytes;
    char sha256[65];
} ModelFile;

bool model_file_read(const char *path, ModelFile *file, Fault *fault);

#endif
