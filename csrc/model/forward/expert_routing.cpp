#include "model/forward/expert_routing.h"

#include <algorithm>
#include <numeric>

namespace engine::model {
namespace {

// The least sum of weights that they are divided by: the smallest normal number of f16.
constexpr float kLeastSum = 0x1p-14F;

}  // namespace

ExpertRouting::ExpertRouting(const ExpertShape& shape, std::size_t max_rows)
    : shape_(shape),
      choices_(max_rows * shape.used),
      rows_(max_rows * shape.used),
      begins_(shape.count + 1),
      next_(shape.count) {}

void ExpertRouting::choose(std::size_t row, const float* probabilities) {
  const std::span<Choice> own(choices_.data() + row * shape_.used, shape_.used);
  std::size_t chosen = 0;
  for (std::size_t expert = 0; expert < shape_.count; ++expert) {
    // Behind all that are as probable: they have the lower index.
    std::size_t rank = chosen;
    while (rank > 0 && probabilities[own[rank - 1].expert] < probabilities[expert]) --rank;
    if (rank == shape_.used) continue;
    chosen = std::min(chosen + 1, shape_.used);
    std::move_backward(own.begin() + static_cast<std::ptrdiff_t>(rank),
                       own.begin() + static_cast<std::ptrdiff_t>(chosen - 1),
                       own.begin() + static_cast<std::ptrdiff_t>(chosen));
    own[rank] = {expert, probabilities[expert], 0};
  }
  if (shape_.normalized) {
    float sum = 0.0F;
    for (const Choice& choice : own) sum += choice.weight;
    const float divisor = std::max(sum, kLeastSum);
    for (Choice& choice : own) choice.weight /= divisor;
  }
  for (Choice& choice : own) choice.weight *= shape_.scale;
}

void ExpertRouting::place(std::size_t rows) {
  std::ranges::fill(begins_, std::size_t{0});
  const std::span<Choice> all(choices_.data(), rows * shape_.used);
  for (const Choice& choice : all) ++begins_[choice.expert + 1];
  std::partial_sum(begins_.begin(), begins_.end(), begins_.begin());
  std::copy(begins_.begin(), begins_.end() - 1, next_.begin());
  for (std::size_t i = 0; i < all.size(); ++i) {
    all[i].place = next_[all[i].expert]++;
    rows_[all[i].place] = i / shape_.used;
  }
}

}  // namespace engine::model
