// The operator `steer_backward` on CPU tensors. Clips come one after the other: the gradients of the weights are sums
// over them, in that order.
#pragma once

#include <cmath>

#include "steering.h"

namespace tinkit {

// What the gradients of a clip are computed from, and the gradients of all. Formulas: tinkit/ops/steer.py.
template <typename Sum>
struct SteerBackward {
  const SteeringWeights<Sum>& with;
  int64_t frames, fold;
  std::vector<Sum> convolved, active, grad_convolved;  // [3][frames], [frames], [3][frames]
  std::vector<std::vector<Sum>> grads;                 // of the weights, in the order of the schema
  std::vector<Sum> grad_filters;                       // [tap][output][channel]

  SteerBackward(const SteeringWeights<Sum>& weights, int64_t frames, int64_t fold)
      : with(weights), frames(frames), fold(fold), convolved(3 * frames), active(frames), grad_convolved(3 * frames),
        grad_filters(9 * fold) {
    for (const auto& value : weights.values) grads.emplace_back(value.size());
  }

  // The rows of `pooled` that a tap sees at frame t, or null past the clip's ends.
  template <typename Number>
  Number* seen(Number* clip, int64_t t, int64_t tap) const {
    const int64_t frame = t + tap - 1;
    return frame >= 0 && frame < frames ? clip + frame * fold : nullptr;
  }

  void convolve(const Sum* clip) {
    for (int64_t n = 0; n < 3; ++n)
      for (int64_t t = 0; t < frames; ++t) {
        Sum sum = with.bias[n];
        for (int64_t tap = 0; tap < 3; ++tap)
          if (const Sum* row = seen(clip, t, tap)) sum += baseline::dot(&with.filters[(tap * 3 + n) * fold], row, fold);
        convolved[n * frames + t] = sum;
      }
  }

  // From the gradient of a clip's offsets to that of what the first filter gives.
  void through_offsets(const Sum* grad_offset) {
    const Sum* along = convolved.data();
    const auto &fc1 = with.values[2], &fc2 = with.values[4];
    for (int64_t t = 0; t < frames; ++t) {
      const Sum linear = with.values[3][t] + baseline::dot(&fc1[t * frames], along, frames);
      active[t] = linear < 0 ? Sum(0) : linear;
    }
    std::vector<Sum> grad_linear(frames);
    for (int64_t n = 0; n < 2; ++n) {
      const Sum squashed = std::tanh((with.values[5][n] + baseline::dot(&fc2[n * frames], active.data(), frames)) / 2);
      const Sum grad = (grad_offset[n] - grad_offset[n + 2]) * (1 - squashed * squashed);
      grads[5][n] += grad;
      for (int64_t t = 0; t < frames; ++t) {
        grads[4][n * frames + t] += grad * active[t];
        grad_linear[t] += grad * fc2[n * frames + t];
      }
    }
    for (int64_t t = 0; t < frames; ++t) {
      grad_linear[t] *= Sum(active[t] > 0);
      grads[3][t] += grad_linear[t];
      for (int64_t s = 0; s < frames; ++s) {
        grads[2][t * frames + s] += grad_linear[t] * along[s];
        grad_convolved[s] += grad_linear[t] * fc1[t * frames + s];
      }
    }
  }

  void through_gains(const Sum* grad_gain) {
    for (int64_t n = 0; n < 2; ++n)
      for (int64_t t = 0; t < frames; ++t) {
        const Sum gain = 2 / (1 + std::exp(-convolved[(n + 1) * frames + t]));
        grad_convolved[(n + 1) * frames + t] =
            (grad_gain[t * 4 + n] + grad_gain[t * 4 + n + 2]) * gain * (1 - gain / 2);
      }
  }

