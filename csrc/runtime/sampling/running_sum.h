#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/candidates.h"

namespace engine::runtime {

// How far a running sum must go, in integers.
class Part {
 public:
  static Part absolute(std::uint64_t sum) { return {sum, 0, Kind::Absolute}; }
  // At least this share of the whole, from above 0 to 1.
  static Part share(double share);
  // Beyond `fraction` / 2^53 of the whole.
  static Part beyond(std::uint64_t fraction) { return {0, fraction, Kind::Beyond}; }

  // From 1 to the whole, which is above 0.
  std::uint64_t of(std::uint64_t whole) const;

 private:
  enum class Kind : std::uint8_t { Absolute, Share, Beyond };
  Part(std::uint64_t sum, std::uint64_t fraction, Kind kind) : sum_(sum), fraction_(fraction), kind_(kind) {}

  std::uint64_t sum_;
  std::uint64_t fraction_;  // of 2^53
  Kind kind_;
};

// Finds the candidate with which a running sum of weights reaches a bound, without sorting: sums are taken over ranges
// of keys, and a range in which the bound is reached is divided further. Keeps its memory.
class RunningSum {
 public:
  explicit RunningSum(const kernels::CandidateKernels& kernels) : kernels_(&kernels) {}

  // What is added up: a weight for each candidate, or 1.
  struct Weights {
    std::span<const float> logits;  // as many as there are candidates
    float largest;                  // none is above
    bool count = false;             // each weighs 1
  };

  // Its place, where they are added in their order.
  std::size_t in_order(const Weights& weights, const Part& part);
  // Its place, where the one with the largest key comes first, of equal keys the one in front. Keys may be the logits.
  std::size_t ranked(std::span<const float> keys, const Weights& weights, const Part& part);

 private:
  struct Entry {
    float key;
    std::int32_t place;
    std::uint64_t weight;
  };
  // A range of keys divided into buckets: the first begins at `high`.
  struct Division {
    float high;
    float factor;  // buckets for each unit of the key

    // Holds all keys of the bucket, and few others.
    kernels::Interval about(std::uint16_t bucket) const;
  };

  std::uint64_t weigh(const Weights& weights, std::size_t begin, std::size_t count, std::uint64_t* out) const;
  std::uint64_t sum(const Weights& weights, std::size_t begin, std::size_t count) const;
  // Sums up each bucket; returns the whole.
  std::uint64_t sum_buckets(std::span<const float> keys, const Weights& weights, const Division& division);
  // The bucket in which the sum reaches `wanted`, which then is what is left for it to do.
  std::uint16_t find_bucket(std::uint64_t& wanted) const;
  // Leaves in the band what is in the bucket.
  void descend(std::span<const float> keys, std::span<const float> logits, const Division& division,
               std::uint16_t bucket);
  std::size_t finish(std::span<const float> keys, const Weights& weights, const Part& part);

  const kernels::CandidateKernels* kernels_;
  std::vector<std::uint64_t> bucket_sums_;
  std::vector<std::uint64_t> chunk_sums_;
  // The bucket divided last, where that is not all candidates.
  std::vector<float> keys_;
  std::vector<float> logits_;
  std::vector<std::int32_t> places_;
  bool narrowed_ = false;
  std::vector<float> found_keys_;  // scratch
  std::vector<std::int32_t> found_;
  std::vector<Entry> entries_;
};

}  // namespace engine::runtime
