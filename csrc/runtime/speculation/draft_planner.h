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
  double drafting = 0.0;  // time that draft models have taken for it, as a part of a step with one row

  // That of all, likewise.
  double time(double row_cost) const { return 1.0 + row_cost * (rows - 1.0) + drafting; }
};

// Whether a guess is worth a row of its own beside those: the tokens that it promises are more for its cost than all
// tokens of the step are for the step's. With every row that is there already fewer are.
//   chance / row_cost > tokens / time
bool is_worth_a_row(double chance, double row_cost, const StepRows& step);

// How many guesses of each candidate the step computes beside its rows: always the likeliest that is left, while it is
// worth one.
std::vector<std::size_t> plan_drafts(std::span<const DraftCandidate> candidates, StepRows step);

// What the planner knows of a sequence of which a draft model may guess one more token.
struct DraftRoundCandidate {
  double chance;    // that the guess will be right
  double row_cost;  // see DraftCandidate
  double
      draft_cost;  // what a step of the draft model with one row takes, as a part of such a step of the sequence's own
};

// The time that one more guess takes.
double guess_time(const DraftRoundCandidate& candidate, bool first_of_round);

// Which candidates a draft model guesses one more token of, all in one step of its own: those likeliest to be right
// that let the step promise the most tokens for its time, and none where that is not more than it promises already.
std::vector<bool> plan_draft_round(std::span<const DraftRoundCandidate> candidates, const StepRows& step);

}  // namespace engine::runtime
