#include "model/forward/expert_routing.h"

#include <algorithm>
#include <limits>
#include <numeric>
#include <utility>

#include "kernels/kernel_table.h"

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
      ratings_(shape.rates_apart() ? max_rows * shape.count : 0),
      next_(shape.count) {}

void ExpertRouting::choose(std::size_t row, const float* scores, std::span<const float> bias,
                           const kernels::KernelTable& kernels) {
  const float* rated = scores;
  if (!ratings_.empty()) {
    const std::span<float> ratings(ratings_.data() + row * shape_.count, shape_.count);
    std::copy_n(scores, shape_.count, ratings.begin());
    for (std::size_t i = 0; i < bias.size(); ++i) ratings[i] += bias[i];
    if (shape_.groups > 1) keep_best_groups(ratings);
    rated = ratings.data();
  }
  const std::span<Choice> own(choices_.data() + row * shape_.used, shape_.used);
  std::size_t chosen = 0;
  for (std::size_t expert = 0; expert < shape_.count; ++expert) {
    // Behind all that are rated as high: they have the lower index.
    std::size_t rank = chosen;
    while (rank > 0 && rated[own[rank - 1].expert] < rated[expert]) --rank;
    if (rank == shape_.used) continue;
    chosen = std::min(chosen + 1, shape_.used);
    std::move_backward(own.begin() + static_cast<std::ptrdiff_t>(rank),
                       own.begin() + static_cast<std::ptrdiff_t>(chosen - 1),
                       own.begin() + static_cast<std::ptrdiff_t>(chosen));
    own[rank] = {expert, scores[expert], 0};
  }
  weigh(own, kernels);
}

void ExpertRouting::keep_best_groups(std::span<float> ratings) const {
  const std::size_t size = shape_.count / shape_.groups;
  std::vector<std::pair<float, std::size_t>> groups;  // by the sum of their two best, best first
  for (std::size_t g = 0; g < shape_.groups; ++g) {
    const std::span<const float> own = ratings.subspan(g * size, size);
    float best = -std::numeric_limits<float>::infinity();
    float second = best;
    for (const float rating : own) {
      second = std::max(second, std::min(best, rating));
      best = std::max(best, rating);
    }
    const auto place = std::ranges::find_if(groups, [&](const auto& other) { return other.first < best + second; });
    groups.insert(place, {best + second, g});
  }
  for (std::size_t i = shape_.groups_used; i < groups.size(); ++i) {
    std::ranges::fill(ratings.subspan(groups[i].second * size, size), -std::numeric_limits<float>::infinity());
  }
}

void ExpertRouting::weigh(std::span<Choice> own, const kernels::KernelTable& kernels) const {
  if (shape_.routing == Routing::SoftmaxOfUsed) {
    std::vector<float> weights;
    for (const Choice& choice : own) weights.push_back(choice.weight);
    kernels.softmax(weights.data(), weights.size());
    for (std::size_t i = 0; i < own.size(); ++i) own[i].weight = weights[i];
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
