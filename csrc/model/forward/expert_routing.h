#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/thread_team.h"
#include "model/load/hyper_parameters.h"

namespace engine::model {

// Which experts compute which rows of a step. A row's choice depends on its own probabilities alone.
class ExpertRouting {
 public:
  struct Choice {
    std::size_t expert;
    float weight;
    std::size_t place;  // among all choices, those of an expert side by side
  };

  ExpertRouting(const ExpertShape& shape, std::size_t max_rows);

  // Chooses one row's experts by their probabilities [count]: the most probable first, and the lower index first among
  // equals. Several threads may call it, for different rows.
  void choose(std::size_t row, const float* probabilities);
  // Gives the choices of rows [0, rows) their places. Call once all have been made.
  void place(std::size_t rows);

  std::span<const Choice> choices(std::size_t row) const { return {choices_.data() + row * shape_.used, shape_.used}; }
  std::size_t places() const { return begins_.back(); }
  // The row whose choice is at a place.
  std::size_t row_at(std::size_t place) const { return rows_[place]; }
  // The places of an expert, rows in ascending order.
  Range places_of(std::size_t expert) const { return {begins_[expert], begins_[expert + 1]}; }

 private:
  const ExpertShape& shape_;
  std::vector<Choice> choices_;      // [rows, used]
  std::vector<std::size_t> rows_;    // [rows * used]
  std::vector<std::size_t> begins_;  // [count + 1]
  std::vector<std::size_t> next_;    // [count] while places are given: the next one of each expert
};

}  // namespace engine::model
