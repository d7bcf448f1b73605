#pragma once

#include "model/forward_pass.h"

namespace engine::model {

// The layer of the pre-norm decoders: attention and a gated feed-forward, each added to the residual.
inline void pre_norm_layer(Worker& worker, const Layer& layer, std::size_t index, kernels::RopeLayout rope) {
  worker.normalize(layer.attention_norm, {&layer.query, &layer.key, &layer.value});
  worker.project_heads(layer, index, rope);
  worker.attend(index);
  worker.add_projection(layer.attention_output);
  worker.normalize(layer.feed_forward_norm, {&layer.gate, &layer.up});
  worker.gate_with_silu(layer.gate, layer.up);
  worker.add_projection(layer.down);
}

}  // namespace engine::model
