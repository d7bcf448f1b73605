#include "model/load/architectures/parts.h"

namespace engine::model {

// GLM-4.5 and 4.6: experts behind a few dense layers, chosen by the sigmoid and a bias, beside one that all rows share.
const Architecture kGlm4Moe{
    .name = "glm4moe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          constexpr std::size_t kSigmoid = 2;
          describe_routed_experts(keys, h, kSigmoid);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.head_norm = HeadNorm::IfPresent;
          h.feed_forward_norm = "post_attention_norm";
        },
};

}  // namespace engine::model
