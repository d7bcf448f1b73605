#include "runtime/step_planner.h"

#include <algorithm>

namespace engine::runtime {

std::vector<std::size_t> plan_step(std::span<const StepCandidate> candidates, std::size_t decode_rows,
                                   std::size_t prefill_chunk) {
  std::vector<std::size_t> tokens;
  tokens.reserve(candidates.size());
  for (const StepCandidate& candidate : candidates) {
    std::size_t& left = candidate.prefilling ? prefill_chunk : decode_rows;
    const std::size_t share = std::min(left, candidate.waiting);
    left -= share;
    tokens.push_back(share);
  }
  return tokens;
}

}  // namespace engine::runtime
