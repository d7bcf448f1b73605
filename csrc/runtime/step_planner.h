#pragma once

#include <cstddef>
#include <span>
#include <vector>

namespace engine::runtime {

// What the planner knows of a sequence.
struct StepCandidate {
  bool prefilling;
  std::size_t waiting;  // tokens without keys and values
};

// Tokens of each candidate to compute in the next step, 0 for one that has to wait. Every decoding sequence gets its
// one token, the earliest first, up to `decode_rows`; of the prompts, the earliest candidates share at most
// `prefill_chunk` tokens.
std::vector<std::size_t> plan_step(std::span<const StepCandidate> candidates, std::size_t decode_rows,
                                   std::size_t prefill_chunk);

}  // namespace engine::runtime
