#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace engine::model {

// Cosines and sines of the rotary embedding for positions 0, 1, …; computed in double and rounded once.
// angle(position, i) = position * base^(-2i / dimensions) / factor[i]
class RopeTable {
 public:
  RopeTable(std::size_t dimensions, double base, std::span<const float> factors);

  // Makes positions [0, count) available. Not to be called while others read.
  void extend(std::size_t count);

  const float* cosines(std::size_t position) const { return cosines_.data() + position * frequencies_.size(); }
  const float* sines(std::size_t position) const { return sines_.data() + position * frequencies_.size(); }

 private:
  std::vector<double> frequencies_;  // [dimensions / 2]
  std::vector<float> cosines_;       // [positions, dimensions / 2]
  std::vector<float> sines_;         // [positions, dimensions / 2]
};

}  // namespace engine::model
