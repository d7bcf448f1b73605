#pragma once

#include <cstdint>

#include "runtime/sampling/candidates.h"
#include "runtime/sampling/sampling_options.h"

// Samplers that drop candidates. docs/sampling.md has their formulas. Probabilities are those among the candidates that
// there are.
namespace engine::runtime {

void keep_top_k(Candidates& candidates, const SamplingOptions& options);
void keep_top_p(Candidates& candidates, const SamplingOptions& options);
void keep_min_p(Candidates& candidates, const SamplingOptions& options);
void keep_typical(Candidates& candidates, const SamplingOptions& options);

// "Exclude top choices", by chance.
void exclude_top_choices(Candidates& candidates, std::uint64_t position, const SamplingOptions& options);

}  // namespace engine::runtime
