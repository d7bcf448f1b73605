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
// one token; of the prompts, the earliest candidates share at most `prefill_chunk` tokens.
std::vector<std::size_t> plan_step(std::span<const StepCandidate> candidates, std::size_t prefill_chunk);

}  // namespace engine::runtime
