#include "runtime/speculation/acceptance.h"

namespace engine::runtime {
namespace {

// The prior of each kind: before any guess was judged, as if kSupposed had been, of which this part was right.
constexpr double kSupposed = 2.0;
constexpr std::array<double, kGuessKinds> kSupposedRight{0.3, 0.3, 0.45, 0.6,  0.8,  0.9,
                                                         0.9, 0.9, 0.35, 0.65, 0.85, 0.96};
// Both counts are halved at so many, so that what came last counts most.
constexpr std::uint32_t kRemembered = 32;

}  // namespace

double Acceptance::chance(std::size_t kind) const {
  const Count& count = counts_[kind];
  return (count.right + kSupposed * kSupposedRight[kind]) / (count.judged + kSupposed);
}

double Acceptance::supposed(std::size_t kind) { return kSupposedRight[kind]; }

void Acceptance::note(std::size_t kind, bool right) {
  Count& count = counts_[kind];
  ++count.judged;
  count.right += right ? 1 : 0;
  if (count.judged < kRemembered) return;
  count.judged /= 2;
  count.right /= 2;
}

}  // namespace engine::runtime
