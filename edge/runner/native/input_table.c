#include "input_table.h"

// To the nearest integer, halves to even, as C's `rint` in the rounding mode that every process starts with.
static double nearest(double x) {
    const double huge = 0x1.8p52;
    return __builtin_fabs(x) < 0x1p51 ? x + huge - huge : x;
}

static uint8_t stored(double real, const Tensor *input) {
    double scale = input->scale != 0 ? (double)input->scale : 1.0;
    double low = input->element == INT8 ? -128 : 0, high = low + 255;
    double value = nearest(real / scale) + input->zero_point;
    if (!(value > low)) value = low;
    if (value > high) value = high;
    return (uint8_t)(int)value;
}

static void fill_channel(InputTable *table, uint32_t channel, double mean, double std, const Tensor *input) {
    for (uint32_t pixel = 0; pixel < 256; pixel++) {
        double real = ((double)pixel / 255.0 - mean) / std;
        if (table->element == FLOAT32) {
            ((float *)table->values)[channel * 256 + pixel] = (float)real;
        } else {
            ((uint8_t *)table->values)[channel * 256 + pixel] = stored(real, input);
        }
    }
}

static bool is_shift(const uint8_t *bytes) {
    for (uint32_t pixel = 0; pixel < 256; pixel++) {
        if (bytes[pixel] != (uint8_t)(pixel + bytes[0])) return false;
    }
    return true;
}

bool input_table_make(InputTable *table, const Options *options, const Tensor *input) {
    bool alike = !options->planar || options->channels == 1;
    for (uint32_t c = 1; c < options->channels; c++) {
        alike = alike && options->mean[c] == options->mean[0] && options->std[c] == options->std[0];
    }
    size_t pixels = (size_t)options->height * options->width;
    *table = (InputTable){.element = input->element, .channels = alike ? 1 : options->channels};
    table->pixels = alike ? pixels * options->channels : pixels;
    table->channel_step = options->planar ? pixels : 1;
    table->pixel_step = options->planar ? 1 : table->channels;
    table->values = malloc((size_t)table->channels * 256 * element_bytes(table->element));
    if (!table->values) return false;
    for (uint32_t c = 0; c < table->channels; c++) fill_channel(table, c, options->mean[c], options->std[c], input);
    table->shifts = table->element != FLOAT32 && table->channels == 1 && is_shift(table->values);
    return true;
}

void input_table_free(InputTable *table) { free(table->values); }

// The usual case of a quantised model. By itself, with everything in its arguments, a compiler turns it into vectors.
static void add_to_each(const uint8_t *restrict image, uint8_t first, size_t pixels, uint8_t *restrict to) {
    for (size_t i = 0; i < pixels; i++) to[i] = (uint8_t)(image[i] + first);
}

void input_table_apply(const InputTable *table, const uint8_t *image, void *input) {
    if (table->shifts) {
        add_to_each(image, *(const uint8_t *)table->values, table->pixels, input);
        return;
    }
    for (uint32_t c = 0; c < table->channels; c++) {
        const uint8_t *from = image + c;
        size_t to = c * table->channel_step;
        if (table->element == FLOAT32) {
            const float *values = (const float *)table->values + 256 * c;
            float *restrict floats = (float *)input + to;
            for (size_t i = 0; i < table->pixels; i++)
                floats[i * table->pixel_step] = values[from[i * table->channels]];
        } else {
            const uint8_t *values = (const uint8_t *)table->values + 256 * c;
            uint8_t *restrict bytes = (uint8_t *)input + to;
            for (size_t i = 0; i < table->pixels; i++) bytes[i * table->pixel_step] = values[from[i * table->channels]];
        }
    }
}
