#include "runtime/speculation/speculation.h"

#include <algorithm>

#include "runtime/speculation/lookup.h"

namespace engine::runtime {
namespace {

std::unique_ptr<Drafter> drafter_of(const SpeculationOptions& options, std::size_t context_length) {
  if (options.drafter) return options.drafter->copy();
  return std::make_unique<Lookup>(context_length);
}

bool begin_with(std::span<const Guess> guesses, std::span<const std::int32_t> tokens) {
  return guesses.size() >= tokens.size() && std::ranges::equal(guesses.first(tokens.size()), tokens, {}, &Guess::token);
}

}  // namespace

Speculation::Speculation(const SpeculationOptions& options, std::size_t context_length)
    : max_rows_(options.max_rows), row_cost_(options.row_cost), drafter_(drafter_of(options, context_length)) {}

Speculation::Speculation(const Speculation& other)
    : max_rows_(other.max_rows_),
      row_cost_(other.row_cost_),
      drafter_(other.drafter_->copy()),
      acceptance_(other.acceptance_),
      guesses_(other.guesses_),
      draft_size_(other.draft_size_),
      drawn_(other.drawn_),
      drafted_tokens_(other.drafted_tokens_),
      accepted_tokens_(other.accepted_tokens_) {}

void Speculation::begin_step(std::span<const std::int32_t> tokens, std::span<const std::int32_t> forced,
                             std::size_t most) {
  draft_size_ = 0;
  drawn_ = 0;
  guesses_.clear();
  drafter_->guess(tokens, most, guesses_);
  forced = forced.first(std::min(forced.size(), most));
  if (!begin_with(guesses_, forced)) guesses_.assign(forced.size(), {});
  for (std::size_t i = 0; i < forced.size(); ++i) guesses_[i] = {forced[i], kForcedKind};
}

std::vector<double> Speculation::chances() const {
  std::vector<double> chances;
  chances.reserve(guesses_.size());
  double all = 1.0;
  for (const Guess& guess : guesses_) chances.push_back(all *= acceptance_.chance(guess.kind));
  return chances;
}

bool Speculation::follow(std::int32_t token) {
  const std::size_t place = drawn_++;
  if (place == 0) drafted_tokens_ += draft_size_;
  if (place >= guesses_.size()) return false;
  const bool right = guesses_[place].token == token;
  acceptance_.note(guesses_[place].kind, right);  // whether it was drafted or not: it costs nothing to know
  const bool accepted = right && place < draft_size_;
  accepted_tokens_ += accepted ? 1 : 0;
  return accepted;
}

}  // namespace engine::runtime
