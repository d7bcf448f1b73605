#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace engine::model {

struct EvaluationOptions {
  unsigned threads;
  std::size_t prefill_chunk;  // tokens of each prompt in one step
  bool last_only;             // logits of the last position alone
};

// The logits of every prompt, [positions, vocabulary], all prompts together in each step.
// Throws std::invalid_argument (an empty prompt, an unknown token, no threads, no chunk), std::bad_alloc.
std::vector<std::vector<float>> evaluate(const Model& model, const std::vector<std::vector<std::int32_t>>& prompts,
                                         const EvaluationOptions& options);

}  // namespace engine::model
