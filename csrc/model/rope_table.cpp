#include "model/rope_table.h"

#include <cmath>

namespace engine::model {

RopeTable::RopeTable(std::size_t dimensions, double base, std::span<const float> factors) {
  for (std::size_t i = 0; i < dimensions / 2; ++i) {
    const double exponent = -2.0 * static_cast<double>(i) / static_cast<double>(dimensions);
    const double factor = factors.empty() ? 1.0 : factors[i];
    frequencies_.push_back(std::pow(base, exponent) / factor);
  }
}

void RopeTable::extend(std::size_t count) {
  const std::size_t known = cosines_.size() / frequencies_.size();
  for (std::size_t position = known; position < count; ++position) {
    for (const double frequency : frequencies_) {
      const double angle = static_cast<double>(position) * frequency;
      cosines_.push_back(static_cast<float>(std::cos(angle)));
      sines_.push_back(static_cast<float>(std::sin(angle)));
    }
  }
}

}  // namespace engine::model
