#include "model/load/architectures/parts.h"

namespace engine::model {

// OLMoE: experts whose weights are left as they are; queries and keys are normalized across all their heads.
const Architecture kOlmoe{
    .name = "olmoe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          h.rope_layout = kernels::RopeLayout::Halves;
          h.head_norm = HeadNorm::Whole;
          describe_experts(keys, h, keys.size("feed_forward_length"));
        },
};

}  // namespace engine::model
