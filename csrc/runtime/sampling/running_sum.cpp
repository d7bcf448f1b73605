#include "runtime/sampling/running_sum.h"

#include <algorithm>
#include <array>
#include <limits>

namespace engine::runtime {
namespace {

constexpr std::size_t kChunk = 512;  // its weights and buckets stay in the nearest cache
constexpr std::size_t kFew = 128;    // dividing these by their keys costs more than comparing them
constexpr int kFractionBits = 53;
// Sums for each bucket: one that follows another of the same bucket would wait for it.
constexpr std::size_t kSums = 4;

__extension__ using Wide = unsigned __int128;

}  // namespace

Part Part::share(double share) {
  const double scaled = share * static_cast<double>(std::uint64_t{1} << kFractionBits);
  const auto whole = static_cast<std::uint64_t>(scaled);
  return {0, whole + (static_cast<double>(whole) < scaled ? 1 : 0), Kind::Share};
}

std::uint64_t Part::of(std::uint64_t whole) const {
  if (kind_ == Kind::Absolute) return sum_;
  const Wide product = Wide{fraction_} * whole;
  if (kind_ == Kind::Beyond) return static_cast<std::uint64_t>(product >> kFractionBits) + 1;
  return static_cast<std::uint64_t>((product + (Wide{1} << kFractionBits) - 1) >> kFractionBits);
}

kernels::Interval RunningSum::Division::about(std::uint16_t bucket) const {
  constexpr float kLeastWidth = 1e-30F;  // far from where halves of it would be flushed to zero
  const float width = 1.0F / factor;
  kernels::Interval interval;
  if (width < kLeastWidth) return interval;
  const float rounding = 16.0F * std::numeric_limits<float>::epsilon() * std::max(high, -high);
  const float low = high - (static_cast<float>(bucket) + 1.5F) * width - rounding;
  if (bucket + 1U < kernels::kBuckets) interval.low = low;
  if (bucket > 0) interval.high = high - (static_cast<float>(bucket) - 0.5F) * width + rounding;
  return interval;
}

std::uint64_t RunningSum::weigh(const Weights& weights, std::size_t begin, std::size_t count,
                                std::uint64_t* out) const {
  if (!weights.count) return kernels_->weigh(weights.logits.data() + begin, count, weights.largest, out);
  std::fill_n(out, count, std::uint64_t{1});
  return count;
}

std::uint64_t RunningSum::sum(const Weights& weights, std::size_t begin, std::size_t count) const {
  return weights.count ? count : kernels_->sum_weights(weights.logits.data() + begin, count, weights.largest);
}

std::size_t RunningSum::in_order(const Weights& weights, const Part& part) {
  const std::size_t n = weights.logits.size();
  chunk_sums_.clear();
  std::uint64_t whole = 0;
  for (std::size_t begin = 0; begin < n; begin += kChunk) {
    whole += chunk_sums_.emplace_back(sum(weights, begin, std::min(kChunk, n - begin)));
  }
  std::uint64_t wanted = part.of(whole);
  std::size_t chunk = 0;
  for (; chunk + 1 < chunk_sums_.size() && chunk_sums_[chunk] < wanted; ++chunk) wanted -= chunk_sums_[chunk];
  const std::size_t begin = chunk * kChunk;
  const std::size_t count = std::min(kChunk, n - begin);
  std::array<std::uint64_t, kChunk> each;
  weigh(weights, begin, count, each.data());
  std::size_t i = 0;
  for (; i + 1 < count && each[i] < wanted; ++i) wanted -= each[i];
  return begin + i;
}

std::size_t RunningSum::ranked(std::span<const float> keys, const Weights& all, const Part& part) {
  Weights weights = all;
  Part left = part;
  narrowed_ = false;
  const bool by_logit = !weights.count && keys.data() == weights.logits.data();
  // What lies further below the largest logit weighs nothing, and is never reached.
  kernels::Extremes range = by_logit ? kernels::Extremes{weights.largest - kernels::kWeightless, weights.largest}
                                     : kernels_->extremes(keys.data(), keys.size());
  while (keys.size() > kFew && range.least < range.largest) {
    constexpr float kMost = std::numeric_limits<float>::max();
    const float width = std::min(range.largest - range.least, kMost);
    const Division division{range.largest, std::min(static_cast<float>(kernels::kBuckets) / width, kMost)};
    std::uint64_t wanted = left.of(sum_buckets(keys, weights, division));
    const std::uint16_t bucket = find_bucket(wanted);
    left = Part::absolute(wanted);
    const std::size_t before = keys.size();
    descend(keys, weights.logits, division, bucket);
    keys = keys_;
    weights.logits = logits_;
    range = kernels_->extremes(keys.data(), keys.size());
    if (keys.size() == before) break;  // they differ by less than floats of their size can tell
  }
  const std::size_t place = range.least == range.largest ? in_order(weights, left) : finish(keys, weights, left);
  return narrowed_ ? static_cast<std::size_t>(places_[place]) : place;
}

std::uint64_t RunningSum::sum_buckets(std::span<const float> keys, const Weights& weights, const Division& division) {
  bucket_sums_.assign(kSums * kernels::kBuckets, 0);
  std::uint64_t* sums = bucket_sums_.data();
  std::array<std::uint64_t, kChunk> each;
  std::array<std::uint16_t, kChunk> buckets;
  std::uint64_t whole = 0;
  for (std::size_t begin = 0; begin < keys.size(); begin += kChunk) {
    const std::size_t count = std::min(kChunk, keys.size() - begin);
    whole += weigh(weights, begin, count, each.data());
    kernels_->bucket(keys.data() + begin, count, division.high, division.factor, buckets.data());
    std::size_t i = 0;
    for (; i + kSums <= count; i += kSums) {
      for (std::size_t j = 0; j < kSums; ++j) sums[buckets[i + j] * kSums + j] += each[i + j];
    }
    for (; i < count; ++i) sums[buckets[i] * kSums] += each[i];
  }
  return whole;
}

std::uint16_t RunningSum::find_bucket(std::uint64_t& wanted) const {
  std::uint16_t last = 0;
  for (std::uint16_t bucket = 0; bucket < kernels::kBuckets; ++bucket) {
    std::uint64_t sum = 0;
    for (std::size_t j = 0; j < kSums; ++j) sum += bucket_sums_[bucket * kSums + j];
    if (sum >= wanted) return bucket;
    wanted -= sum;
    if (sum > 0) last = bucket;
  }
  return last;
}

void RunningSum::descend(std::span<const float> keys, std::span<const float> logits, const Division& division,
                         std::uint16_t bucket) {
  const kernels::Interval about = division.about(bucket);
  found_keys_.resize(std::max(found_keys_.size(), keys.size()));
  found_.resize(std::max(found_.size(), keys.size()));
  const std::size_t near =
      kernels_->keep({keys.data(), keys.data(), nullptr, 0, keys.size()}, about, found_keys_.data(), found_.data());
  if (!narrowed_) {
    keys_.resize(near);
    logits_.resize(near);
    places_.resize(near);
  }
  std::array<std::uint16_t, kChunk> buckets;
  std::size_t kept = 0;
  for (std::size_t begin = 0; begin < near; begin += kChunk) {
    const std::size_t count = std::min(kChunk, near - begin);
    kernels_->bucket(found_keys_.data() + begin, count, division.high, division.factor, buckets.data());
    for (std::size_t i = 0; i < count; ++i) {
      if (buckets[i] != bucket) continue;
      const auto place = static_cast<std::size_t>(found_[begin + i]);
      keys_[kept] = found_keys_[begin + i];
      logits_[kept] = logits[place];
      places_[kept++] = narrowed_ ? places_[place] : static_cast<std::int32_t>(place);
    }
  }
  narrowed_ = true;
  keys_.resize(kept);
  logits_.resize(kept);
  places_.resize(kept);
}

std::size_t RunningSum::finish(std::span<const float> keys, const Weights& weights, const Part& part) {
  entries_.resize(keys.size());
  std::array<std::uint64_t, kChunk> each;
  std::uint64_t whole = 0;
  for (std::size_t begin = 0; begin < keys.size(); begin += kChunk) {
    const std::size_t count = std::min(kChunk, keys.size() - begin);
    whole += weigh(weights, begin, count, each.data());
    for (std::size_t i = 0; i < count; ++i) {
      entries_[begin + i] = {keys[begin + i], static_cast<std::int32_t>(begin + i), each[i]};
    }
  }
  std::uint64_t wanted = part.of(whole);
  const auto before = [](const Entry& a, const Entry& b) { return a.key != b.key ? a.key > b.key : a.place < b.place; };
  auto first = entries_.begin();
  auto last = entries_.end();
  while (last - first > 1) {
    const auto middle = first + (last - first) / 2;
    std::nth_element(first, middle, last, before);
    std::uint64_t sum = 0;
    for (auto entry = first; entry != middle; ++entry) sum += entry->weight;
    if (sum >= wanted) {
      last = middle;
    } else {
      wanted -= sum;
      first = middle;
    }
  }
  return static_cast<std::size_t>(first->place);
}

}  // namespace engine::runtime
