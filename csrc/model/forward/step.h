#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/thread_team.h"
#include "model/forward/activation_buffer.h"
#include "model/forward/attention.h"
#include "model/forward/experts.h"
#include "model/forward/logits.h"
#include "model/forward/non_finite_rows.h"
#include "model/forward/rope_table.h"
#include "model/kv_cache.h"
#include "model/model.h"

namespace engine::model {

// Consecutive positions of one sequence within a batch. Its cache must have room for them.
struct Segment {
  KvCache* cache;
  std::size_t first_position;
  std::vector<std::int32_t> tokens;
  bool want_every_logit;  // else those of the last token alone, and only where want_logits
  bool want_logits;
  std::size_t second_text = std::numeric_limits<std::size_t>::max();  // the position where that of a pair begins
};

// What the members of a team share while they compute a step: its rows, and the buffers that operations hand on.
struct Step {
  struct Row {
    std::int32_t token;
    std::size_t position;
    KvCache* cache;
    float query_factor;      // see HyperParameters::temperature_scale
    std::size_t token_type;  // 1 in the second text of a pair, else 0
  };

  // Consecutive rows of one sequence.
  struct Stretch {
    KvCache* cache;
    std::size_t first_row;
    std::size_t rows;
  };

  // Rows at a time of which a member projects a latent head.
  static constexpr std::size_t kHeadRows = 16;

  // Throws std::bad_alloc.
  Step(const Model& model, ThreadTeam& team, std::size_t max_rows);

  // What the buffers made on construction take for one row.
  static std::size_t row_bytes(const HyperParameters& shape, const kernels::KernelTable& table);

  // What a step of `rows` of one sequence, the last of which is at position `positions` - 1, needs beside these: tables
  // of angles up to there, and what members of a team have for themselves and leave for each other.
  static std::size_t shared_bytes(const HyperParameters& shape, unsigned members, std::size_t rows,
                                  std::size_t positions);

  // Begins a new step. Throws std::bad_alloc.
  void plan(std::span<const Segment> segments);

  // [embedding] what the head reads of a row: its residual's norm.
  void hidden_state(std::size_t row, float* out) const;
  // Makes the states of recurrent layers those behind the step.
  void finish();
  // With few rows every member makes the input of projections for itself, which takes less time than a barrier.
  bool few_rows() const;
  float* residual_of(std::size_t row) { return residual.as<float>() + row * model.shape().embedding; }
  const float* residual_of(std::size_t row) const { return residual.as<float>() + row * model.shape().embedding; }
  float* heads_of(std::size_t row) { return heads.as<float>() + row * heads_width; }
  // What the feed-forward reads the norm of.
  const float* feed_forward_input_of(std::size_t row) const {
    const AlignedBuffer& source = model.shape().parallel ? kept_residual : residual;
    return source.as<float>() + row * model.shape().embedding;
  }
  const RopeTable& rope(std::size_t index, const KvCache& cache) const {
    return index == 0 && long_rope && cache.format().long_factors ? *long_rope : ropes[index];
  }

  const Model& model;
  ThreadTeam& team;
  std::vector<RopeTable> ropes;        // one for each of HyperParameters::ropes
  std::optional<RopeTable> long_rope;  // the first with the long factors, where there are some
  Attention attention;
  std::size_t heads_width;  // query, key and value heads side by side

  std::vector<Row> rows;
  std::vector<Stretch> stretches;  // of all sequences
  NonFiniteRows non_finite;
  AlignedBuffer residual;       // f32 [rows, embedding]
  AlignedBuffer kept_residual;  // f32 [rows, embedding] as attention found it, where the feed-forward reads that too
  AlignedBuffer heads;          // f32 [rows, query_width + 2 * kv_width]
  AlignedBuffer projected;      // f32 [rows, max(embedding, feed_forward, the queries' rank)]
  AlignedBuffer hidden;         // f32 [rows, query_width or feed_forward]: attention's or the gates' result
  AlignedBuffer recurrent;      // f32 [rows, RecurrentShape::projected]: what recurrent layers read
  ActivationBuffer input;       // what the next projection reads
  std::vector<ActivationBuffer> own_inputs;   // [members] the same, each member's own, where a step has few rows
  std::vector<ActivationBuffer> head_inputs;  // [members] of latent heads, kHeadRows at a time
  std::unique_ptr<ExpertBuffers> experts;     // where the model has some
  Logits logits;
  std::vector<AlignedBuffer> scratch;  // [members]

 private:
  void extend_ropes(std::span<const Segment> segments);
};

}  // namespace engine::model
