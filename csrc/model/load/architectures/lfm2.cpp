#include "model/load/architectures/parts.h"

namespace engine::model {

// LFM2: short convolutions in place of attention in most layers.
const Architecture kLfm2{
    .name = "lfm2",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          describe_short_convolutions(keys, h);
        },
};

}  // namespace engine::model
