#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "runtime/sampling/candidates.h"
#include "runtime/sampling/log_probabilities.h"
#include "runtime/sampling/logit_penalties.h"
#include "runtime/sampling/mirostat.h"
#include "runtime/sampling/sampling_options.h"

namespace engine::runtime {

// Draws tokens: all of the vocabulary are candidates, each sampler changes or drops some, and one of the rest is drawn.
// Keeps scratch memory between calls; what it draws depends on its arguments alone, and on no kernel table. Used by one
// thread at a time, in the float environment of inference.
class Sampler {
 public:
  explicit Sampler(const kernels::KernelTable& kernels) : kernels_(&kernels), candidates_(kernels) {}

  // `allowed` has a bit for each token that may be drawn, as for is_allowed(), and is empty where all may. `history` is
  // the sequence so far, `position` that of the token to be drawn, `mirostat` the sequence's own. Logits are finite;
  // `largest` is the largest of all, where it is known.
  std::int32_t sample(std::span<const float> logits, std::span<const std::uint32_t> allowed,
                      std::span<const std::int32_t> history, std::uint64_t position, const SamplingOptions& options,
                      Mirostat& mirostat, std::optional<float> largest = std::nullopt);

  // See runtime::log_probabilities().
  TokenLogProbabilities log_probabilities(std::span<const float> logits, std::int32_t drawn, std::int32_t largest,
                                          std::size_t count) {
    return runtime::log_probabilities(*kernels_, logits, drawn, largest, count, candidates_);
  }

 private:
  void apply(SamplerKind kind, std::uint64_t position, const SamplingOptions& options, Mirostat& mirostat);

  const kernels::KernelTable* kernels_;
  Candidates candidates_;
  LogitPenalties penalties_;
};

}  // namespace engine::runtime
