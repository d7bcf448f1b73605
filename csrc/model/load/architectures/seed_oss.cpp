#include "model/load/architectures/parts.h"

namespace engine::model {

// Seed-OSS: biases of queries, keys and values.
const Architecture kSeedOss{
    .name = "seed_oss",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.feed_forward_norm = "post_attention_norm";
        },
};

}  // namespace engine::model
