#include "runtime/speculation/speculation.h"

#include <algorithm>
#include <array>

#include "runtime/speculation/lookup.h"

namespace engine::runtime {
namespace {

std::unique_ptr<Drafter> drafter_of(const SpeculationOptions& options, std::size_t context_length) {
  if (options.draft_model) return nullptr;
  if (options.drafter) return options.drafter->copy();
  return std::make_unique<Lookup>(context_length);
}

// The kind of a draft model's guess that it is sure of to this part; see drafter.h.
std::size_t drafted_kind(double sure) {
  constexpr std::array<double, kGuessKinds - kDraftedKind - 2> kBounds{0.5, 0.8, 0.95};
  const auto bound = std::ranges::find_if(kBounds, [&](double most) { return sure <= most; });
  return kDraftedKind + 1 + static_cast<std::size_t>(bound - kBounds.begin());
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
      drafter_(other.drafter_ ? other.drafter_->copy() : nullptr),
      acceptance_(other.acceptance_),
      trials_(other.trials_),
      guesses_(other.guesses_),
      most_(other.most_),
      behind_(other.behind_),
      draft_size_(other.draft_size_),
      drawn_(other.drawn_),
      drafted_tokens_(other.drafted_tokens_),
      accepted_tokens_(other.accepted_tokens_) {}

void Speculation::begin_step(std::span<const std::int32_t> tokens, std::span<const std::int32_t> forced,
                             std::size_t most) {
  draft_size_ = 0;
  drawn_ = 0;
  most_ = most;
  behind_ = tokens.size();
  guesses_.clear();
  if (drafter_) drafter_->guess(tokens, most, guesses_);
  forced = forced.first(std::min(forced.size(), most));
  if (!begin_with(guesses_, forced)) guesses_.assign(forced.size(), {});
  for (std::size_t i = 0; i < forced.size(); ++i) guesses_[i] = {forced[i], kForcedKind};
}

double Speculation::next_chance() const {
  const std::vector<double> before = chances();
  const double counted = acceptance_.chance(kDraftedKind);
  const bool first = std::ranges::none_of(guesses_, [](const Guess& guess) { return guess.kind > kDraftedKind; });
  const double next = first ? trials_.chance(counted, Acceptance::supposed(kDraftedKind), behind_) : counted;
  return before.empty() ? next : before.back() * next;
}

void Speculation::append(std::int32_t token, double sure) { guesses_.push_back({token, drafted_kind(sure)}); }

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
  judge(guesses_[place].kind, right);  // whether it was drafted or not: it costs nothing to know
  const bool accepted = right && place < draft_size_;
  accepted_tokens_ += accepted ? 1 : 0;
  return accepted;
}

void Speculation::judge(std::size_t kind, bool right) {
  if (kind > kDraftedKind) {
    trials_.note(acceptance_.chance(kDraftedKind), Acceptance::supposed(kDraftedKind), behind_, right);
    acceptance_.note(kDraftedKind, right);
  }
  acceptance_.note(kind, right);
}

}  // namespace engine::runtime
