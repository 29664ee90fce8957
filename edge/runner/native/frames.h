// Frames over two file descriptors (docs/protocol.md).
#ifndef EDGECAT_FRAMES_H
#define EDGECAT_FRAMES_H

#include "fault.h"

enum { MAX_PAYLOAD = 64 << 20, MAX_ERROR_WORDS = 4096 };
enum frame_kind { HELLO = 1, QUERY, ANSWER, ERROR, BENCHMARK, MEASUREMENT, BYE };

// A frame that was read. `payload` stands in the stream's buffer until the next one is asked for.
typedef struct {
    enum frame_kind kind;
    uint32_t sequence, length;
    const uint8_t *payload;
} Frame;

typedef enum { FRAME_READ, FRAME_END, FRAME_MALFORMED } FrameStatus;

// Both buffers only ever grow, so an answer allocates nothing once the first of its size was given.
typedef struct {
    int in, out;
    uint8_t *data;  // what was read; [begin, end) is not taken yet
    size_t capacity, begin, end;
    uint8_t *reply;  // the frame being written
    size_t reply_capacity;
} Stream;

// The next frame, waiting for it. FRAME_END: the input ended, within a frame or before one.
FrameStatus stream_next(Stream *stream, Frame *frame, Fault *fault);

// Takes in what has arrived, as far as there is room, without waiting: a sender need not wait until we have computed.
// False: nobody reads our replies any more.
bool stream_listen(Stream *stream);

// Room for the payload of the next reply; what was written there before stays. NULL: no memory.
uint8_t *stream_payload(Stream *stream, size_t bytes);

// Sends the payload that stands in that room. False: nobody reads it.
bool stream_send(Stream *stream, enum frame_kind kind, uint32_t sequence, size_t length);

bool stream_send_fault(Stream *stream, uint32_t sequence, const Fault *fault);

static inline uint32_t get_u32(const uint8_t *from) {
    uint32_t value;
    memcpy(&value, from, sizeof value);
    return value;
}

static inline uint8_t *put(uint8_t *to, const void *value, size_t bytes) {
    memcpy(to, value, bytes);
    return to + bytes;
}

static inline uint8_t *put_u16(uint8_t *to, uint16_t value) { return put(to, &value, sizeof value); }
static inline uint8_t *put_u32(uint8_t *to, uint32_t value) { return put(to, &value, sizeof value); }
static inline uint8_t *put_u64(uint8_t *to, uint64_t value) { return put(to, &value, sizeof value); }

#endif
