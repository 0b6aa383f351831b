// The gradients of the operator. A block has packs of one clip and one group; a thread owns one and walks through the
// frames once, the gradient and the features side by side: it writes the features' gradient, and of each frame makes
// two products, gradient times later and gradient times earlier frame. The block adds them up in a fixed order into
// `partial`; `finish` adds up the blocks, again in a fixed order, so that the same bits come every time.
#pragma once

#include "move.h"

namespace tinkit {

constexpr int SUMS = 2 * CHUNK;       // products of a chunk of frames
constexpr int LINE = BLOCK / SUMS;    // threads that add up one of them
constexpr int LINE_PITCH = LINE + 1;  // the last step reads down a column: different banks

// Two packs of the frame before: what a thread carries from frame to frame.
template <typename Item>
struct Before {
  Item grad, x;
};

// What a block of the backward pass works on, the same for all its threads.
template <typename Sum, typename Index>
struct Task {
  Index clip, slice;
  int group, frames;
  Split<Sum> offset;
  int low, high;  // the frames of the gradient to walk through; those outside the clip read as zero
  Gains<Sum> gains;
};

template <typename Sum, typename Index>
TINKIT_DEVICE Task<Sum, Index> task_of(const Arguments& a, Index block, Sum* staged_gains) {
  Task<Sum, Index> task;
  const Index pair = block / a.groups;
  task.group = int(block - pair * a.groups);
  task.clip = pair / Index(a.slices);
  task.slice = pair - task.clip * Index(a.slices);
  task.frames = a.frames;
  const auto* offset = static_cast<const Sum*>(a.offset) + task.clip * a.groups + task.group;
  task.offset = split(load(offset), a.frames);
  const int far = a.frames + 1;
  task.offset.whole = task.offset.whole > far ? far : task.offset.whole;
  const int whole = task.offset.whole;
  task.low = whole < 0 ? whole : 0;
  task.high = whole < 0 ? a.frames - 1 : a.frames + whole;
  const auto* gain = static_cast<const Sum*>(a.gain) + (task.clip * a.frames) * a.groups + task.group;
  if (a.frames <= STEERING) {
    task.gains = {staged_gains, 1, true};
  } else {
    task.gains = {gain, a.groups, false};
  }
  return task;
}

// Where a thread's pack lies in the clip's first frame: the gradient, the features, the features' gradient.
template <typename Item, typename Index>
struct Places {
  const Item* grad;
  const Item* x;
  Item* out;
  Index grad_frame, x_frame, out_frame;
};

template <typename Item, typename Index>
TINKIT_DEVICE Places<Item, Index> places(const Arguments& a, Index clip, Index row, Index within) {
  const Index rows = Index(a.rows), start = clip * a.frames;
  Places<Item, Index> p;
  p.grad_frame = rows * Index(a.source_pitch);
  p.x_frame = rows * Index(a.features_pitch);
  p.out_frame = rows * Index(a.target_pitch);
  p.grad = static_cast<const Item*>(a.source) + start * p.grad_frame + row * Index(a.source_pitch) + within;
  p.x = static_cast<const Item*>(a.features) + start * p.x_frame + row * Index(a.features_pitch) + within;
  p.out = static_cast<Item*>(a.target) + start * p.out_frame + row * Index(a.target_pitch) + within;
  return p;
}

template <typename Value, int LANES>
TINKIT_DEVICE typename SumOf<Value>::type product(const Pack<Value, LANES>& a, const Pack<Value, LANES>& b) {
  typename SumOf<Value>::type sum = 0;
  UNROLL
  for (int i = 0; i < LANES; ++i) sum += widen(a.lane[i]) * widen(b.lane[i]);
  return sum;
}

// Frames `first` .. `first + CHUNK - 1` of the gradient: writes what they complete of `out`, and their products.
template <typename Value, int LANES, typename Sum, typename Index>
TINKIT_DEVICE void step(const Places<Pack<Value, LANES>, Index>& p, const Task<Sum, Index>& task, int first,
                        Before<Pack<Value, LANES>>& before, Sum* products) {
  using Item = Pack<Value, LANES>;
  const int frames = task.frames, whole = task.offset.whole;
  Item grad[CHUNK], x[CHUNK];
  UNROLL
  for (int j = 0; j < CHUNK; ++j) {
    const int t = first + j, s = t - whole;
    grad[j] = x[j] = Item{};
    if (t >= 0 && t < frames && s >= 0 && s <= frames) grad[j] = load(p.grad + Index(t) * p.grad_frame);
    if (s >= 0 && s < frames && t >= -1 && t < frames) x[j] = load(p.x + Index(s) * p.x_frame);
  }
  UNROLL
  for (int j = 0; j < CHUNK; ++j) {
    const int t = first + j, s = t - 1 - whole;  // frame s is now complete: outputs t - 1 and t read it
    const Item& grad_before = j == 0 ? before.grad : grad[j - 1];
    const Item& x_before = j == 0 ? before.x : x[j - 1];
    if (s >= 0 && s < frames) {
      const Sum late = t > 0 && t <= frames ? (Sum(1) - task.offset.part) * task.gains.at(t - 1) : Sum(0);
      const Sum early = t >= 0 && t < frames ? task.offset.part * task.gains.at(t) : Sum(0);
      store(p.out + Index(s) * p.out_frame, blend(grad_before, late, grad[j], early));
    }
    put(products + 2 * j * BLOCK, product(grad[j], x[j]));
    put(products + (2 * j + 1) * BLOCK, product(grad[j], x_before));
  }
  before = {grad[CHUNK - 1], x[CHUNK - 1]};
}

// Thread `t` < SUMS adds up its line.
template <typename Sum>
TINKIT_DEVICE Sum add_line(const Sum* lines, int t) {
  Sum sum = Sum(0);
  for (int lane = 0; lane < LINE; ++lane) sum += get(lines + t * LINE_PITCH + lane);
  return sum;
}

// Blocks: for each clip, slice and group (which runs fastest: neighbours in memory) one; then those of the rest.
template <typename Value, int LANES, typename Index>
TINKIT_DEVICE void backward(const Arguments& a) {
  using Item = Pack<Value, LANES>;
  using Sum = typename SumOf<Value>::type;
  SHARED(Sum, gains, STEERING);
  SHARED(Sum, products, SUMS * BLOCK);
  SHARED(Sum, lines, SUMS * LINE_PITCH);
  OWN(Before<Item>, before);
  const Index block = Index(block_index());
  if (block >= Index(a.blocks)) {
    THREADS(t) {
      pass_rest(a, static_cast<const Item*>(a.source), static_cast<Item*>(a.target),
                (block - Index(a.blocks)) * (CHUNK * BLOCK), t);
    }
    return;
  }
  const Task<Sum, Index> task = task_of<Sum>(a, block, gains);
  THREADS(t) {
    const auto* gain = static_cast<const Sum*>(a.gain) + (task.clip * a.frames) * a.groups + task.group;
    if (task.gains.staged) {
      for (int i = t; i < a.frames; i += BLOCK) put(gains + i, load(gain + Index(i) * a.groups));
    }
    before[mine(t)] = {};
  }
  SYNC();
  const Index run = Index(a.run);
  auto* partial = static_cast<Sum*>(a.partial) +
                  ((task.clip * a.groups + task.group) * Index(a.slices) + task.slice) * a.frames * 2;
  for (int first = task.low; first <= task.high; first += CHUNK) {
    THREADS(t) {
      const Index i = task.slice * BLOCK + t, row = i / run;
      if (i < Index(a.rows) * run) {
        const auto p = places<Item>(a, task.clip, row, task.group * run + (i - row * run));
        step(p, task, first, before[mine(t)], products + t);
      } else {
        for (int j = 0; j < SUMS; ++j) put(products + j * BLOCK + t, Sum(0));
      }
    }
    SYNC();
    THREADS(t) {
      const int row = t / LINE, lane = t % LINE;
      Sum sum = Sum(0);
      for (int i = lane; i < BLOCK; i += LINE) sum += get(products + row * BLOCK + i);
      put(lines + row * LINE_PITCH + lane, sum);
    }
    SYNC();
    THREADS(t) {
      const int frame = first + t / 2;
      if (t < SUMS && frame >= 0 && frame < a.frames) store(partial + 2 * first + t, add_line(lines, t));
    }
  }
}

// One block a clip and group: the blocks' sums together, and from them the two gradients.
template <typename Value, typename Index>
TINKIT_DEVICE void finish(const Arguments& a) {
  using Sum = typename SumOf<Value>::type;
  SHARED(Sum, lines, SUMS * LINE_PITCH);
  SHARED(Sum, sums, SUMS);
  OWN(Sum, total);
  const Index block = Index(block_index()), clip = block / a.groups;
  const int group = int(block - clip * a.groups), frames = a.frames;
  const auto* partial = static_cast<const Sum*>(a.partial) + block * Index(a.slices) * frames * 2;
  const auto* gain = static_cast<const Sum*>(a.gain) + clip * frames * a.groups + group;
  auto* grad_gain = static_cast<Sum*>(a.grad_gain) + clip * frames * a.groups + group;
  const Split<Sum> offset = split(load(static_cast<const Sum*>(a.offset) + block), frames);
  THREADS(t) { total[mine(t)] = Sum(0); }
  for (int first = 0; first < frames; first += CHUNK) {
    THREADS(t) {
      const int row = t / LINE, lane = t % LINE;
      Sum sum = Sum(0);
      if (first + row / 2 < frames) {
        for (Index s = lane; s < Index(a.slices); s += LINE) sum += load(partial + (s * frames + first) * 2 + row);
      }
      put(lines + row * LINE_PITCH + lane, sum);
    }
    SYNC();
    THREADS(t) {
      if (t < SUMS) put(sums + t, add_line(lines, t));
    }
    SYNC();
    THREADS(t) {
      for (int j = 0; j < CHUNK && t == 0 && first + j < frames; ++j) {
        const Sum late = get(sums + 2 * j), early = get(sums + 2 * j + 1);
        const Index at = Index(first + j) * a.groups;
        store(grad_gain + at, (Sum(1) - offset.part) * late + offset.part * early);
        total[mine(t)] += load(gain + at) * (early - late);
      }
    }
  }
  THREADS(t) {
    if (t == 0) store(static_cast<Sum*>(a.grad_offset) + block, total[mine(t)]);
  }
}

}  // namespace tinkit
