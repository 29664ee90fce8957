// One session: HELLO, then a reply to each frame until the host says goodbye or closes.
#ifndef EDGECAT_SESSION_H
#define EDGECAT_SESSION_H

#include "classifier.h"
#include "frames.h"

typedef struct {
    const Options *options;
    const char *sha256;
    Classifier *classifier;
    Stream *stream;
} Session;

void session_serve(Session *session);

#endif
