#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

namespace engine::runtime {

struct Candidate {
  float logit;
  std::int32_t token;
  float weight;
};

// Whether `a` is the likelier one; of equals that of the lower token id.
inline bool precedes(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The tokens that may yet be drawn: what samplers change, and drop from. Never empty once gathered; keeps its memory.
class Candidates {
 public:
  // Every token of the vocabulary, or those `allowed`, a bit each from the lowest of the first word on, of which at
  // least one is set; an empty span allows all. Each logit is finite or minus infinity.
  void gather(std::span<const float> logits, std::span<const std::uint32_t> allowed = {});

  std::span<const Candidate> list() const { return list_; }
  float largest();
  // Sets weights to exp(logit - largest) and returns their sum, added in the candidates' order.
  double weigh();
  // Sets weights to whatever.
  template <typename Weight>
  void set_weights(Weight weight) {
    for (Candidate& candidate : list_) candidate.weight = weight(candidate);
  }

  // Lets `change(logit, i)` set the logit of tokens[i] where it is a candidate. Tokens are ascending, each once. A
  // logit that would be infinite is the largest float, or the lowest: the difference of two is then a number.
  template <typename Change>
  void change_logits(std::span<const std::int32_t> tokens, Change change) {
    const auto change_one = [&](Candidate& candidate, std::size_t i) {
      constexpr float kLargest = std::numeric_limits<float>::max();
      change(candidate.logit, i);
      candidate.logit = std::clamp(candidate.logit, -kLargest, kLargest);
    };
    if (whole_) {
      for (std::size_t i = 0; i < tokens.size(); ++i) change_one(list_[static_cast<std::size_t>(tokens[i])], i);
    } else {
      for (Candidate& candidate : list_) {
        const auto found = std::ranges::lower_bound(tokens, candidate.token);
        if (found == tokens.end() || *found != candidate.token) continue;
        change_one(candidate, static_cast<std::size_t>(found - tokens.begin()));
      }
    }
    sorted_ = 0;
    largest_.reset();
  }
  // What each logit lies below the largest, divided by the temperature, above 0.
  void scale(float temperature);

  void keep_likeliest(std::size_t count);
  // Goes from the likeliest on, and keeps those up to the first that `is_last`.
  template <typename IsLast>
  void keep_likeliest_until(IsLast is_last) {
    sorted_ = keep_until(precedes, sorted_, is_last);
  }
  // The same in another order: from the first that `before` puts before all others.
  template <typename Before, typename IsLast>
  void keep_ranked_until(Before before, IsLast is_last) {
    keep_until(before, 0, is_last);
    sorted_ = 0;
    largest_.reset();
  }
  // Not all of them.
  template <typename Drop>
  void drop_if(Drop drop) {
    sorted_ -= static_cast<std::size_t>(std::count_if(list_.begin(), at(sorted_), drop));
    std::erase_if(list_, drop);
    whole_ = false;
    largest_.reset();
  }

 private:
  static constexpr std::size_t kFirstSorted = 256;

  std::vector<Candidate>::iterator at(std::size_t index) { return list_.begin() + static_cast<std::ptrdiff_t>(index); }

  // Sorts as much as it looks at, `sorted` at the front already are; returns how many are then.
  template <typename Before, typename IsLast>
  std::size_t keep_until(Before before, std::size_t sorted, IsLast is_last) {
    whole_ = false;
    for (std::size_t i = 0; i < list_.size(); ++i) {
      if (i >= sorted) {
        const std::size_t next = std::min(list_.size(), std::max(kFirstSorted, 2 * sorted));
        std::partial_sort(at(sorted), at(next), list_.end(), before);
        sorted = next;
      }
      if (!is_last(list_[i])) continue;
      list_.resize(i + 1);
      return i + 1;
    }
    return sorted;
  }

  std::vector<Candidate> list_;
  bool whole_ = false;            // candidate i is token i
  std::size_t sorted_ = 0;        // how many at the front are in order and precede all others
  std::optional<float> largest_;  // logit, where it is known
};

}  // namespace engine::runtime
