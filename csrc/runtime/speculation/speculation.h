#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "model/model.h"
#include "runtime/speculation/acceptance.h"
#include "runtime/speculation/drafter.h"
#include "runtime/speculation/trials.h"

namespace engine::runtime {

// A second model of the same vocabulary, whose likeliest tokens are the guesses.
struct DraftModel {
  std::shared_ptr<const model::Model> model;
  double cost = 0.0;  // of a step of it with one row, as a part of such a step of the sequence's own model
};

struct SpeculationOptions {
  std::size_t max_rows = 1;  // of the sequence in a step: the last token's and those of drafted ones
  double row_cost = 0.0;     // see DraftCandidate; with 0 every guess is worth its row
  std::shared_ptr<const Drafter> drafter = nullptr;      // a copy of it guesses in place of lookup
  std::optional<DraftModel> draft_model = std::nullopt;  // guesses in place of both
};

// What is guessed of one sequence's next tokens, which of it a step computes ahead of time, and what came of it.
class Speculation {
 public:
  // Throws std::bad_alloc.
  Speculation(const SpeculationOptions& options, std::size_t context_length);
  Speculation(const Speculation& other);
  Speculation(Speculation&&) = default;
  Speculation& operator=(Speculation&&) = default;
  Speculation& operator=(const Speculation&) = delete;
  ~Speculation() = default;

  std::size_t max_rows() const { return max_rows_; }
  double row_cost() const { return row_cost_; }
  // The chance that a guess of this kind is right.
  double chance(std::size_t kind) const { return acceptance_.chance(kind); }

  // Begins a step behind `tokens`: at most `most` guesses, none in the draft yet. `forced`: what a grammar asks for
  // next. A draft model's guesses are to follow. Throws std::bad_alloc.
  void begin_step(std::span<const std::int32_t> tokens, std::span<const std::int32_t> forced, std::size_t most);
  std::span<const Guess> guesses() const { return guesses_; }
  // Whether a draft model may guess one more token in this step, and the chance that it, with all before it, is right.
  bool open() const { return guesses_.size() < most_; }
  double next_chance() const;
  // A draft model's guess of what follows the others: of which it is sure to that part. Throws std::bad_alloc.
  void append(std::int32_t token, double sure);
  // See DraftCandidate.
  std::vector<double> chances() const;
  // Makes the first `count` guesses the draft: rows of the step.
  void take(std::size_t count) { draft_size_ = count; }
  std::span<const Guess> draft() const { return std::span(guesses_).first(draft_size_); }
  // Behind each draw of the step: whether the token drawn is the one drafted in its place, so that the row behind it is
  // that of the text.
  bool follow(std::int32_t token);

  // In all steps, of those that drew something.
  std::size_t drafted_tokens() const { return drafted_tokens_; }
  std::size_t accepted_tokens() const { return accepted_tokens_; }

 private:
  void judge(std::size_t kind, bool right);

  std::size_t max_rows_;
  double row_cost_;
  std::unique_ptr<Drafter> drafter_;  // nullptr where a draft model guesses
  Acceptance acceptance_;
  Trials trials_;  // of a draft model
  std::vector<Guess> guesses_;
  std::size_t most_ = 0;    // guesses in the present step
  std::size_t behind_ = 0;  // the tokens behind which it began
  std::size_t draft_size_ = 0;
  std::size_t drawn_ = 0;  // in the present step
  std::size_t drafted_tokens_ = 0;
  std::size_t accepted_tokens_ = 0;
};

}  // namespace engine::runtime
