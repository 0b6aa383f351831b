// The arguments of a launch: one structure for all kernels, which tinkit/ops/cuda_kernels.py packs.
//
// A frame is seen as `rows` rows: one for a contiguous tensor, a row a pixel for a channels_last one. Of a row the
// first `moving` packs are the fold, in groups of `run`; `rest` more do not move. Rows lie a `pitch` apart, frames
// `rows` of them. All lengths and pitches count packs (`Pack` in device.h), but those of fold_mean's `area` and `fold`,
// which count values.
#pragma once

namespace tinkit {

enum Rest { LEAVE = 0, COPY = 1, CLEAR = 2 };  // what becomes of the channels that do not move

struct Arguments {
  const void* source;    // what is gathered from, copied or averaged; in the backward pass the output's gradient
  const void* features;  // backward: the operator's input
  const void* offset;    // (clips, groups)
  const void* gain;      // (clips, frames, groups)
  void* target;
  void* saved;             // move: where what was in `source` is kept, or null
  void* partial;           // sums of a block, added up by a second kernel
  void* grad_offset;       // (clips, groups)
  void* grad_gain;         // (clips, frames, groups)
  const void* weights[8];  // steer: those of Steering in tinkit/ops/steer.py, in its order
  long long rows, moving, run, rest;
  long long source_pitch, features_pitch, target_pitch, saved_pitch;
  long long blocks;  // that move, or that sum: those that follow copy the rest
  long long slices;  // blocks that share a clip (move), a group (backward) or a frame (fold_mean)
  long long area, fold;
  int clips, frames, groups;  // fold_mean: `clips` counts the frames of all clips
  int transposed;
  int rest_mode;
  int team;  // fold_mean: threads that share a channel (planes), packs side by side in a block (pixels)
};

}  // namespace tinkit
