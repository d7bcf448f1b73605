#include "model/load/architectures/parts.h"

namespace engine::model {

// Command R: attention and feed-forward side by side. Command R+ normalizes the heads of queries and keys, each with
// weights of its own.
const Architecture kCommandR{
    .name = "command-r",
    .norm = NormKind::Layer,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          constexpr std::size_t kLayersOfPlus = 64;
          describe_feed_forward(keys, h);
          h.parallel = true;
          h.logit_scale = static_cast<float>(keys.positive_number_or("logit_scale", 1.0));
          if (h.layers >= kLayersOfPlus) h.head_norm = HeadNorm::OwnWeights;
        },
};

}  // namespace engine::model
