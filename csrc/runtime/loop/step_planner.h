#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

namespace engine::runtime {

// What the planner knows of a sequence.
struct StepCandidate {
  bool prefilling;
  bool paused;
  std::size_t waiting;                // tokens without keys and values
  std::int64_t prefill_rank;          // the prompt of the lowest rank goes first
  std::size_t prefill_share;          // most tokens of this prompt in a step in which any sequence decodes
  std::size_t prefill_beside_decode;  // most prompt tokens in a step in which this sequence decodes
};

// Tokens of each candidate to compute in the next step, 0 for one that has to wait or is paused. Every other decoding
// sequence gets its one token, the earliest first, up to `decode_rows`. The prompts share at most `prefill_chunk`
// tokens, and no more than any sequence that decodes in this step allows: those of the lowest rank first, the earliest
// of equals, each with no more than its share while any sequence decodes.
std::vector<std::size_t> plan_step(std::span<const StepCandidate> candidates, std::size_t decode_rows,
                                   std::size_t prefill_chunk);

}  // namespace engine::runtime
