#include "runtime/speculation/draft_planner.h"

#include <algorithm>
#include <numeric>

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
  return chance * step.time(row_cost) > row_cost * step.tokens;
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

double guess_time(const DraftRoundCandidate& candidate, bool first_of_round) {
  // Its row among others of the draft model's step, and its row of the step that judges it.
  return candidate.draft_cost * (first_of_round ? 1.0 : candidate.row_cost) + candidate.row_cost;
}

std::vector<bool> plan_draft_round(std::span<const DraftRoundCandidate> candidates, const StepRows& step) {
  std::vector<bool> chosen(candidates.size(), false);
  std::vector<std::size_t> likeliest(candidates.size());
  std::iota(likeliest.begin(), likeliest.end(), 0);
  std::ranges::stable_sort(likeliest, std::ranges::greater(), [&](std::size_t i) { return candidates[i].chance; });
  likeliest.resize(std::min(likeliest.size(), step.free_rows));
  if (likeliest.empty()) return chosen;
  double tokens = step.tokens;
  double time = step.time(candidates[likeliest.front()].row_cost);
  double best = tokens / time;
  std::size_t best_count = 0;
  for (std::size_t count = 1; count <= likeliest.size(); ++count) {
    const DraftRoundCandidate& candidate = candidates[likeliest[count - 1]];
    tokens += candidate.chance;
    time += guess_time(candidate, count == 1);
    if (tokens / time <= best) continue;
    best = tokens / time;
    best_count = count;
  }
  for (std::size_t i = 0; i < best_count; ++i) chosen[likeliest[i]] = true;
  return chosen;
}

}  // namespace engine::runtime
