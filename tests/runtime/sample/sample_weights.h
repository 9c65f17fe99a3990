#ifndef SAMPLE_WEIGHTS_H
#define SAMPLE_WEIGHTS_H

#include <stdint.h>

extern const int8_t sample_weight[256];
extern const int32_t sample_bias[16];

#endif
