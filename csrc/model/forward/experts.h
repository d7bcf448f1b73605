#pragma once

#include <cstddef>

#include "base/aligned_buffer.h"
#include "model/forward/activation_buffer.h"
#include "model/forward/expert_routing.h"
#include "model/load/hyper_parameters.h"
#include "model/load/weights.h"

// The feed-forward of which every row uses a few parts. Rows are grouped by expert; what an expert computes for one of
// them does not depend on the others, and a row adds its experts' outputs in the order of its choice.
namespace engine::model {

class Worker;

// What experts compute, by their places in the routing: each row has a place for each expert it uses.
struct ExpertBuffers {
  ExpertBuffers(const HyperParameters& shape, const kernels::KernelTable& table, std::size_t max_rows);

  static std::size_t row_bytes(const HyperParameters& shape);
  static std::size_t plane_row_bytes(const HyperParameters& shape);

  ExpertRouting routing;
  AlignedBuffer probabilities;  // f32 [rows, experts]
  AlignedBuffer shares;         // f32 [rows]: how much of the dense feed-forward each row adds
  ActivationBuffer input;       // [places, embedding or feed_forward]
  AlignedBuffer gates;          // f32 [places, feed_forward]
  AlignedBuffer outputs;        // f32 [places, feed_forward or embedding]: ups, then what is added
};

// Every row's experts, and its share of the dense feed-forward, from the input.
void choose_experts(Worker& worker, const Layer& layer);
// residual += the outputs of every row's experts, weighted. They read the norm of the residual anew.
void add_experts(Worker& worker, const Layer& layer);
// residual += the dense feed-forward's projection of hidden, times each row's share.
void add_share(Worker& worker, const Layer& layer);

}  // namespace engine::model
