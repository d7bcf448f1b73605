#include "runtime/sampling/candidates.h"

#include <bit>

#include "kernels/reference/kernels.h"

namespace engine::runtime {

void Candidates::gather(std::span<const float> logits, std::span<const std::uint32_t> allowed) {
  list_.clear();
  for (std::size_t word = 0; word < allowed.size(); ++word) {
    for (std::uint32_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
      const std::size_t token = word * 32 + static_cast<std::size_t>(std::countr_zero(bits));
      if (token < logits.size()) list_.push_back({logits[token], static_cast<std::int32_t>(token), 0.0F});
    }
  }
  whole_ = allowed.empty();
  if (whole_) {
    for (std::size_t i = 0; i < logits.size(); ++i) {
      list_.push_back({logits[i], static_cast<std::int32_t>(i), 0.0F});
    }
  }
  sorted_ = 0;
  largest_.reset();
}

float Candidates::largest() {
  if (!largest_)
    largest_ = sorted_ > 0 ? list_.front().logit : std::ranges::max_element(list_, {}, &Candidate::logit)->logit;
  return *largest_;
}

double Candidates::weigh() {
  const float most = largest();
  double sum = 0.0;
  for (Candidate& candidate : list_) {
    candidate.weight = kernels::reference::exponential(candidate.logit - most);
    sum += candidate.weight;
  }
  return sum;
}

void Candidates::scale(float temperature) {
  const float most = largest();
  for (Candidate& candidate : list_) candidate.logit = (candidate.logit - most) / temperature;
  largest_ = 0.0F;
}

void Candidates::keep_likeliest(std::size_t count) {
  count = std::min(count, list_.size());
  if (count > sorted_) std::partial_sort(at(sorted_), at(count), list_.end(), precedes);
  list_.resize(count);
  sorted_ = count;
  whole_ = false;
}

}  // namespace engine::runtime
