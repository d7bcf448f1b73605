#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <initializer_list>
#include <limits>
#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/digest.h"
#include "base/thread_team.h"
#include "model/forward/activation_buffer.h"
#include "model/forward/attention.h"
#include "model/forward/expert_routing.h"
#include "model/forward/non_finite.h"
#include "model/forward/operation_clock.h"
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
  // Where there is a `clock`, member 0 charges it with everything it does and waits for, from its last mark on.
  bool run(std::span<const Segment> segments, const std::atomic<bool>& abort, OperationClock* clock = nullptr);

  // [embedding] what the head reads of a row: its residual's norm. Of the last run, in the order of its tokens.
  void hidden_state(std::size_t row, float* out) const;

  // Where the first of rows [begin, begin + count) that is not finite became so; those of the last run, in the order of
  // its tokens. A row that nobody reads the end of, neither later rows nor the head, may be left out.
  std::optional<NonFinitePlace> non_finite(std::size_t begin, std::size_t count) const;
  // The same for one row and its hidden state.
  std::optional<NonFinitePlace> non_finite_state(std::size_t row, const float* state) const;

  // Of the last run: one for each token.
  std::size_t rows() const { return rows_.size(); }
  // Rows of logits, in the order of the segments.
  std::size_t logit_rows() const { return logit_rows_.size(); }
  std::span<const float> logits(std::size_t index) const;
  Digest digest(std::size_t index) const;
  // The first of the largest logits; one that is NaN or infinite if there is any.
  std::int32_t best_token(std::size_t index) const;

 private:
  friend class Worker;

  struct Row {
    std::int32_t token;
    std::size_t position;
    KvCache* cache;
    float query_factor;  // see HyperParameters::temperature_scale
  };

  // What experts compute, by their places in the routing: so many for each row as it uses experts.
  struct ExpertBuffers {
    ExpertBuffers(const HyperParameters& shape, std::size_t max_rows);

    static std::size_t row_bytes(const HyperParameters& shape);
    static std::size_t output_width(const HyperParameters& shape);

    ExpertRouting routing;
    AlignedBuffer probabilities;  // f32 [rows, experts]
    AlignedBuffer shares;         // f32 [rows]: how much of the dense feed-forward each row adds
    ActivationBuffer input;       // [places, embedding or feed_forward]
    AlignedBuffer gates;          // f32 [places, feed_forward]
    AlignedBuffer outputs;        // f32 [places, feed_forward or embedding]: ups, then what is added
  };

  static constexpr std::uint32_t kNoStage = std::numeric_limits<std::uint32_t>::max();

  std::uint32_t output_stage() const { return static_cast<std::uint32_t>(2 * model_.shape().layers + 1); }
  NonFinitePlace place_of(std::uint32_t stage, std::size_t row) const;
  void blame(std::size_t row, std::uint32_t stage);
  void blame_logits();
  void plan(std::span<const Segment> segments);
  void extend_ropes(std::span<const Segment> segments);
  const RopeTable& rope(std::size_t index, const KvCache& cache) const {
    return index == 0 && long_rope_ && cache.format().long_factors ? *long_rope_ : ropes_[index];
  }
  // With few rows every member makes the input of projections for itself, which takes less time than a barrier.
  bool few_rows() const;
  std::size_t chunks() const;
  float* residual(std::size_t row) { return residual_.as<float>() + row * model_.shape().embedding; }
  float* heads(std::size_t row) { return heads_.as<float>() + row * heads_width_; }

  const Model& model_;
  ThreadTeam& team_;
  std::vector<RopeTable> ropes_;        // of HyperParameters::ropes
  std::optional<RopeTable> long_rope_;  // the first with the long factors, where there are some
  Attention attention_;
  std::size_t max_rows_;
  std::size_t heads_width_;  // query, key and value heads side by side

  std::vector<Row> rows_;
  std::vector<std::size_t> logit_rows_;
  std::vector<std::uint32_t> non_finite_;  // [rows] the stage (see Worker) that first was not finite, or kNoStage

  AlignedBuffer residual_;                  // f32 [rows, embedding]
  AlignedBuffer heads_;                     // f32 [rows, query_width + 2 * kv_width]
  AlignedBuffer projected_;                 // f32 [rows, max(embedding, feed_forward)]
  AlignedBuffer hidden_;                    // f32 [rows, query_width or feed_forward]: attention's or the gates' result
  ActivationBuffer input_;                  // what the next projection reads
  std::unique_ptr<ExpertBuffers> experts_;  // null where there are none
  std::vector<ActivationBuffer> own_inputs_;  // [members] the same, each member's own, where a step has few rows
  AlignedBuffer logits_;                      // f32 [logit rows, vocabulary]
  std::vector<AlignedBuffer> scratch_;        // [members]
  std::vector<Digest> chunk_digests_;         // [logit rows, chunks]
  std::vector<std::int32_t> chunk_bests_;     // [logit rows, chunks] largest order_key of a logit
  bool aborted_ = false;
  OperationClock* clock_ = nullptr;  // of the present run, for member 0
};

