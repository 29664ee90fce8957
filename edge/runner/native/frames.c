#include "frames.h"

#include "crc32.h"

enum { VERSION = 2, HEADER = 16, PREFIX = 20, FIRST_CAPACITY = 1 << 18 };

static const uint8_t magic[4] = {'E', 'C', 'A', 'T'};

// Room for `bytes` from `begin` on. Twice as much is made, for what is read ahead meanwhile.
static bool make_room(Stream *stream, size_t bytes) {
    size_t held = stream->end - stream->begin;
    if (stream->capacity - stream->begin >= bytes) return true;
    if (stream->capacity >= bytes) {
        memmove(stream->data, stream->data + stream->begin, held);
    } else {
        size_t capacity = FIRST_CAPACITY;
        while (capacity < 2 * bytes) capacity *= 2;
        uint8_t *data = malloc(capacity);
        if (!data) return false;
        if (held) memcpy(data, stream->data + stream->begin, held);
        free(stream->data);
        stream->data = data;
        stream->capacity = capacity;
    }
    stream->begin = 0;
    stream->end = held;
    return true;
}

// Waits until `bytes` stand at `begin`; false: the input ended.
static bool fill(Stream *stream, size_t bytes) {
    while (stream->end - stream->begin < bytes) {
        long got = read(stream->in, stream->data + stream->end, stream->capacity - stream->end);
        if (got < 0 && errno == EINTR) continue;
        if (got <= 0) return false;
        stream->end += (size_t)got;
    }
    return true;
}

static bool read_header(const uint8_t *header, Frame *frame, Fault *fault) {
    if (memcmp(header, magic, sizeof magic) != 0) return refuse(fault, MALFORMED, "not a frame: wrong magic");
    if (header[4] != VERSION) {
        return refuse(fault, MALFORMED, "protocol version %d, this runner speaks %d", header[4], VERSION);
    }
    frame->kind = header[5];
    frame->sequence = get_u32(header + 8);
    frame->length = get_u32(header + 12);
    if (frame->length <= MAX_PAYLOAD) return true;
    return refuse(fault, MALFORMED, "a frame claims %u bytes, the limit is %d", frame->length, MAX_PAYLOAD);
}

#define malformed(...) (fault_set(fault, MALFORMED, __VA_ARGS__), FRAME_MALFORMED)

FrameStatus stream_next(Stream *stream, Frame *frame, Fault *fault) {
    if (stream->begin == stream->end) stream->begin = stream->end = 0;
    if (!make_room(stream, PREFIX)) return malformed("no memory");
    if (!fill(stream, PREFIX)) return FRAME_END;
    if (!read_header(stream->data + stream->begin, frame, fault)) return FRAME_MALFORMED;
    if (!make_room(stream, PREFIX + frame->length)) {
        return malformed("no memory for a frame of %u bytes", frame->length);
    }
    if (!fill(stream, PREFIX + frame->length)) return FRAME_END;
    const uint8_t *prefix = stream->data + stream->begin;
    frame->payload = prefix + PREFIX;
    stream->begin += PREFIX + frame->length;
    uint32_t crc = crc32_update(crc32_update(0, prefix, HEADER), frame->payload, frame->length);
    if (crc != get_u32(prefix + HEADER)) {
        return malformed("a frame was damaged on the way (CRC-32)");
    }
    if (frame->kind < HELLO || frame->kind > BYE) {
        return malformed("unknown kind of frame %d", (int)frame->kind);
    }
    return FRAME_READ;
}

bool stream_listen(Stream *stream) {
    bool room = stream->end < stream->capacity;
    struct pollfd ends[2] = {{stream->out, 0, 0}, {stream->in, POLLIN, 0}};
    if (poll(ends, room ? 2 : 1, 0) <= 0) return true;
    if (ends[0].revents & (POLLERR | POLLHUP)) return false;
    if (room && ends[1].revents & POLLIN) {
        long got = read(stream->in, stream->data + stream->end, stream->capacity - stream->end);
        if (got > 0) stream->end += (size_t)got;
    }
    return true;
}

uint8_t *stream_payload(Stream *stream, size_t bytes) {
    if (stream->reply_capacity < PREFIX + bytes) {
        size_t capacity = FIRST_CAPACITY;
        while (capacity < PREFIX + bytes) capacity *= 2;
        uint8_t *reply = malloc(capacity);
        if (!reply) return NULL;
        if (stream->reply) memcpy(reply, stream->reply, stream->reply_capacity);
        free(stream->reply);
        stream->reply = reply;
        stream->reply_capacity = capacity;
    }
    return stream->reply + PREFIX;
}

bool stream_send(Stream *stream, enum frame_kind kind, uint32_t sequence, size_t length) {
    uint8_t *at = put(stream->reply, magic, sizeof magic);
    *at++ = VERSION;
    *at++ = (uint8_t)kind;
    at = put_u32(put_u32(put_u16(at, 0), sequence), (uint32_t)length);
    uint32_t crc = crc32_update(crc32_update(0, stream->reply, HEADER), stream->reply + PREFIX, length);
    put_u32(at, crc);
    const uint8_t *from = stream->reply, *end = from + PREFIX + length;
    while (from < end) {
        long sent = write(stream->out, from, (size_t)(end - from));
        if (sent < 0 && errno == EINTR) continue;
        if (sent <= 0) return false;
        from += sent;
    }
    return true;
}

bool stream_send_fault(Stream *stream, uint32_t sequence, const Fault *fault) {
    size_t words = strlen(fault->words);
    uint8_t *payload = stream_payload(stream, 2 + words);
    if (!payload) return false;
    put(put_u16(payload, (uint16_t)fault->code), fault->words, words);
    return stream_send(stream, ERROR, sequence, 2 + words);
}
