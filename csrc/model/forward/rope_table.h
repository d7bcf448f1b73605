#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "model/load/hyper_parameters.h"

namespace engine::model {

// Cosines and sines of the rotary embedding for positions 0, 1, …; computed in double and rounded once.
// angle(position, i) = position * base^(-2i / dimensions) * scale(i) / factor[i], times the rope's magnitude.
// scale(i) is the rope's scale or, for YaRN, between it and 1: the more often a pair turns within the original context,
// the nearer to 1.
class RopeTable {
 public:
  // Positions that take memory together.
  static constexpr std::size_t kBlock = 256;

  RopeTable(std::size_t dimensions, const Rope& rope, std::span<const float> factors);

  static std::size_t position_bytes(std::size_t dimensions) { return dimensions * sizeof(float); }

  // Makes positions [0, count) available. Not to be called while others read.
  void extend(std::size_t count);

  const float* cosines(std::size_t position) const {
    return blocks_[position / kBlock].data() + position % kBlock * 2 * frequencies_.size();
  }
  const float* sines(std::size_t position) const { return cosines(position) + frequencies_.size(); }

 private:
  double magnitude_;
  std::vector<double> frequencies_;         // [dimensions / 2]
  std::size_t known_ = 0;                   // positions
  std::vector<std::vector<float>> blocks_;  // [positions / kBlock][kBlock, cosines and then sines, dimensions / 2]
};

}  // namespace engine::model
