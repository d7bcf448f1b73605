#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "runtime/sampling/candidates.h"

namespace engine::runtime {

struct LogProbability {
  std::int32_t token;
  double value;  // natural logarithm
};

// Log probabilities of the token drawn and of the likeliest, which it may be one of.
struct TokenLogProbabilities {
  double drawn;
  std::vector<LogProbability> likeliest;  // in order, of equals the lower token id first
};

// Log probabilities by a model's own logits, all finite, before any sampler: logit - largest - ln(sum of exp(logit -
// largest)).
TokenLogProbabilities log_probabilities(const kernels::KernelTable& kernels, std::span<const float> logits,
                                        std::int32_t drawn, std::int32_t largest, std::size_t count,
                                        Candidates& scratch);

}  // namespace engine::runtime
