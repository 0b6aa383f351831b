// The kernels by name, one set for each way of access: what features are stored in, how many of them an access moves,
// and whether 32 bits count them. NVRTC is told one way (TINKIT_VALUE, TINKIT_LANES, TINKIT_INDEX); without it, all are
// built.
#include "backward.h"
#include "mean.h"
#include "move.h"
#include "steer.h"

namespace tinkit {
using Float = float;
using Double = double;
using Narrow32 = int;
using Wide64 = long long;
}  // namespace tinkit

#define TINKIT_KERNELS(VALUE, LANES, INDEX) TINKIT_NAMED(VALUE, LANES, INDEX)
#define TINKIT_NAMED(VALUE, LANES, INDEX)                                                                    \
  ENTRY(move_##VALUE##_##LANES##_##INDEX, (tinkit::move<tinkit::VALUE, LANES, tinkit::INDEX>))               \
  ENTRY(restore_##VALUE##_##LANES##_##INDEX, (tinkit::restore<tinkit::VALUE, LANES, tinkit::INDEX>))         \
  ENTRY(backward_##VALUE##_##LANES##_##INDEX, (tinkit::backward<tinkit::VALUE, LANES, tinkit::INDEX>))       \
  ENTRY(finish_##VALUE##_##LANES##_##INDEX, (tinkit::finish<tinkit::VALUE, tinkit::INDEX>))                  \
  ENTRY(mean_planes_##VALUE##_##LANES##_##INDEX, (tinkit::mean_planes<tinkit::VALUE, LANES, tinkit::INDEX>)) \
  ENTRY(mean_pixels_##VALUE##_##LANES##_##INDEX, (tinkit::mean_pixels<tinkit::VALUE, LANES, tinkit::INDEX>)) \
  ENTRY(mean_finish_##VALUE##_##LANES##_##INDEX, (tinkit::mean_finish<tinkit::VALUE, tinkit::INDEX>))        \
  ENTRY(steer_##VALUE##_##LANES##_##INDEX, (tinkit::steer<tinkit::VALUE>))

#if defined(TINKIT_VALUE)
TINKIT_KERNELS(TINKIT_VALUE, TINKIT_LANES, TINKIT_INDEX)
#else
#define TINKIT_BOTH(VALUE, LANES)        \
  TINKIT_KERNELS(VALUE, LANES, Narrow32) \
  TINKIT_KERNELS(VALUE, LANES, Wide64)
TINKIT_BOTH(Float, 4)
TINKIT_BOTH(Float, 1)
TINKIT_BOTH(Double, 2)
TINKIT_BOTH(Double, 1)
TINKIT_BOTH(Half, 8)
TINKIT_BOTH(Half, 4)
TINKIT_BOTH(Half, 1)
TINKIT_BOTH(Bfloat16, 8)
TINKIT_BOTH(Bfloat16, 4)
TINKIT_BOTH(Bfloat16, 1)
#endif
