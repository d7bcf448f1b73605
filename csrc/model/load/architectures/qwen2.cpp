#include "model/load/architectures/parts.h"

namespace engine::model {

// Qwen2 and Qwen2.5: rotary pairs half a head apart; queries, keys and values have biases.
const Architecture kQwen2{
    .name = "qwen2",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
        },
};

}  // namespace engine::model
