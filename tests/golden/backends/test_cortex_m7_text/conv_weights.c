/* Constants of conv: weights, biases, and tables made by the compiler. */
#include <stdint.h>

#if defined(__GNUC__)
#define TINYIR_ALIGNED __attribute__((aligned(8)))
#else
#define TINYIR_ALIGNED
#endif

extern const int8_t conv_w_packed[24] TINYIR_ALIGNED;
const int8_t conv_w_packed[24] = {
    1, 0, -2, 0, 3, 0, 4, 0, 5, 0, -6, 0, 7, 0, 8, 0, -9, 0, 10, 0, 11, 0, -12, 0,
};

extern const int32_t conv_c_1[2] TINYIR_ALIGNED;
const int32_t conv_c_1[2] = {
    25, 75,
};
