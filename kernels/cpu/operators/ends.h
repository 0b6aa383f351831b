// The end of a residual block that no convolution can take along (tinkit/ops/ends.py), on channels_last CPU tensors.
#pragma once

#include "operators.h"

namespace tinkit {

inline void add_relu(Tensor x, Tensor shortcut) {
  STD_TORCH_CHECK(
      x.dim() == 4 && dense_in_order(x, {0, 2, 3, 1}) && dense_in_order(shortcut, {0, 2, 3, 1}) && x.is_cpu() &&
          shortcut.is_cpu() && x.scalar_type() == shortcut.scalar_type() && shape(x) == shape(shortcut),
      "add_relu_: expected two channels_last tensors of one shape and dtype; got ", shape(x), " and ", shape(shortcut));
  const int64_t count = x.size(0) * x.size(1) * x.size(2) * x.size(3);
  by_type(x.scalar_type(), [&](auto value) {
    using Value = decltype(value);
    constexpr int64_t size = kSliceBytes / int64_t(sizeof(Value));
    const Ends ends = {count, size, x.mutable_data_ptr(), shortcut.const_data_ptr()};
    const Kernels& kernels = chosen<Value>();
    in_parallel((count + size - 1) / size, kSliceBytes,
                [&](int64_t begin, int64_t end) { kernels.add_relu(ends, begin, end); });
  });
}

}  // namespace tinkit
