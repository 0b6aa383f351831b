// Frames of 8 bits to what a network reads (tinkit/ops/normalise.py), on CPU tensors.
#pragma once

#include "tensors.h"
#include "cpu/loops/choice.h"

namespace tinkit {

inline void normalise(Tensor to, Tensor images, Tensor mean, Tensor scale) {
  STD_TORCH_CHECK(
      to.dim() == 4 && images.dim() == 4 && to.is_cpu() && images.is_cpu() && mean.is_cpu() && scale.is_cpu() &&
          images.scalar_type() == ScalarType::Byte && to.size(0) == images.size(0) && to.size(1) == images.size(1) &&
          to.size(2) == images.size(2) && to.size(3) == images.size(3) && mean.numel() == to.size(1) &&
          scale.numel() == to.size(1) && (is_contiguous(to) || is_channels_last(to)),
      "normalise_into_: expected dense (N, C, H, W), 8-bit images of that shape, and C means and scales; got ",
      shape(to), ", ", shape(images), ", ", shape(mean), ", ", shape(scale));
  const int64_t channels = to.size(1), plane = to.size(2) * to.size(3), pixels = to.size(0) * plane;
  if (pixels * channels == 0) return;
  const bool by_pixel = is_channels_last(to);
  const Tensor source = by_pixel ? dense_as(images, true) : dense(images);
  by_type(to.scalar_type(), [&](auto type) {
    using Value = decltype(type);
    using Sum = typename SumOf<Value>::type;
    constexpr int64_t kPeriod = 1024;  // pixels
    std::vector<Sum> means = numbers<Sum>(mean), scales = numbers<Sum>(scale);
    if (by_pixel)
      for (std::vector<Sum>* values : {&means, &scales}) {
        values->resize(kPeriod * channels);
        for (int64_t i = channels; i < kPeriod * channels; ++i) (*values)[i] = (*values)[i - channels];
      }
    const Normalise job = {static_cast<const uint8_t*>(source.const_data_ptr()),
                           to.mutable_data_ptr(),
                           means.data(),
                           scales.data(),
                           channels,
                           pixels,
                           kPeriod,
                           plane,
                           is_channels_last(source) ? channels : 1,
                           by_pixel};
    const int64_t items = by_pixel ? (pixels + kPeriod - 1) / kPeriod : to.size(0) * channels;
    const int64_t bytes = (by_pixel ? kPeriod * channels : plane) * int64_t(sizeof(Value));
    const Kernels& kernels = chosen<Value>();
    in_parallel(items, bytes, [&](int64_t begin, int64_t end) { kernels.normalise(job, begin, end); });
  });
}

}  // namespace tinkit
