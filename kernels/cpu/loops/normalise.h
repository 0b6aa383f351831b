// Levels of 8 bits to normalised numbers, in one pass. Included once for each level, inside its namespace, after
// vector.h and resize.h: no guard.

// Neighbouring levels as numbers, a vector of them.
template <typename Value>
inline Packed<typename SumOf<Value>::type, kLanes<Value>> levels_at(const uint8_t* from) {
  using Sum = typename SumOf<Value>::type;
  if constexpr (sizeof(Sum) == 4)
    return __builtin_convertvector(widened(from), Packed<Sum, kLanes<Value>>);
  else
    return __builtin_convertvector(load_bits<Packed<uint8_t, kLanes<Value>>>(from), Packed<Sum, kLanes<Value>>);
}

template <typename Value>
inline void normalise_one(uint8_t level, typename SumOf<Value>::type mean, typename SumOf<Value>::type scale,
                          Value* to) {
  store<false, Value, 1>(to, Packed<typename SumOf<Value>::type, 1>{(level - mean) * scale});
}

// `count` values, of every one its own mean and scale.
template <typename Value>
void normalise_pixels(const uint8_t* from, const typename SumOf<Value>::type* mean,
                      const typename SumOf<Value>::type* scale, int64_t count, Value* to) {
  using Vector = Packed<typename SumOf<Value>::type, kLanes<Value>>;
  int64_t i = 0;
  for (; i + kLanes<Value> <= count; i += kLanes<Value>) {
    const Vector means = load_bits<Vector>(mean + i), scales = load_bits<Vector>(scale + i);
    store<false, Value, kLanes<Value>>(to + i, (levels_at<Value>(from + i) - means) * scales);
  }
  for (; i < count; ++i) normalise_one<Value>(from[i], mean[i], scale[i], to + i);
}

// `count` values of one channel, which lie `step` bytes apart.
template <typename Value>
void normalise_plane(const uint8_t* from, int64_t step, typename SumOf<Value>::type mean,
                     typename SumOf<Value>::type scale, int64_t count, Value* to) {
  int64_t i = 0;
  for (; i + kLanes<Value> <= count; i += kLanes<Value>) {
    uint8_t levels[kVectorBytes];
    const uint8_t* at = from + i * step;
    if (step == 1)
      std::memcpy(levels, at, kLanes<Value>);
    else
      for (int k = 0; k < kLanes<Value>; ++k) levels[k] = at[k * step];
    store<false, Value, kLanes<Value>>(to + i, (levels_at<Value>(levels) - mean) * scale);
  }
  for (; i < count; ++i) normalise_one<Value>(from[i * step], mean, scale, to + i);
}

template <typename Value>
void normalise_items(const Normalise& job, int64_t begin, int64_t end) {
  using Sum = typename SumOf<Value>::type;
  const Sum *mean = static_cast<const Sum*>(job.mean), *scale = static_cast<const Sum*>(job.scale);
  Value* to = static_cast<Value*>(job.to);
  for (int64_t item = begin; item < end; ++item) {
    if (job.by_pixel) {
      const int64_t first = item * job.period, count = std::min(job.period, job.pixels - first);
      normalise_pixels<Value>(job.from + first * job.channels, mean, scale, count * job.channels,
                              to + first * job.channels);
    } else {
      const int64_t image = item / job.channels, channel = item % job.channels;
      const int64_t start = image * job.channels * job.plane + (job.step == 1 ? channel * job.plane : channel);
      normalise_plane<Value>(job.from + start, job.step, mean[channel], scale[channel], job.plane,
                             to + item * job.plane);
    }
  }
}
