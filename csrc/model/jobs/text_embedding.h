#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "model/forward/forward_pass.h"
#include "model/jobs/vector_projection.h"
#include "model/kv_cache.h"
#include "model/model.h"

namespace engine::model {

// Which hidden states of a text its vector is made of.
enum class Pooling {
  Mean,  // all of them
  Cls,   // the first token's
  Last,  // the last token's
  Rank   // the first token's, of which the model's classifier makes one number
};

struct TextEmbeddingOptions {
  Pooling pooling;
  bool normalize;            // to a Euclidean length of 1
  std::size_t step_tokens;   // the most tokens of a step, over all texts; more where a text is longer and read whole
  std::size_t side_by_side;  // how many texts may be read together
  unsigned threads;
  kernels::KvType kv_type;
};

// A vector for each text: the hidden states that the head would read, pooled, and what the model makes of that. No
// logits are computed. A text's vector depends on the model and on its own tokens alone.
class TextEmbedding {
 public:
  struct Progress {
    std::size_t tokens_done;
    std::size_t tokens_total;
  };

  // The most positions of KV cache that run() holds, given the number of texts (one or more) and the longest's tokens.
  static std::size_t kv_positions(std::size_t texts, std::size_t longest, std::size_t step_tokens,
                                  std::size_t side_by_side);

  // `second_begins`: where in each text the second of a pair begins; empty where none is a pair. Throws
  // std::invalid_argument (a text without tokens or beyond the model's context, a token that is not in the vocabulary,
  // no threads, nothing to read in a step, a KV type that does not fit the heads, ranking without a classifier).
  TextEmbedding(std::shared_ptr<const Model> model, std::vector<std::vector<std::int32_t>> texts,
                std::vector<std::size_t> second_begins, const TextEmbeddingOptions& options);

  // Once. Throws Cancelled, NonFiniteResult, std::system_error (threads cannot be made), std::bad_alloc,
  // std::logic_error.
  void run();

  // Ends run() within a layer. May be called from any thread, before, during and after it.
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  Progress progress() const { return {tokens_done_.load(std::memory_order_relaxed), tokens_total_}; }

  std::size_t texts() const { return texts_.size(); }
  std::size_t dimension() const {
    return options_.pooling == Pooling::Rank ? 1 : VectorProjection::pooled_width(*model_);
  }
  // [texts, dimension]. Throws std::logic_error before run() has returned.
  const std::vector<float>& vectors() const;

 private:
  struct Place {
    std::size_t text;
    std::size_t position;
  };
  // Tokens [begin, end) of a text, read in one step.
  struct Part {
    std::size_t text;
    std::size_t begin;
    std::size_t end;
  };

  void check() const;
  // The most tokens of a step.
  std::size_t step_rows() const;
  // What follows `next`, which moves behind it.
  std::vector<Part> next_step(Place& next) const;
  KvCache& cache_of(std::size_t text) { return caches_[text % caches_.size()]; }
  void read(ForwardPass& pass, const std::vector<Part>& parts);
  // Adds to `sums_` what a part brings to its text's vector; the part's first row is given.
  void pool(const ForwardPass& pass, const Part& part, std::size_t first_row);
  void finish(std::size_t text);
  // Throws NonFiniteResult for what projections behind the layers made of a text's vector.
  void require_finite(std::size_t text, std::span<const float> values) const;

  std::shared_ptr<const Model> model_;
  std::vector<std::vector<std::int32_t>> texts_;
  std::vector<std::size_t> second_begins_;
  TextEmbeddingOptions options_;
  std::size_t tokens_total_;
  std::vector<KvCache> caches_;  // [texts side by side]
  std::vector<double> sums_;     // [dimension] for the text that is being pooled
  std::vector<float> state_;     // [dimension] the hidden state of one token
  VectorProjection projection_;
  std::vector<float> vectors_;

  std::atomic<bool> started_{false};
  std::atomic<bool> finished_{false};
  std::atomic<bool> cancelled_{false};
  std::atomic<std::size_t> tokens_done_{0};
};

}  // namespace engine::model
