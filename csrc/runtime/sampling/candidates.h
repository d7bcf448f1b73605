#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <vector>

#include "kernels/candidates.h"
#include "kernels/kernel_table.h"
#include "runtime/sampling/running_sum.h"
#include "runtime/sampling/token_numbers.h"

namespace engine::runtime {

struct Candidate {
  float logit;
  std::int32_t token;
};

// Whether `a` is the likelier one; of equals that of the lower token id.
inline bool precedes(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.token < b.token;
}

// The tokens that may yet be drawn: what samplers change, and drop from. Never empty once gathered. They stay in the
// order of their ids, and are the row of logits itself until something is changed or dropped. Keeps its memory.
class Candidates {
 public:
  explicit Candidates(const kernels::KernelTable& kernels);

  // Every token of the vocabulary, or those `allowed`, a bit each from the lowest of the first word on, of which at
  // least one is set; an empty span allows all. Logits are finite, and stay where they are until the next call.
  // `largest` is that of all logits, where it is known.
  void gather(std::span<const float> logits, std::span<const std::uint32_t> allowed = {},
              std::optional<float> largest = std::nullopt);

  std::size_t size() const { return logits_.size(); }
  Candidate at(std::size_t place) const { return {logits_[place], token(place)}; }
  float largest();
  // The sum of exp(logit - largest).
  double sum_exponentials();

  // Lets `change(logit, number)` set the logits of those candidates that have a number. A logit that would be infinite
  // is the largest float, or the lowest: the difference of two is then a number.
  template <typename Change>
  void change_logits(const TokenNumbers& numbers, Change change) {
    const auto change_one = [&](float& logit, std::int32_t number) {
      constexpr float kLargest = std::numeric_limits<float>::max();
      change(logit, number);
      logit = std::clamp(logit, -kLargest, kLargest);
    };
    own();
    if (whole_) {
      for (const std::int32_t token : numbers.tokens()) {
        change_one(values_[static_cast<std::size_t>(token)], numbers.of(token));
      }
    } else {
      for (std::size_t i = 0; i < size(); ++i) {
        if (const std::int32_t number = numbers.of(tokens_[i]); number > 0) change_one(values_[i], number);
      }
    }
    largest_.reset();
  }
  // What each logit lies below the largest, divided by the temperature, above 0.
  void scale(float temperature);

  void keep_likeliest(std::size_t count);
  // Goes from the likeliest on, and keeps those up to the one with which they have this share of the sum.
  void keep_share(double share);
  // The same, from the one on whose distance to the largest is the nearest to the mean.
  void keep_typical_share(double share);
  // Keeps those whose logit lies no further below the largest, and the largest.
  void keep_within(double distance);
  // Drops those whose logit lies no further below the largest, but for the least likely of these.
  void drop_within(double distance);

  // The candidate at which the running sum exceeds `fraction` / 2^53 of the whole: likeliest first where the likeliest
  // or a share of them were kept, else by token id. May drop others.
  Candidate draw(std::uint64_t fraction);

 private:
  std::int32_t token(std::size_t place) const { return whole_ ? static_cast<std::int32_t>(place) : tokens_[place]; }
  const std::int32_t* tokens() const { return whole_ ? nullptr : tokens_.data(); }
  RunningSum::Weights weights() { return {logits_, largest()}; }
  // Moves the logits into memory that may be changed.
  void own();
  void reserve(std::size_t count);
  void reserve_others();
  // The first `count` in that memory are the candidates now.
  void hold(std::size_t count);
  // Keeps those of the range behind those that are kept already; returns how many there are then.
  std::size_t keep_range(std::span<const float> keys, std::size_t begin, std::size_t end,
                         const kernels::Interval& interval, std::size_t kept);
  // Keeps those whose logit is no lower than `least`; `maxima` are those of blocks, see block_maxima().
  void keep_from(float least, std::span<const float> maxima);
  // Keeps those with a larger key, and those with an equal one up to this place.
  void cut(std::span<const float> keys, std::size_t last);
  // Drops candidates that a running sum, likeliest first, does not need to come so far, where they are most of all.
  // Returns how far that is: of what there was before.
  Part narrow(const Part& part);

  const kernels::CandidateKernels* kernels_;
  RunningSum running_sum_;
  std::span<const float> logits_;  // of the row, or the first of values_
  std::vector<float> values_;
  std::vector<std::int32_t> tokens_;  // ascending; unused while whole_
  std::vector<float> other_values_;   // scratch
  std::vector<std::int32_t> other_tokens_;
  std::vector<float> keys_;
  bool whole_ = false;            // candidate i is token i
  bool likeliest_first_ = false;  // a draw is
  std::optional<float> largest_;  // logit, where it is known
};

}  // namespace engine::runtime
