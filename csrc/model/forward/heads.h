#pragma once

#include <cstddef>
#include <vector>

#include "model/forward/worker.h"

namespace engine::model {

// The query, key or value heads of a layer: a projection and its place among all heads of a row.
class Heads {
 public:
  // heads = query, key and value projections of the input, normalized and rotated; keys and values go to the cache.
  static void project(Worker& worker, const Layer& layer, std::size_t index);

 private:
  enum class Kind { Query, Key, Value };

  Heads(Worker& worker, Kind kind, const Layer& layer, std::size_t index);

  // Projections of this member's heads, finished, in steps of whole heads and groups; `begin` is that of the first
  // step.
  void project_whole_heads(Range mine, std::size_t begin) const;
  std::size_t steps() const;
  void multiply(Range groups) const;
  // Heads [range) of a row: normalizes and rotates queries and keys, stores keys and values.
  void finish(Range range, std::size_t row) const;
  void normalize(Range range, float* first) const;
  void rotate(Range range, const Step::Row& row, float* first) const;

  Worker& worker_;
  Kind kind_;
  std::size_t layer_;
  const Projection* projection_;
  const Norm* norm_;  // for queries and keys; empty where there is none
  std::size_t first_;
  std::size_t count_;
};

}  // namespace engine::model
