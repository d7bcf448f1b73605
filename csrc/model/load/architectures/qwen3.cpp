#include "model/load/architectures/parts.h"

namespace engine::model {

// Qwen3: each head of queries and keys is normalized before it is rotated.
const Architecture kQwen3{
    .name = "qwen3",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.head_norm = HeadNorm::PerHead;
        },
};

}  // namespace engine::model