// One member's part of a forward pass. Every method is called by all members. A barrier stands wherever one member
// reads what another wrote: five in a layer where a step has few rows, ten where members share the making of inputs
// too; one more for each norm of a whole output, six for experts.
class Worker {
 public:
  Worker(ForwardPass& pass, unsigned member);

  // Meets the other members at the barrier.
  void wait();
  void embed();
  // input = RMS norm of the residual, or without weights the residual itself, quantized for the projections that read
  // it.
  void normalize(const std::vector<float>& weight, std::initializer_list<const Projection*> readers);
  // heads = query, key and value projections of the input, normalized and rotated; keys and values go to the cache.
  void project_heads(const Layer& layer, std::size_t index);
  // hidden = attention of the queries over the cache.
  void attend(std::size_t layer);
  // residual += projection of hidden, its RMS norm where there are weights of one, times the residual's scale.
  void add_projection(const Projection& projection, const std::vector<float>& norm);
  // residual += projection of hidden, times each row's share.
  void add_share(const Projection& projection);
  // hidden = activation(gate) * up, projections of the input.
  void gate(const FeedForward& weights);
  // Every row's experts, and its share of the dense feed-forward, from the input.
  void choose_experts(const Layer& layer);
  // residual += the outputs of every row's experts, weighted. They read the norm of the residual anew.
  void add_experts(const Layer& layer);
  // logits = head of the normalized residual, for the rows that want them.
  void compute_logits();

 private:
  // What this member has done since the mark before was this.
  void charge(Operation operation) {
    if (clock_ != nullptr) clock_->charge(operation);
  }

  // Query, key or value heads side by side: a projection and its place among all heads.
  struct Heads {
    const Projection* projection;
    const std::vector<float>* norm;  // of queries and keys, where there is one
    std::size_t first;
    std::size_t count;
    enum class Kind { Query, Key, Value } kind;
  };
  std::array<Heads, 3> heads_of(const Layer& layer) const;

  ActivationBuffer& input();
  // Calls make(row) for the rows of an input that this member has to make, and waits until others' are made.
  template <typename Make>
  void make_input(std::size_t rows, std::size_t width, const Make& make);
  Range my_rows(std::size_t count) const;
  // Heads [range) of one kind: normalizes and rotates queries and keys, stores keys and values.
  void finish_heads(const Heads& heads, Range range, std::size_t row, std::size_t layer);
  void normalize_heads(const Heads& heads, Range range, float* first);
  // projected = projection of hidden, of which this member computes its groups.
  void project_hidden(const Projection& projection);
  // gates = activation(gates) * ups
  void activate(float* gates, const float* ups, std::size_t n);
  // Of add_experts: what they read, gates = activation(gates) * ups of one, and the weighted sum of their outputs.
  void make_expert_inputs(const Layer& layer);
  void gate_expert(const FeedForward& expert, Range places);
  void add_outputs(Range columns);
  // The places of one expert: its weight's groups of this member, from its input's rows.
  void multiply_places(const Projection& projection, Range places, std::size_t width, float* out);
  void multiply(const Projection& projection, Range groups, std::size_t rows, float* out, std::size_t stride);
  Range my_groups(const Projection& projection) const;
  // The output columns of those groups.
  Range my_columns(const Projection& projection) const;
  // Digests and largest values of chunks.
  void summarize_logits();
  // Writes down that a row's norm, which `stage` computed the input of, is not finite, if it is not.
  void check_norm(std::size_t row, const float* normalized, std::uint32_t stage);

  ForwardPass& pass_;
  const HyperParameters& shape_;
  const kernels::KernelTable& kernels_;
  unsigned member_;
  unsigned members_;
  OperationClock* clock_;  // null where nobody asks, and for all members but 0
  // Parts of the model, counted: 0 is the embedding, then attention and feed-forward of each layer, then the output.
  // Each begins with normalize().
  std::uint32_t stage_ = 0;
  std::size_t input_width_ = 0;
  std::vector<float> normalized_;  // [embedding]
  std::byte* scratch_;             // of kernels::multiply_scratch_bytes
};

}  // namespace engine::model
