#include "model/forward/decoder_layer.h"

#include "model/forward/experts.h"
#include "model/forward/heads.h"
#include "model/forward/worker.h"

namespace engine::model {

void decoder_layer(Worker& worker, const Layer& layer, std::size_t index) {
  worker.normalize(layer.attention_norm, {&layer.query, &layer.key, &layer.value});
  Heads::project(worker, layer, index);
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
  choose_experts(worker, layer);
  const bool shared = dense.down.weight.rows != 0;
  if (shared) worker.gate(dense);
  add_experts(worker, layer);
  if (shared) add_share(worker, dense.down);
}

}  // namespace engine::model