  void clip(const Sum* pooled, const Sum* grad_offset, const Sum* grad_gain, Sum* grad_pooled) {
    convolve(pooled);
    std::fill_n(grad_convolved.begin(), frames, Sum(0));
    through_offsets(grad_offset);
    through_gains(grad_gain);
    for (int64_t n = 0; n < 3; ++n)
      for (int64_t t = 0; t < frames; ++t) {
        const Sum grad = grad_convolved[n * frames + t];
        (n == 0 ? grads[1][0] : grads[7][n - 1]) += grad;
        for (int64_t tap = 0; tap < 3; ++tap) {
          const Sum *row = seen(pooled, t, tap), *filter = &with.filters[(tap * 3 + n) * fold];
          if (row == nullptr) continue;
          Sum *to_row = seen(grad_pooled, t, tap), *to_filter = &grad_filters[(tap * 3 + n) * fold];
          for (int64_t c = 0; c < fold; ++c) to_row[c] += grad * filter[c];
          for (int64_t c = 0; c < fold; ++c) to_filter[c] += grad * row[c];
        }
      }
  }

  void finish() {
    Sum* to[] = {grads[0].data(), grads[6].data(), grads[6].data() + 3 * fold};
    for (int64_t n = 0; n < 3; ++n)
      for (int64_t channel = 0; channel < fold; ++channel)
        for (int64_t tap = 0; tap < 3; ++tap) to[n][channel * 3 + tap] = grad_filters[(tap * 3 + n) * fold + channel];
  }
};

template <typename Sum>
std::vector<Tensor> steer_backward_as(const Tensor& grad_offset, const Tensor& grad_gain, const Tensor& pooled,
                                      const std::vector<Tensor>& weights) {
  const int64_t frames = weights[2].size(0), fold = pooled.size(1), clips = pooled.size(0) / frames;
  const SteeringWeights<Sum> with(weights);
  const std::vector<Sum> rows = numbers<Sum>(pooled), to_offset = numbers<Sum>(grad_offset),
                         to_gain = numbers<Sum>(grad_gain);
  Tensor grad_pooled = empty({pooled.size(0), fold}, pooled.scalar_type());
  torch::stable::zero_(grad_pooled);
  Sum* to_rows = static_cast<Sum*>(grad_pooled.mutable_data_ptr());
  SteerBackward<Sum> backward(with, frames, fold);
  for (int64_t clip = 0; clip < clips; ++clip)
    backward.clip(rows.data() + clip * frames * fold, to_offset.data() + clip * 4, to_gain.data() + clip * frames * 4,
                  to_rows + clip * frames * fold);
  backward.finish();
  std::vector<Tensor> found = {grad_pooled};
  for (size_t i = 0; i < weights.size(); ++i) {
    const auto sizes = weights[i].sizes();
    found.push_back(empty({sizes.begin(), sizes.end()}, pooled.scalar_type()));
    std::copy(backward.grads[i].begin(), backward.grads[i].end(), static_cast<Sum*>(found.back().mutable_data_ptr()));
  }
  return found;
}

using NineTensors = std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor, Tensor>;

inline NineTensors steer_backward(Tensor grad_offset, Tensor grad_gain, Tensor pooled, Tensor offset_conv_weight,
                                  Tensor offset_conv_bias, Tensor fc1_weight, Tensor fc1_bias, Tensor fc2_weight,
                                  Tensor fc2_bias, Tensor gain_conv_weight, Tensor gain_conv_bias) {
  const std::vector<Tensor> weights = {offset_conv_weight, offset_conv_bias, fc1_weight,       fc1_bias,
                                       fc2_weight,         fc2_bias,         gain_conv_weight, gain_conv_bias};
  check_steering(pooled, weights);
  const int64_t frames = fc1_weight.size(0), clips = pooled.size(0) / frames;
  STD_TORCH_CHECK(grad_offset.numel() == clips * 4 && grad_gain.numel() == clips * frames * 4 &&
                      grad_offset.scalar_type() == pooled.scalar_type() &&
                      grad_gain.scalar_type() == pooled.scalar_type(),
                  "steer_backward: expected gradients (B, 4) and (B, T, 4) beside pooled ", shape(pooled), "; got ",
                  shape(grad_offset), " and ", shape(grad_gain));
  const auto f = pooled.scalar_type() == ScalarType::Float
                     ? steer_backward_as<float>(grad_offset, grad_gain, pooled, weights)
                     : steer_backward_as<double>(grad_offset, grad_gain, pooled, weights);
  return {f[0], f[1], f[2], f[3], f[4], f[5], f[6], f[7], f[8]};
}

}  // namespace tinkit
