#include "model/load/architectures/parts.h"

namespace engine::model {

// ERNIE 4.5 with experts behind the first layers, and one that all rows share; biases help to choose them.
const Architecture kErnie45Moe{
    .name = "ernie4_5-moe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_experts(keys, h, keys.size("expert_feed_forward_length"));
          h.experts.biased = true;
          h.experts.normalized = true;
          h.experts.shared = keys.size_or_none("expert_shared_feed_forward_length");
          describe_leading_layers(keys, h);
          if (keys.size_or("interleave_moe_layer_step", 1) != 1) {
            throw UnsupportedModel("'" + keys.name("interleave_moe_layer_step") + "' is not 1");
          }
        },
};

}  // namespace engine::model
