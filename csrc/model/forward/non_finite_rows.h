#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <vector>

#include "model/forward/non_finite.h"

namespace engine::model {

// Where the values of each row of a step first were NaN or infinite. Parts of a model are counted as stages: 0 is the
// embedding, then attention and feed-forward of each layer, then the output.
class NonFiniteRows {
 public:
  explicit NonFiniteRows(std::size_t layers) : layers_(layers) {}

  std::uint32_t output_stage() const { return static_cast<std::uint32_t>(2 * layers_ + 1); }

  // Begins a new step.
  void reset(std::size_t rows) { stages_.assign(rows, kNone); }
  // Keeps the first stage of a row. Several members may compute the same row, and find the same.
  void record(std::size_t row, std::uint32_t stage) {
    std::uint32_t none = kNone;
    std::atomic_ref(stages_[row]).compare_exchange_strong(none, stage, std::memory_order_relaxed);
  }

  std::optional<std::uint32_t> stage(std::size_t row) const {
    return stages_[row] == kNone ? std::nullopt : std::optional(stages_[row]);
  }
  NonFinitePlace place(std::uint32_t stage, std::size_t position) const;

 private:
  static constexpr std::uint32_t kNone = std::numeric_limits<std::uint32_t>::max();

  std::size_t layers_;
  std::vector<std::uint32_t> stages_;  // [rows]
};

}  // namespace engine::model
