#include "model/load/architectures/parts.h"

namespace engine::model {

// LFM2-MoE: experts, chosen by sigmoid and a bias, behind layers that have none.
const Architecture kLfm2Moe{
    .name = "lfm2moe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_short_convolutions(keys, h);
          describe_routed_experts(keys, h, kSigmoidRouting);
          h.experts.normalized = true;
        },
};

}  // namespace engine::model
