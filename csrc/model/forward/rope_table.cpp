#include "model/forward/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "base/logarithm.h"

namespace engine::model {
namespace {

// The pair, as a real number, that turns so often within the original context.
double pair_that_turns(double times, double dimensions, const Rope& rope) {
  const double context = static_cast<double>(rope.original_context);
  return dimensions * natural_logarithm(context / (times * 2.0 * std::numbers::pi)) /
         (2.0 * natural_logarithm(rope.base));
}

// How much of a pair's angle stays unscaled: 1 for pairs that turn often, 0 for those that turn seldom.
double unscaled_share(std::size_t pair, double dimensions, const Rope& rope) {
  const double first = std::max(0.0, std::floor(pair_that_turns(rope.fast, dimensions, rope)));
  const double last = std::min(dimensions - 1.0, std::ceil(pair_that_turns(rope.slow, dimensions, rope)));
  return 1.0 - std::clamp((static_cast<double>(pair) - first) / std::max(0.001, last - first), 0.0, 1.0);
}

}  // namespace

RopeTable::RopeTable(std::size_t dimensions, const Rope& rope, std::span<const float> factors)
    : magnitude_(rope.magnitude) {
  for (std::size_t i = 0; i < dimensions / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(dimensions);
    const double unscaled = rope.yarn ? unscaled_share(i, static_cast<double>(dimensions), rope) : 0.0;
    const double factor = factors.empty() ? 1.0 : factors[i];
    frequencies_.push_back(std::pow(rope.base, exponent) * (rope.scale * (1.0 - unscaled) + unscaled) / factor);
  }
}

void RopeTable::extend(std::size_t count) {
  const std::size_t pairs = frequencies_.size();
  while (blocks_.size() * kBlock < count) blocks_.emplace_back(kBlock * 2 * pairs);
  for (; known_ < count; ++known_) {
    float* cosines = blocks_[known_ / kBlock].data() + known_ % kBlock * 2 * pairs;
    for (std::size_t i = 0; i < pairs; ++i) {
      const double angle = static_cast<double>(known_) * frequencies_[i];
      cosines[i] = static_cast<float>(std::cos(angle) * magnitude_);
      cosines[pairs + i] = static_cast<float>(std::sin(angle) * magnitude_);
    }
  }
}

}  // namespace engine::model
