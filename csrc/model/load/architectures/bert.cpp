#include "model/load/architectures/parts.h"

namespace engine::model {

// BERT, MiniLM, BGE, E5 and rerankers made of them: texts read whole, a vector for each position, and norms of what
// attention and feed-forward have been added to.
const Architecture kBert{
    .name = "bert",
    .norm = NormKind::Layer,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_encoder(keys, h);
          h.activation = Activation::UngatedGelu;
          h.learned_positions = true;
          h.ropes.clear();
          for (LayerShape& layer : h.layer_shapes) layer.rope.reset();
        },
};

}  // namespace engine::model
