#include "model/load/architectures/parts.h"

namespace engine::model {

// Qwen3 with experts.
const Architecture kQwen3Moe{
    .name = "qwen3moe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          h.rope_layout = kernels::RopeLayout::Halves;
          h.head_norm = HeadNorm::PerHead;
          describe_experts(keys, h, expert_feed_forward(keys));
          h.experts.normalized = true;
        },
};

}  // namespace engine::model
