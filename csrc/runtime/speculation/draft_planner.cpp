#include "runtime/speculation/draft_planner.h"

#include <algorithm>

namespace engine::runtime {
namespace {

// One candidate, as the step grows.
struct Offer {
  const DraftCandidate* candidate;
  std::size_t taken = 0;
  bool open = true;

  double chance() const { return open && taken < candidate->chances.size() ? candidate->chances[taken] : 0.0; }
};

}  // namespace

bool is_worth_a_row(double chance, double row_cost, const StepRows& step) {
  return chance * (1.0 + row_cost * (step.rows - 1.0)) > row_cost * step.tokens;
}

std::vector<std::size_t> plan_drafts(std::span<const DraftCandidate> candidates, StepRows step) {
  std::vector<Offer> offers;
  offers.reserve(candidates.size());
  for (const DraftCandidate& candidate : candidates) offers.push_back({.candidate = &candidate});
  while (step.free_rows > 0) {
    const auto best = std::ranges::max_element(offers, {}, &Offer::chance);  // the first of equals
    if (best == offers.end() || best->chance() == 0.0) break;
    if (!is_worth_a_row(best->chance(), best->candidate->row_cost, step)) {
      best->open = false;
      continue;
    }
    step.tokens += best->chance();
    step.rows += 1.0;
    --step.free_rows;
    ++best->taken;
  }
  std::vector<std::size_t> taken;
  taken.reserve(offers.size());
  for (const Offer& offer : offers) taken.push_back(offer.taken);
  return taken;
}

}  // namespace engine::runtime
