#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/thread_team.h"
#include "model/load/hyper_parameters.h"

namespace engine::kernels {
struct KernelTable;
}

namespace engine::model {

// Which experts compute which rows of a step. A row's choice depends on its own scores alone.
class ExpertRouting {
 public:
  struct Choice {
    std::size_t expert;
    float weight;
    std::size_t place;  // among all choices, those of an expert side by side
  };

  ExpertRouting(const ExpertShape& shape, std::size_t max_rows);

  // Chooses one row's experts by their scores [count], to which `bias` [count, or empty] is added for that: the largest
  // first, and the lower index first among equals. Several threads may call it, for different rows.
  void choose(std::size_t row, const float* scores, std::span<const float> bias, const kernels::KernelTable& kernels);
  // Gives the choices of rows [0, rows) their places. Call once all have been made.
  void place(std::size_t rows);

  std::span<const Choice> choices(std::size_t row) const { return {choices_.data() + row * shape_.used, shape_.used}; }
  std::size_t places() const { return begins_.back(); }
  // The row whose choice is at a place.
  std::size_t row_at(std::size_t place) const { return rows_[place]; }
  // The places of an expert, rows in ascending order.
  Range places_of(std::size_t expert) const { return {begins_[expert], begins_[expert + 1]}; }

 private:
  // Takes the rating from experts outside the best groups.
  void keep_best_groups(std::span<float> ratings) const;
  // Turns the scores of those that one row uses into their weights.
  void weigh(std::span<Choice> own, const kernels::KernelTable& kernels) const;

  const ExpertShape& shape_;
  std::vector<Choice> choices_;      // [rows, used]
  std::vector<std::size_t> rows_;    // [rows * used]
  std::vector<std::size_t> begins_;  // [count + 1]
  std::vector<float> ratings_;       // [rows, count] where a choice is not by the scores themselves
  std::vector<std::size_t> next_;    // [count] while places are given: the next one of each expert
};

}  // namespace engine::model
