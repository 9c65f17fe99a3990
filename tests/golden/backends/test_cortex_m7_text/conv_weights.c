/* Constants of conv: weights, biases, and tables made by the compiler. */
#include <stdint.h>

#if defined(__GNUC__)
#define TINYIR_ALIGNED __attribute__((aligned(8)))
#else
#define TINYIR_ALIGNED
#endif

extern const int8_t conv_w_packed[12] TINYIR_ALIGNED;
const int8_t conv_w_packed[12] = {
    1, 7, -2, 8, 3, -9, 4, 10, 5, 11, -6, -12,
};

extern const int32_t conv_c_1[2] TINYIR_ALIGNED;
const int32_t conv_c_1[2] = {
    25, 75,
};
