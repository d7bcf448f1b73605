#pragma once

#include <cstdint>
#include <span>

#include "runtime/sampling/candidates.h"
#include "runtime/sampling/mirostat.h"
#include "runtime/sampling/sampling_options.h"

namespace engine::runtime {

// Draws tokens: all of the vocabulary are candidates, each sampler changes or drops some, and one of the rest is drawn.
// Keeps scratch memory between calls; what it draws depends on its arguments alone.
class Sampler {
 public:
  // `allowed` has a bit for each token that may be drawn, as for is_allowed(), and is empty where all may. `history` is
  // the sequence so far, `position` that of the token to be drawn, `mirostat` the sequence's own. Every logit is finite
  // or minus infinity.
  std::int32_t sample(std::span<const float> logits, std::span<const std::uint32_t> allowed,
                      std::span<const std::int32_t> history, std::uint64_t position, const SamplingOptions& options,
                      Mirostat& mirostat);

 private:
  void apply(SamplerKind kind, std::span<const std::int32_t> history, std::uint64_t position,
             const SamplingOptions& options, Mirostat& mirostat);
  const Candidate& draw(std::uint64_t position, const SamplingOptions& options);

  Candidates candidates_;
};

}  // namespace engine::runtime
