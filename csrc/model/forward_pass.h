#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <span>
#include <vector>

#include "base/digest.h"
#include "base/thread_team.h"
#include "model/activation_buffer.h"
#include "model/attention.h"
#include "model/kv_cache.h"
#include "model/model.h"
#include "model/rope_table.h"

namespace engine::model {

// Consecutive positions of one sequence within a batch. Its cache must have room for them.
struct Segment {
  KvCache* cache;
  std::size_t first_position;
  std::vector<std::int32_t> tokens;
  bool want_every_logit;  // else those of the last token alone, and only where want_logits
  bool want_logits;
};

// Runs batches of segments through a model. What it computes for a row depends on the model and on the row's own
// sequence alone: not on the batch, the chunking or the number of threads.
class ForwardPass {
 public:
  // Throws std::bad_alloc.
  ForwardPass(const Model& model, ThreadTeam& team, std::size_t max_rows);

  // What the buffers made on construction take for one row. Those of logits are made for as many as a step wants.
  static std::size_t row_bytes(const HyperParameters& shape);

  // Writes keys and values of every segment and computes the logits wanted. False where `abort` became true at a
  // layer's begin: nothing may then be read, and the same segments may be run again. Throws std::bad_alloc.
  bool run(std::span<const Segment> segments, const std::atomic<bool>& abort);

  // Rows of logits, in the order of the segments.
  std::size_t logit_rows() const { return logit_rows_.size(); }
  std::span<const float> logits(std::size_t index) const;
  Digest digest(std::size_t index) const;

 private:
  friend class Worker;

  struct Row {
    std::int32_t token;
    std::size_t position;
    KvCache* cache;
  };

  void plan(std::span<const Segment> segments);
  float* residual(std::size_t row) { return residual_.as<float>() + row * model_.shape().embedding; }
  float* heads(std::size_t row) { return heads_.as<float>() + row * heads_width_; }

  const Model& model_;
  ThreadTeam& team_;
  RopeTable rope_;
  Attention attention_;
  std::size_t max_rows_;
  std::size_t heads_width_;  // query, key and value heads side by side

  std::vector<Row> rows_;
  std::vector<std::size_t> logit_rows_;

  AlignedBuffer residual_;              // f32 [rows, embedding]
  AlignedBuffer heads_;                 // f32 [rows, query_width + 2 * kv_width]
  AlignedBuffer projected_;             // f32 [rows, max(embedding, feed_forward)]
  AlignedBuffer gates_;                 // f32 [rows, feed_forward]
  ActivationBuffer input_;              // what the next projection reads
  AlignedBuffer logits_;                // f32 [logit rows, vocabulary]
  std::vector<AlignedBuffer> scratch_;  // [members]
  std::vector<Digest> chunk_digests_;   // [logit rows, chunks]
  bool aborted_ = false;
};

// One member's part of a forward pass. Every method is called by all members and ends with a barrier.
class Worker {
 public:
  Worker(ForwardPass& pass, unsigned member);

  void embed();
  // input = RMS norm of the residual, quantized for the projections that read it.
  void normalize(const std::vector<float>& weight, std::initializer_list<const Projection*> readers);
  // heads = query, key and value projections of the input.
  void project_heads(const Layer& layer);
  // Rotates queries and keys; stores keys and values in the cache.
  void rotate_and_store(std::size_t layer, kernels::RopeLayout layout);
  // input = attention of the queries over the cache.
  void attend(std::size_t layer);
  // residual += projection of the input.
  void add_projection(const Projection& projection);
  // input = silu(gate) * up.
  void gate_with_silu(const Projection& gate, const Projection& up);
  // logits = head of the normalized residual, for the rows that want them.
  void compute_logits();

 private:
  float* input(std::size_t row) { return pass_.input_.row(row, input_width_); }
  Range my_rows(std::size_t count) const;
  void multiply(const Projection& projection, Range groups, std::size_t rows, float* out, std::size_t stride);
  Range my_groups(const Projection& projection) const;
  void digest_logits();

  ForwardPass& pass_;
  const HyperParameters& shape_;
  const kernels::KernelTable& kernels_;
  unsigned member_;
  unsigned members_;
  std::size_t input_width_ = 0;
  std::byte* scratch_;  // of kernels::multiply_scratch_bytes
};

}  // namespace engine::model
