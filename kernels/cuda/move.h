// The fold through time: forward, its transpose, and both in place. A thread owns one pack of a row and walks through
// the clip's frames with the frame before in registers, so every frame is read once.
#pragma once

#include "arguments.h"
#include "device.h"
#include "interlace.h"

namespace tinkit {

// The clip's offsets and gains: in shared memory, read once a block, unless there are too many.
constexpr int STEERING = 1024;

// The gather of one pack: output `t` = `late` * x[t - whole] + `early` * x[t - whole - 1], times a gain.
template <typename Sum>
struct Gather {
  int whole;
  Sum late, early;
};

// The transpose is a gather too, mirrored: frame s comes of the outputs s + k and s + k + 1.
template <typename Sum>
TINKIT_DEVICE Gather<Sum> gather_of(Split<Sum> offset, int frames, bool transposed) {
  const int far = frames + 1;  // further than that is as far; keeps the walk short
  int whole = transposed ? -offset.whole - 1 : offset.whole;
  whole = whole > far ? far : whole < -far ? -far : whole;
  if (transposed) return {whole, offset.part, Sum(1) - offset.part};
  return {whole, Sum(1) - offset.part, offset.part};
}

// a * late + b * early, lane by lane.
template <typename Value, int LANES, typename Sum>
TINKIT_DEVICE Pack<Value, LANES> blend(const Pack<Value, LANES>& late, Sum a, const Pack<Value, LANES>& early, Sum b) {
  Pack<Value, LANES> out;
  UNROLL
  for (int i = 0; i < LANES; ++i) out.lane[i] = Narrow<Value>::of(a * widen(late.lane[i]) + b * widen(early.lane[i]));
  return out;
}

// The gains of a thread's clip and group, one a frame, `step` apart.
template <typename Sum>
struct Gains {
  const Sum* first;
  int step;
  bool staged;

