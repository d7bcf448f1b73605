#include "model/architectures/pre_norm.h"

namespace engine::model {

// Llama 1 to 3.x, Mistral 7B, SmolLM2, TinyLlama, Yi: rotary pairs side by side.
const Architecture kLlama{
    .name = "llama",
    .layer = [](Worker& worker, const Layer& layer,
                std::size_t index) { pre_norm_layer(worker, layer, index, kernels::RopeLayout::Adjacent); },
};

}  // namespace engine::model
