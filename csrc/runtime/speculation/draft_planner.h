#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace engine::runtime {

// What the planner knows of a sequence that has guesses.
struct DraftCandidate {
  std::vector<double> chances;  // that the first guesses are right, by how many, from one on
  double row_cost;              // what another row adds to a step, as a part of a step with one row
};

// The rows of a step so far.
struct StepRows {
  double rows;            // of all kinds
  double tokens;          // that they promise
  std::size_t free_rows;  // that may be added
};

// Whether a guess is worth a row of its own beside those: the tokens that it promises are more for its cost than all
// tokens of the step are for the step's. With every row that is there already fewer are.
//   chance / row_cost > tokens / (1 + row_cost * (rows - 1))
bool is_worth_a_row(double chance, double row_cost, const StepRows& step);

// How many guesses of each candidate the step computes beside its rows: always the likeliest that is left, while it is
// worth one.
std::vector<std::size_t> plan_drafts(std::span<const DraftCandidate> candidates, StepRows step);

}  // namespace engine::runtime
