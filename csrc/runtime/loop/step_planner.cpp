#include "runtime/loop/step_planner.h"

#include <algorithm>
#include <utility>

namespace engine::runtime {

std::vector<std::size_t> plan_step(std::span<const StepCandidate> candidates, std::size_t decode_rows,
                                   std::size_t prefill_chunk) {
  std::vector<std::size_t> tokens(candidates.size(), 0);
  std::vector<std::size_t> prompts;
  std::size_t prefill_left = prefill_chunk;
  bool decodes = false;
  for (std::size_t i = 0; i < candidates.size(); ++i) {
    const StepCandidate& candidate = candidates[i];
    if (candidate.paused) continue;
    if (candidate.prefilling) {
      prompts.push_back(i);
      continue;
    }
    tokens[i] = std::min(decode_rows, candidate.waiting);
    decode_rows -= tokens[i];
    if (tokens[i] == 0) continue;
    decodes = true;
    prefill_left = std::min(prefill_left, candidate.prefill_beside_decode);
  }
  std::ranges::sort(prompts, {}, [&](std::size_t i) { return std::pair(candidates[i].prefill_rank, i); });
  for (const std::size_t i : prompts) {
    tokens[i] = std::min(prefill_left, candidates[i].waiting);
    if (decodes) tokens[i] = std::min(tokens[i], candidates[i].prefill_share);
    prefill_left -= tokens[i];
  }
  return tokens;
}

}  // namespace engine::runtime
