#include "model/load/architectures/parts.h"

namespace engine::model {

// Phi-3 and Phi-4: one matrix of queries, keys and values, one of gates and ups; factors of the angles for long
// contexts. Its window is not applied: files do not say which layers have one.
const Architecture kPhi3{
    .name = "phi3",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
          h.rope_factors = RopeFactors::LongAndShort;
        },
};

}  // namespace engine::model
