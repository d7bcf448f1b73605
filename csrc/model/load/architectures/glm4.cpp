#include "model/load/architectures/parts.h"

namespace engine::model {

// GLM-4 of 2025: norms of inputs and outputs, biases of queries, keys and values, part of each head rotated.
const Architecture kGlm4{
    .name = "glm4",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_feed_forward(keys, h);
          h.output_norms = true;
        },
};

}  // namespace engine::model
