#include "model/load/architectures/parts.h"

namespace engine::model {

// Arcee's AFM: llama with a feed-forward that has no gate.
const Architecture kArcee{
    .name = "arcee",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_factors = RopeFactors::Single;
          h.activation = Activation::UngatedSquaredRelu;
        },
};

}  // namespace engine::model
