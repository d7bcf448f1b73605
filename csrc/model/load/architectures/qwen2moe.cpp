#include "model/load/architectures/parts.h"

namespace engine::model {

// Qwen1.5-MoE and Qwen2-MoE: beside the experts that a row uses there is one that all use, each as much as it says.
const Architecture kQwen2Moe{
    .name = "qwen2moe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          h.rope_layout = kernels::RopeLayout::Halves;
          describe_experts(keys, h, expert_feed_forward(keys));
          const std::size_t shared = keys.size_or_none("expert_shared_feed_forward_length");
          h.experts.shared = shared != 0 ? shared : keys.size("feed_forward_length");
          h.experts.shares = true;
        },
};

}  // namespace engine::model
