#include "model/architectures/pre_norm.h"

namespace engine::model {

// Qwen2 and Qwen2.5: rotary pairs half a head apart; queries, keys and values have biases.
const Architecture kQwen2{
    .name = "qwen2",
    .layer = [](Worker& worker, const Layer& layer,
                std::size_t index) { pre_norm_layer(worker, layer, index, kernels::RopeLayout::Halves); },
};

}  // namespace engine::model
