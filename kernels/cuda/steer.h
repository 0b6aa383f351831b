// The two small networks that say where the fold moves, for a clip a block; formulas in tinkit/ops/steer.py. `source`
// is the fold's mean (clips * frames, fold), `weights` are those of Steering in its order, `partial` has two values a
// frame.
#pragma once

#include "backward.h"

namespace tinkit {

constexpr int GROUPS = 4;
constexpr int FILTERS = 3;  // convolutions over time: one for the offsets, two for the gains
constexpr int TAPS = 3;

enum Weight { OFFSET_CONV, OFFSET_BIAS, FC1, FC1_BIAS, FC2, FC2_BIAS, GAIN_CONV, GAIN_BIAS };

template <typename Sum>
TINKIT_DEVICE const Sum* weight_of(const Arguments& a, Weight weight) {
  return static_cast<const Sum*>(a.weights[weight]);
}

// The part of filter `n` at frame `time` that is `lane`'s to add up.
template <typename Sum>
TINKIT_DEVICE Sum filtered(const Arguments& a, const Sum* pooled, int time, int n, int lane) {
  const int fold = int(a.fold);
  const Sum* taps = n == 0 ? weight_of<Sum>(a, OFFSET_CONV) : weight_of<Sum>(a, GAIN_CONV) + (n - 1) * fold * TAPS;
  Sum sum = Sum(0);
  for (int channel = lane; channel < fold; channel += LINE) {
    UNROLL
    for (int tap = 0; tap < TAPS; ++tap) {
      const int frame = time + tap - 1;
      if (frame < 0 || frame >= a.frames) continue;
      sum += load(taps + channel * TAPS + tap) * load(pooled + frame * fold + channel);
    }
  }
  return sum;
}

// A row of a Linear: bias + weights times what `frames` values there are.
template <typename Sum>
TINKIT_DEVICE Sum linear(const Sum* weights, const Sum* bias, const Sum* values, int frames, int row) {
  Sum sum = load(bias + row);
  for (int i = 0; i < frames; ++i) sum += load(weights + row * frames + i) * load(values + i);
  return sum;
}

template <typename Value>
TINKIT_DEVICE void steer(const Arguments& a) {
  using Sum = typename SumOf<Value>::type;
  SHARED(Sum, lines, SUMS * LINE_PITCH);
  const int frames = a.frames;
  const long long clip = block_index();
  const auto* pooled = static_cast<const Sum*>(a.source) + clip * frames * a.fold;
  auto* along = static_cast<Sum*>(a.partial) + clip * frames * 2;
  auto* active = along + frames;
  auto* offset = static_cast<Sum*>(a.target) + clip * GROUPS;
  auto* gain = static_cast<Sum*>(a.saved) + clip * frames * GROUPS;
  for (int first = 0; first < frames * FILTERS; first += SUMS) {
    THREADS(t) {
      const int row = t / LINE, lane = t % LINE, time = (first + row) / FILTERS, n = (first + row) % FILTERS;
      put(lines + row * LINE_PITCH + lane, time < frames ? filtered(a, pooled, time, n, lane) : Sum(0));
    }
    SYNC();
    THREADS(t) {
      const int time = (first + t) / FILTERS, n = (first + t) % FILTERS;
      if (t < SUMS && time < frames) {
        const Sum sum = add_line(lines, t);
        if (n == 0) {
          store(along + time, sum + load(weight_of<Sum>(a, OFFSET_BIAS)));
        } else {
          const Sum learned = Sum(2) / (Sum(1) + exponential(-sum - load(weight_of<Sum>(a, GAIN_BIAS) + n - 1)));
          store(gain + time * GROUPS + n - 1, learned);
          store(gain + time * GROUPS + n + 1, learned);
        }
      }
    }
    SYNC();
  }
  THREADS(t) {
    for (int i = t; i < frames; i += BLOCK) {
      const Sum sum = linear(weight_of<Sum>(a, FC1), weight_of<Sum>(a, FC1_BIAS), along, frames, i);
      store(active + i, sum < Sum(0) ? Sum(0) : sum);
    }
  }
  SYNC();
  THREADS(t) {
    if (t < GROUPS / 2) {
      const Sum z = linear(weight_of<Sum>(a, FC2), weight_of<Sum>(a, FC2_BIAS), active, frames, t);
      const Sum learned = Sum(2) * tangent(z / Sum(2));
      store(offset + t, learned);
      store(offset + t + GROUPS / 2, -learned);
    }
  }
}

}  // namespace tinkit
