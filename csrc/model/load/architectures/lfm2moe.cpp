#include "model/load/architectures/parts.h"

namespace engine::model {

// LFM2-MoE: experts, chosen by sigmoid and a bias, behind layers that have none.
const Architecture kLfm2Moe{
    .name = "lfm2moe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          constexpr std::size_t kSigmoid = 2;
          describe_short_convolutions(keys, h);
          describe_routed_experts(keys, h, kSigmoid);
          h.experts.normalized = true;
        },
};

}  // namespace engine::model
