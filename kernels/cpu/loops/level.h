// Everything that is built for one level. Included once for each, inside its namespace: no guard.
#include "vector.h"
#include "move.h"
#include "sums.h"
#include "steer.h"
#include "ends.h"
#include "print.h"
#include "resize.h"
#include "normalise.h"

template <typename Value>
constexpr Kernels kernels_of() {
  return {product_slices<Value>,  move_slices<Value>, exchange_slices<Value>, restore_slices<Value>,
          backward_slices<Value>, mean_blocks<Value>, add_relu_slices<Value>, normalise_items<Value>};
}

#if TINKIT_LEVEL == 3
// Only the conversion to bfloat16 is new here.
constexpr Level level = {TINKIT_LEVEL_NAME,         avx512::level.float32,    avx512::level.float64,
                         avx512::level.float16,     kernels_of<Brain>(),      avx512::level.steer32,
                         avx512::level.steer64,     avx512::level.along_rows, avx512::level.along_columns,
                         avx512::level.print_pieces};
#else
constexpr Level level = {TINKIT_LEVEL_NAME,   kernels_of<float>(), kernels_of<double>(), kernels_of<Half>(),
                         kernels_of<Brain>(), steer_clips<float>,  steer_clips<double>,  along_rows,
                         along_columns,       print_pieces};
#endif
