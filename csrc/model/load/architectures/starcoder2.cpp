#include "model/load/architectures/parts.h"

namespace engine::model {

// StarCoder2: biases everywhere, a feed-forward without a gate.
const Architecture kStarcoder2{
    .name = "starcoder2",
    .norm = NormKind::Layer,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.activation = Activation::UngatedGelu;
        },
};

}  // namespace engine::model
