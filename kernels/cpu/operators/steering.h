// The operator `steer` on CPU tensors: the two small networks of tinkit/ops/steer.py in one call, forward.
#pragma once

#include "cpu/loops/choice.h"
#include "tensors.h"

namespace tinkit {

// The weights as numbers, and the three filters as [tap][output][channel], the offsets' first.
template <typename Sum>
struct SteeringWeights {
  std::vector<std::vector<Sum>> values;  // in the order of the schema
  std::vector<Sum> filters, bias;

  explicit SteeringWeights(const std::vector<Tensor>& weights) {
    for (const Tensor& weight : weights) values.push_back(numbers<Sum>(weight));
    const int64_t fold = weights[0].size(1);
    filters.resize(9 * fold), bias = {values[1][0], values[7][0], values[7][1]};
    const Sum* from[] = {values[0].data(), values[6].data(), values[6].data() + 3 * fold};
    for (int64_t n = 0; n < 3; ++n)
      for (int64_t channel = 0; channel < fold; ++channel)
        for (int64_t tap = 0; tap < 3; ++tap) filters[(tap * 3 + n) * fold + channel] = from[n][channel * 3 + tap];
  }
};

// Offsets (B, 4) and gains (B, T, 4) from pooled (B*T, F) and the weights in the order of the schema.
template <typename Sum>
std::tuple<Tensor, Tensor> steer_as(const Tensor& pooled, const std::vector<Tensor>& weights) {
  const int64_t frames = weights[2].size(0), fold = pooled.size(1), clips = pooled.size(0) / frames;
  const ScalarType type = pooled.scalar_type();
  const Tensor offset = empty({clips, 4}, type), gain = empty({clips, frames, 4}, type);
  const SteeringWeights<Sum> with(weights);
  const Tensor rows = torch::stable::contiguous(pooled);
  const Steer<Sum> steer = {frames,
                            fold,
                            static_cast<const Sum*>(rows.const_data_ptr()),
                            with.filters.data(),
                            with.bias.data(),
                            with.values[2].data(),
                            with.values[3].data(),
                            with.values[4].data(),
                            with.values[5].data(),
                            static_cast<Sum*>(offset.mutable_data_ptr()),
                            static_cast<Sum*>(gain.mutable_data_ptr())};
  std::vector<Sum> room(clips * 2 * frames);
  in_parallel(clips, frames * fold * 9 * int64_t(sizeof(Sum)),
              [&](int64_t begin, int64_t end) { steer_kernel<Sum>()(steer, room.data(), begin, end); });
  return {offset, gain};
}

// Raises a runtime error unless the weights, in the order of the schema, fit `pooled`.
inline void check_steering(const Tensor& pooled, const std::vector<Tensor>& weights) {
  const Tensor& fc1_weight = weights[2];
  STD_TORCH_CHECK(pooled.dim() == 2 && fc1_weight.dim() == 2 && fc1_weight.size(0) >= 1,
                  "steer: expected pooled (B*T, F) and a first Linear (T, T); got ", shape(pooled), " and ",
                  shape(fc1_weight));
  const int64_t fold = pooled.size(1), frames = fc1_weight.size(0);
  const std::vector<int64_t> wanted[] = {{1, fold, 3}, {1}, {frames, frames}, {frames},
                                         {2, frames},  {2}, {2, fold, 3},     {2}};
  STD_TORCH_CHECK(pooled.size(0) % frames == 0, "steer: ", pooled.size(0), " rows are not clips of ", frames,
                  " frames");
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto sizes = weights[i].sizes();
    STD_TORCH_CHECK(std::vector<int64_t>(sizes.begin(), sizes.end()) == wanted[i] && weights[i].is_cpu() &&
                        weights[i].scalar_type() == pooled.scalar_type(),
                    "steer: weight ", i, " does not fit pooled ", shape(pooled), " and ", frames, " frames; got ",
                    shape(weights[i]));
  }
  const ScalarType type = pooled.scalar_type();
  STD_TORCH_CHECK(type == ScalarType::Float || type == ScalarType::Double, "steer: expected float32 or float64; got ",
                  torch::headeronly::toString(type));
}

inline std::tuple<Tensor, Tensor> steer(Tensor pooled, Tensor offset_conv_weight, Tensor offset_conv_bias,
                                        Tensor fc1_weight, Tensor fc1_bias, Tensor fc2_weight, Tensor fc2_bias,
                                        Tensor gain_conv_weight, Tensor gain_conv_bias) {
  const std::vector<Tensor> weights = {offset_conv_weight, offset_conv_bias, fc1_weight,       fc1_bias,
                                       fc2_weight,         fc2_bias,         gain_conv_weight, gain_conv_bias};
  check_steering(pooled, weights);
  return pooled.scalar_type() == ScalarType::Float ? steer_as<float>(pooled, weights)
                                                   : steer_as<double>(pooled, weights);
}

}  // namespace tinkit
