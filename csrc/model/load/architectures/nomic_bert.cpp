#include "model/load/architectures/parts.h"

namespace engine::model {

// Nomic Embed: BERT with a rotation in place of positions' vectors, and gates.
const Architecture kNomicBert{
    .name = "nomic-bert",
    .norm = NormKind::Layer,
    .describe =
        [](const Keys& keys, HyperParameters& h) {
          describe_encoder(keys, h);
          h.rope_layout = kernels::RopeLayout::Halves;
        },
};

}  // namespace engine::model