  TINKIT_DEVICE Sum at(int frame) const { return staged ? get(first + frame * step) : load(first + frame * step); }
};

// Where a thread's pack lies in its clip's first frame, and how far frames are apart.
template <typename Item, typename Sum, typename Index>
struct Column {
  const Item* from;
  Item* to;
  Item* keep;  // or null
  Index from_frame, to_frame, keep_frame;
  Gains<Sum> gains;
};

// In place the walk must not write a frame that is still to be read. Outputs of an offset of 0 or more come of their
// own frame and earlier ones: last frame first. Of any other offset they come of their own frame and later ones: first
// frame first. Every output frame is written, with zeros where it shows nothing.
template <typename Item, typename Sum, typename Index>
TINKIT_DEVICE void walk(const Column<Item, Sum, Index>& column, int frames, Gather<Sum> gather, bool transposed) {
  const bool down = gather.whole >= 0;
  const int steps = down ? frames + gather.whole + 1 : frames - gather.whole;
  Item before = {};
  for (int first = 0; first < steps; first += CHUNK) {
    Item read[CHUNK];
    UNROLL
    for (int j = 0; j < CHUNK; ++j) {
      const int s = down ? frames - 1 - first - j : first + j;
      const int late = s + gather.whole;  // the output that reads frame s as its later one
      const bool needed = column.keep != nullptr || (late >= -1 && late < frames);
      read[j] = Item{};
      if (s >= 0 && s < frames && needed) read[j] = load(column.from + Index(s) * column.from_frame);
    }
    if (column.keep != nullptr) {
      UNROLL
      for (int j = 0; j < CHUNK; ++j) {
        const int s = down ? frames - 1 - first - j : first + j;
        if (s >= 0 && s < frames) store(column.keep + Index(s) * column.keep_frame, read[j]);
      }
    }
    UNROLL
    for (int j = 0; j < CHUNK; ++j) {
      const int s = down ? frames - 1 - first - j : first + j;
      const int t = down ? s + 1 + gather.whole : s + gather.whole;
      const Item& other = j == 0 ? before : read[j - 1];
      const int late = t - gather.whole, early = late - 1;
      if (t < 0 || t >= frames) continue;
      Sum a = Sum(0), b = Sum(0);
      if (late >= 0 && late < frames) a = gather.late * column.gains.at(transposed ? late : t);
      if (early >= 0 && early < frames) b = gather.early * column.gains.at(transposed ? early : t);
      store(column.to + Index(t) * column.to_frame, down ? blend(other, a, read[j], b) : blend(read[j], a, other, b));
    }
    before = read[CHUNK - 1];
  }
}

// Copies or clears what does not move: packs `first` .. `first + CHUNK * BLOCK` of all frames' rests.
template <typename Item, typename Index>
TINKIT_DEVICE void pass_rest(const Arguments& a, const Item* source, Item* target, Index first, int thread) {
  const Index rest = Index(a.rest), moving = Index(a.moving), lines = Index(a.clips) * a.frames * Index(a.rows);
  const Index count = lines * rest;
  Item item[CHUNK];
  UNROLL
  for (int j = 0; j < CHUNK; ++j) {
    const Index i = first + j * BLOCK + thread;
    item[j] = Item{};
    if (a.rest_mode == COPY && i < count) {
      const Index line = i / rest;
      item[j] = load(source + line * Index(a.source_pitch) + moving + (i - line * rest));
    }
  }
  UNROLL
  for (int j = 0; j < CHUNK; ++j) {
    const Index i = first + j * BLOCK + thread;
    if (i >= count) continue;
    const Index line = i / rest;
    store(target + line * Index(a.target_pitch) + moving + (i - line * rest), item[j]);
  }
}

// interlace, interlace_fold, interlace_write_: `slices` blocks a clip, `blocks` of them, then those of the rest.
template <typename Value, int LANES, typename Index>
TINKIT_DEVICE void move(const Arguments& a) {
  using Item = Pack<Value, LANES>;
  using Sum = typename SumOf<Value>::type;
  SHARED(Sum, steering, STEERING);
  const auto* source = static_cast<const Item*>(a.source);
  auto* target = static_cast<Item*>(a.target);
  const Index block = Index(block_index());
  if (block >= Index(a.blocks)) {
    THREADS(t) { pass_rest(a, source, target, (block - Index(a.blocks)) * (CHUNK * BLOCK), t); }
    return;
  }
  const Index clip = block / Index(a.slices);
  const int groups = a.groups, gains = a.frames * groups;
  const auto* offset = static_cast<const Sum*>(a.offset) + clip * groups;
  const auto* gain = static_cast<const Sum*>(a.gain) + clip * gains;
  const bool staged = groups + gains <= STEERING;
  THREADS(t) {
    if (staged) {
      for (int i = t; i < groups; i += BLOCK) put(steering + i, load(offset + i));
      for (int i = t; i < gains; i += BLOCK) put(steering + groups + i, load(gain + i));
    }
  }
  SYNC();
  THREADS(t) {
    const Index rows = Index(a.rows), moving = Index(a.moving);
    const Index i = (block - clip * Index(a.slices)) * BLOCK + t;
    if (i < rows * moving) {
      const Index row = i / moving, within = i - row * moving;
      const int group = int(within / Index(a.run));
      const Index source_frame = rows * Index(a.source_pitch), target_frame = rows * Index(a.target_pitch);
      const Index saved_frame = rows * Index(a.saved_pitch), start = clip * a.frames;
      Column<Item, Sum, Index> column = {source + start * source_frame + row * Index(a.source_pitch) + within,
                                         target + start * target_frame + row * Index(a.target_pitch) + within,
                                         nullptr,
                                         source_frame,
                                         target_frame,
                                         saved_frame,
                                         {staged ? steering + groups + group : gain + group, groups, staged}};
      if (a.saved != nullptr) {
        column.keep = static_cast<Item*>(a.saved) + start * saved_frame + row * Index(a.saved_pitch) + within;
      }
      const Sum by = staged ? get(steering + group) : load(offset + group);
      const bool transposed = a.transposed != 0;
      walk(column, a.frames, gather_of(split(by, a.frames), a.frames, transposed), transposed);
    }
  }
}

// fold_restore_: the rest stays, the fold is copied back.
template <typename Value, int LANES, typename Index>
TINKIT_DEVICE void restore(const Arguments& a) {
  using Item = Pack<Value, LANES>;
  THREADS(t) {
    pass_rest(a, static_cast<const Item*>(a.source), static_cast<Item*>(a.target),
              Index(block_index()) * (CHUNK * BLOCK), t);
  }
}

}  // namespace tinkit
