#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "base/aligned_buffer.h"
#include "base/digest.h"
#include "base/thread_team.h"
#include "model/load/hyper_parameters.h"

namespace engine::kernels {
struct KernelTable;
}

namespace engine::model {

class Worker;
struct Projection;

// The logits of a step, for the rows that want them, with a digest and the largest of each row.
class Logits {
 public:
  explicit Logits(const HyperParameters& shape) : vocabulary_(shape.vocabulary) {}

  // Begins a new step, adds a row of it that wants logits, makes room for all. Throws std::bad_alloc.
  void clear() { rows_.clear(); }
  void add(std::size_t row) { rows_.push_back(row); }
  void prepare();
  // One member's part: head of the normalized residual, chunk by chunk. Called by all members.
  void compute(Worker& worker);

  const std::vector<std::size_t>& rows() const { return rows_; }
  std::span<const float> of(std::size_t index) const {
    return {values_.as<float>() + index * vocabulary_, vocabulary_};
  }
  Digest digest(std::size_t index) const;
  // The first of the largest logits; one that is NaN or infinite if there is any.
  std::int32_t best_token(std::size_t index) const;
  bool finite(std::size_t index) const;

 private:
  std::size_t chunks() const;
  std::span<const std::int32_t> largest_of(std::size_t index) const;
  // Columns of the head, of which the caller's member owns all, for every row.
  void project(Worker& worker, const Projection& head, Range columns);
  // The digest and the largest value of a chunk of every row. Best while the nearest caches still hold it.
  void summarize(std::size_t chunk, const kernels::KernelTable& kernels);
  bool ends_chunk(std::size_t column) const;

  std::size_t vocabulary_;
  std::vector<std::size_t> rows_;
  AlignedBuffer values_;               // f32 [rows, vocabulary]
  std::vector<Digest> digests_;        // [rows, chunks]
  std::vector<std::int32_t> largest_;  // [rows, chunks] largest kernels::order_key() of a logit
};

}  // namespace engine::model
