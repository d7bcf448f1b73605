#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/sampling/candidates.h"
#include "runtime/sampling/sampling_options.h"
#include "runtime/sampling/token_numbers.h"

namespace engine::runtime {

// Samplers that change logits. docs/sampling.md has their formulas. Keeps its memory.
class LogitPenalties {
 public:
  // Begins a draw behind `history`, the sequence so far, oldest first.
  void begin(std::span<const std::int32_t> history, std::size_t vocabulary) {
    history_ = history;
    vocabulary_ = vocabulary;
    counted_ = false;
  }

  void add_bias(Candidates& candidates, const SamplingOptions& options);
  void penalize_repeats(Candidates& candidates, const SamplingOptions& options);
  void penalize_presence(Candidates& candidates, const SamplingOptions& options);
  void penalize_frequency(Candidates& candidates, const SamplingOptions& options);
  // "Don't repeat yourself": penalizes the tokens that would make what was written last a longer repetition of what was
  // written before.
  void penalize_repetitions(Candidates& candidates, const SamplingOptions& options);

 private:
  // How often each recent token is there.
  const TokenNumbers& count_recent(const SamplingOptions& options);
  // For each token that would continue a repetition, the length of the longest that it would.
  void find_continuations(const SamplingOptions& options);
  // For every place in `backwards_`, how many tokens from there on are those that it begins with (the Z algorithm).
  void find_common_beginnings();

  std::span<const std::int32_t> history_;
  std::size_t vocabulary_ = 0;
  bool counted_ = false;
  TokenNumbers counts_;   // where counted_
  TokenNumbers numbers_;  // of the other samplers
  std::vector<std::int32_t> backwards_;
  std::vector<std::int32_t> lengths_;
};

}  // namespace engine::runtime
