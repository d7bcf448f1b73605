#pragma once

#include <cstdint>
#include <span>

#include "runtime/sampling/candidates.h"
#include "runtime/sampling/sampling_options.h"

// Samplers that change logits. docs/sampling.md has their formulas. `history` is the sequence so far, oldest first.
namespace engine::runtime {

void add_bias(Candidates& candidates, const SamplingOptions& options);

void penalize_repeats(Candidates& candidates, std::span<const std::int32_t> history, const SamplingOptions& options);
void penalize_presence(Candidates& candidates, std::span<const std::int32_t> history, const SamplingOptions& options);
void penalize_frequency(Candidates& candidates, std::span<const std::int32_t> history, const SamplingOptions& options);

// "Don't repeat yourself": penalizes the tokens that would make what was written last a longer repetition of what was
// written before.
void penalize_repetitions(Candidates& candidates, std::span<const std::int32_t> history,
                          const SamplingOptions& options);

}  // namespace engine::runtime
