#pragma once

#include <cstddef>
#include <cstdint>

#include "model/model.h"

namespace engine::runtime {

// What a sequence's rows cost beside other rows of the same step: multiply-accumulates of the layers' matrices, of the
// head where its logits are wanted, and of attention, which grow with the position. Rows that only decode wait for the
// same weights as the others of their step, so that this divides their time fairly too.
class RowCost {
 public:
  explicit RowCost(const model::Model& model);

  // The cost of rows at consecutive positions, the last `logit_rows` of them with logits.
  double of(std::size_t first_position, std::size_t rows, std::size_t logit_rows) const;

 private:
  double layers_ = 0;     // a row
  double head_ = 0;       // a row of logits
  double attention_ = 0;  // a row and key
};

// The part of a whole between two points of it, 0 to 1. Parts that lie side by side from 0 to 1 divide any amount into
// whole numbers that add up to it.
struct Share {
  double begin;
  double end;

  // `amount` at least 0, below 2^53.
  std::int64_t of(std::int64_t amount) const;
};

// Gives a whole out to those that bear its cost, one after the other.
class Parts {
 public:
  // `total` is the cost of all; if it is 0, every share is empty.
  explicit Parts(double total) : total_(total) {}

  Share next(double cost) {
    if (total_ == 0.0) return {.begin = 0.0, .end = 0.0};
    const Share share{.begin = before_ / total_, .end = (before_ + cost) / total_};
    before_ += cost;
    return share;
  }

 private:
  double total_;
  double before_ = 0.0;
};

}  // namespace engine::runtime
