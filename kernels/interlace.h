// The arithmetic of the interlace operator, one element at a time: forward, and the terms of the backward pass.
//
// Plain C++ without includes, so that a host compiler and NVRTC take the same text. `Value` is what features are stored
// in, `Sum` what they are added up in (float for half precision and float, double for double). A clip's frames lie
// `frame` elements apart; pointers are to the element of frame 0. Formulas: README.md.
#pragma once

#if defined(__CUDACC__)
#define TINKIT_FUNCTION __host__ __device__ inline
#else
#define TINKIT_FUNCTION inline
#endif

namespace tinkit {

// offset = whole + part, 0 <= part < 1.
template <typename Sum>
struct Split {
  int whole;
  Sum part;
};

// An offset that reaches past the clip on either side (or is NaN) moves everything out of it: zeros are read.
template <typename Sum>
TINKIT_FUNCTION Split<Sum> split(Sum offset, int frames) {
  if (!(offset > Sum(-frames - 1) && offset < Sum(frames + 1))) return {2 * frames + 2, Sum(0)};
  int whole = int(offset);
  if (Sum(whole) > offset) whole -= 1;
  return {whole, offset - Sum(whole)};
}

// What the late and the early one of the two frames that a frame is mixed from are multiplied by.
template <typename Sum>
struct Shares {
  Sum late, early;
};

// Those of output frame `t` (late: t - whole) or, `transposed`, of the gradient of input frame `t` (late: t + whole).
// Gains belong to frames of the output and lie `step` apart. A frame outside the clip has no share.
template <typename Sum>
TINKIT_FUNCTION Shares<Sum> shares(Split<Sum> offset, int frames, int t, const Sum* gain, int step, bool transposed) {
  const int late = transposed ? t + offset.whole : t - offset.whole, early = transposed ? late + 1 : late - 1;
  Shares<Sum> found = {Sum(0), Sum(0)};
  if (late >= 0 && late < frames) found.late = gain[(transposed ? late : t) * step] * (Sum(1) - offset.part);
  if (early >= 0 && early < frames) found.early = gain[(transposed ? early : t) * step] * offset.part;
  return found;
}

template <typename Sum, typename Value>
TINKIT_FUNCTION Sum read(const Value* clip, long long frame, int frames, int t) {
  return t >= 0 && t < frames ? Sum(clip[t * frame]) : Sum(0);
}

// The interpolation before the gain: what output frame `t` shows.
template <typename Sum, typename Value>
TINKIT_FUNCTION Sum shown(const Value* x, long long frame, int frames, int t, Split<Sum> offset) {
  const Sum late = read<Sum>(x, frame, frames, t - offset.whole);
  const Sum early = read<Sum>(x, frame, frames, t - offset.whole - 1);
  return (Sum(1) - offset.part) * late + offset.part * early;
}

// d(shown)/d(offset), the floor being constant.
template <typename Sum, typename Value>
TINKIT_FUNCTION Sum slope(const Value* x, long long frame, int frames, int t, Split<Sum> offset) {
  return read<Sum>(x, frame, frames, t - offset.whole - 1) - read<Sum>(x, frame, frames, t - offset.whole);
}

// The gradient to input frame `s`: from the two output frames that read it. Gains lie `step` apart.
template <typename Sum, typename Value>
TINKIT_FUNCTION Sum grad_input(const Value* grad, long long frame, int frames, int s, Split<Sum> offset,
                               const Sum* gain, int step) {
  Sum sum = Sum(0);
  const int late = s + offset.whole, early = late + 1;
  if (late >= 0 && late < frames) sum += (Sum(1) - offset.part) * gain[late * step] * Sum(grad[late * frame]);
  if (early >= 0 && early < frames) sum += offset.part * gain[early * step] * Sum(grad[early * frame]);
  return sum;
}

}  // namespace tinkit
