#include "model/load/architectures/parts.h"

namespace engine::model {

// Phi-1, 1.5 and 2: attention and feed-forward side by side, part of each head rotated, biases everywhere.
const Architecture kPhi2{
    .name = "phi2",
    .norm = NormKind::Layer,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.activation = Activation::UngatedGelu;
          h.parallel = true;
        },
};

}  // namespace engine::model
