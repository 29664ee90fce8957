#ifndef EDGECAT_FAKE_ENGINE_H
#define EDGECAT_FAKE_ENGINE_H

#include "engine.h"
#include "options.h"

// Call before `engine_load`. False: such a model is too large for the fake.
bool fake_engine_set(const Options *options, Element element, uint32_t classes);

#endif
