#include "model/load/architectures/parts.h"

namespace engine::model {

// GLM-4.5 and 4.6: experts behind a few dense layers, chosen by the sigmoid and a bias, beside one that all rows share.
const Architecture kGlm4Moe{
    .name = "glm4moe",
    .guesses_ahead = true,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_routed_experts(keys, h, kSigmoidRouting);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.head_norm = HeadNorm::IfPresent;
          h.feed_forward_norm = "post_attention_norm";
        },
};

}  // namespace engine::model
