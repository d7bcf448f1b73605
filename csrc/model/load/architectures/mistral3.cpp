#include "model/load/architectures/parts.h"

namespace engine::model {

// Mistral 3: llama, with queries that grow with their position beyond the original context.
const Architecture kMistral3{
    .name = "mistral3",
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          kLlama.describe(keys, h);
          h.temperature_scale = keys.number_or("attention.temperature_scale", 0.0);
          h.temperature_step = h.original_context;
        },
};

}  // namespace engine::model
