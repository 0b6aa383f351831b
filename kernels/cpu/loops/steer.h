// The two networks that steer. Included once for each level, inside its namespace, after sums.h: no guard.

template <typename Sum, int lanes = kLanes<Sum>>
inline Sum dot(const Sum* a, const Sum* b, int64_t size) {
  Packed<Sum, lanes> sums = {};
  const int64_t whole = size - size % lanes;
  for (int64_t i = 0; i < whole; i += lanes) sums += load<Sum, lanes>(a + i) * load<Sum, lanes>(b + i);
  Sum sum = across<Sum, lanes>(sums);
  if constexpr (lanes > 1)
    if (whole < size) sum += dot<Sum, lanes / 2>(a + whole, b + whole, size - whole);
  return sum;
}

// The convolution of output `n` at frame `t`; a tap past either end of the clip reads zeros.
template <typename Sum>
inline Sum convolved(const Steer<Sum>& steer, const Sum* clip, int64_t t, int64_t n) {
  Sum sum = steer.bias[n];
  for (int64_t tap = 0; tap < 3; ++tap) {
    const int64_t frame = t + tap - 1;
    if (frame >= 0 && frame < steer.frames)
      sum += dot(steer.filters + (tap * 3 + n) * steer.fold, clip + frame * steer.fold, steer.fold);
  }
  return sum;
}

// `along` is room for 2 T numbers.
template <typename Sum>
inline void steer_clip(const Steer<Sum>& steer, int64_t clip, Sum* along) {
  const int64_t frames = steer.frames;
  const Sum* pooled = steer.pooled + clip * frames * steer.fold;
  Sum *offset = steer.offset + clip * 4, *gain = steer.gain + clip * frames * 4, *active = along + frames;
  for (int64_t t = 0; t < frames; ++t, gain += 4) {
    along[t] = convolved(steer, pooled, t, 0);
    for (int64_t n = 0; n < 2; ++n) gain[n] = gain[n + 2] = 2 / (1 + std::exp(-convolved(steer, pooled, t, n + 1)));
  }
  for (int64_t t = 0; t < frames; ++t) {
    const Sum linear = steer.fc1_bias[t] + dot(steer.fc1_weight + t * frames, along, frames);
    active[t] = linear < 0 ? Sum(0) : linear;  // NaN stays NaN
  }
  for (int64_t n = 0; n < 2; ++n) {
    offset[n] = 2 * std::tanh((steer.fc2_bias[n] + dot(steer.fc2_weight + n * frames, active, frames)) / 2);
    offset[n + 2] = -offset[n];
  }
}

template <typename Sum>
void steer_clips(const Steer<Sum>& steer, Sum* room, int64_t begin, int64_t end) {
  for (int64_t clip = begin; clip < end; ++clip) steer_clip(steer, clip, room + clip * 2 * steer.frames);
}
