#include "model/load/architectures/parts.h"

namespace engine::model {

// Llama 1 to 3.x, Mistral 7B, SmolLM2, TinyLlama, Yi; with experts Mixtral. Mistral's window is not applied: its models
// were made to be run without one.
const Architecture kLlama{
    .name = "llama",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_rope_factors(keys, h);
          if (keys.size_or_none("expert_count") == 0) {
            describe_feed_forward(keys, h);
          } else {
            describe_experts(keys, h, keys.size("feed_forward_length"));
            h.experts.normalized = true;
          }
        },
};

}  // namespace engine::model
