#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "base/digest.h"
#include "base/thread_team.h"
#include "model/forward/non_finite.h"
#include "model/forward/operation_clock.h"
#include "model/forward/step.h"
#include "model/model.h"

namespace engine::model {

// Runs batches of segments through a model. What it computes for a row depends on the model and on the row's own
// sequence alone: not on the batch, the chunking or the number of threads.
class ForwardPass {
 public:
  // Throws std::bad_alloc.
  ForwardPass(const Model& model, ThreadTeam& team, std::size_t max_rows) : step_(model, team, max_rows) {}

  // What the buffers made on construction take for one row. Those of logits are made for as many as a step wants.
  static std::size_t row_bytes(const HyperParameters& shape, const kernels::KernelTable& table) {
    return Step::row_bytes(shape, table);
  }

  // What else a step needs: see Step.
  static std::size_t shared_bytes(const HyperParameters& shape, unsigned members, std::size_t rows,
                                  std::size_t positions) {
    return Step::shared_bytes(shape, members, rows, positions);
  }

  // Writes keys and values of every segment and computes the logits wanted. False where `abort` became true at a
  // layer's begin: nothing may then be read, and the same segments may be run again. Throws std::bad_alloc.
  // Where there is a `clock`, member 0 charges it with everything it does and waits for, from its last mark on.
  bool run(std::span<const Segment> segments, const std::atomic<bool>& abort, OperationClock* clock = nullptr);

  // [embedding] what the head reads of a row: its residual's norm. Rows are those of the last run, in the order of its
  // tokens.
  void hidden_state(std::size_t row, float* out) const { step_.hidden_state(row, out); }

  // Where the first of rows [begin, begin + count) that is not finite became so; those of the last run, in the order of
  // its tokens. A row whose end neither later rows nor the head read may be left out.
  std::optional<NonFinitePlace> non_finite(std::size_t begin, std::size_t count) const;
  // The same for one row and its hidden state.
  std::optional<NonFinitePlace> non_finite_state(std::size_t row, const float* state) const;

  // Rows of the last run: one for each token.
  std::size_t rows() const { return step_.rows.size(); }
  // Rows of logits, in the order of the segments.
  std::size_t logit_rows() const { return step_.logits.rows().size(); }
  std::span<const float> logits(std::size_t index) const { return step_.logits.of(index); }
  Digest digest(std::size_t index) const { return step_.logits.digest(index); }
  // The first of the largest logits; one that is NaN or infinite if there is any.
  std::int32_t best_token(std::size_t index) const { return step_.logits.best_token(index); }

 private:
  // Records the rows whose logits are not finite.
  void check_logits();
  NonFinitePlace place(std::uint32_t stage, std::size_t row) const {
    return step_.non_finite.place(stage, step_.rows[row].position);
  }

  Step step_;
};

}  // namespace engine::model
