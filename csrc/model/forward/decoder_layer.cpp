#include "model/forward/decoder_layer.h"

#include "model/forward/forward_pass.h"

namespace engine::model {

void decoder_layer(Worker& worker, const Layer& layer, std::size_t index) {
  worker.normalize(layer.attention_norm, {&layer.query, &layer.key, &layer.value});
  worker.project_heads(layer, index);
  worker.attend(index);
  worker.add_projection(layer.attention_output, layer.attention_output_norm);
  const FeedForward& dense = layer.dense;
  if (layer.experts.empty()) {
    worker.normalize(layer.feed_forward_norm, {&dense.gate, &dense.up});
    worker.gate(dense);
    worker.add_projection(dense.down, layer.feed_forward_output_norm);
    return;
  }
  worker.normalize(layer.feed_forward_norm, {&layer.router, &layer.dense_share, &dense.gate, &dense.up});
  worker.choose_experts(layer);
  const bool shared = dense.down.weight.rows != 0;
  if (shared) worker.gate(dense);
  worker.add_experts(layer);
  if (shared) worker.add_share(dense.down);
}

}  // namespace engine::model
