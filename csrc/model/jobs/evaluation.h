#pragma once

#include <cstdint>
#include <vector>

#include "kernels/attention/kv_block.h"
#include "model/model.h"

namespace engine::model {

struct EvaluationOptions {
  unsigned threads;
  std::size_t prefill_chunk;  // tokens of each prompt in one step
  bool last_only;             // logits of the last position alone
  kernels::KvType kv_type;
};

// The logits of every prompt, [positions, vocabulary], all prompts together in each step.
// Throws std::invalid_argument (an empty prompt, an unknown token, no threads, no chunk, a KV
// type that does not fit the heads), std::bad_alloc.
std::vector<std::vector<float>> evaluate(const Model& model, const std::vector<std::vector<std::int32_t>>& prompts,
                                         const EvaluationOptions& options);

}  // namespace engine::model
