#include "model/load/architectures/parts.h"

namespace engine::model {

// Granite with experts, and in some models one that all rows share.
const Architecture kGraniteMoe{
    .name = "granitemoe",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          kGranite.describe(keys, h);
          describe_experts(keys, h, keys.size("feed_forward_length"));
          h.experts.normalized = true;
          h.experts.shared = keys.size_or_none("expert_shared_feed_forward_length");
        },
};

}  // namespace engine::model
