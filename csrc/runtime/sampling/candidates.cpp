#include "runtime/sampling/candidates.h"

#include <bit>
#include <functional>
#include <numeric>
#include <utility>

#include "base/checked.h"

namespace engine::runtime {
namespace {

using kernels::Interval;

// Most of the sum usually lies within this distance of the largest logit, and few of the candidates do.
constexpr float kNear = 8.0F;
// A part of the candidates this small is worth another look at all of them.
constexpr std::size_t kNearPart = 8;
constexpr std::size_t kFewCandidates = 2048;
constexpr std::size_t kWordBits = 32;
// Logits that stay in the nearest cache while they are looked at twice.
constexpr std::size_t kPiece = 2048;

}  // namespace

Candidates::Candidates(const kernels::KernelTable& kernels)
    : kernels_(kernels.candidates), running_sum_(*kernels.candidates) {}

void Candidates::gather(std::span<const float> logits, std::span<const std::uint32_t> allowed,
                        std::optional<float> largest) {
  logits_ = logits;
  whole_ = allowed.empty();
  likeliest_first_ = false;
  largest_ = whole_ ? largest : std::nullopt;
  if (whole_) return;
  reserve(logits.size());
  std::size_t count = 0;
  for (std::size_t word = 0; word < allowed.size() && word * kWordBits < logits.size(); ++word) {
    const std::size_t first = word * kWordBits;
    if (allowed[word] == ~std::uint32_t{0} && first + kWordBits <= logits.size()) {
      std::copy_n(logits.data() + first, kWordBits, values_.data() + count);
      std::iota(tokens_.data() + count, tokens_.data() + count + kWordBits, static_cast<std::int32_t>(first));
      count += kWordBits;
      continue;
    }
    for (std::uint32_t bits = allowed[word]; bits != 0; bits &= bits - 1) {
      const std::size_t token = first + static_cast<std::size_t>(std::countr_zero(bits));
      if (token >= logits.size()) break;
      values_[count] = logits[token];
      tokens_[count++] = static_cast<std::int32_t>(token);
    }
  }
  logits_ = std::span(values_).first(count);
}

float Candidates::largest() {
  if (!largest_) largest_ = kernels_->extremes(logits_.data(), size()).largest;
  return *largest_;
}

double Candidates::sum_exponentials() {
  return static_cast<double>(kernels_->sum_weights(logits_.data(), size(), largest())) / kernels::kWeightOne;
}

void Candidates::reserve(std::size_t count) {
  if (values_.size() >= count) return;
  values_.resize(count);
  tokens_.resize(count);
}

void Candidates::reserve_others() {
  if (other_values_.size() >= size()) return;
  other_values_.resize(size());
  other_tokens_.resize(size());
}

void Candidates::own() {
  if (logits_.data() == values_.data()) return;
  reserve(size());
  std::ranges::copy(logits_, values_.begin());
  logits_ = std::span(values_).first(size());
}

void Candidates::hold(std::size_t count) {
  logits_ = std::span(values_).first(count);
  whole_ = false;
}

void Candidates::scale(float temperature) {
  const float most = largest();
  reserve(size());
  kernels_->scale(logits_.data(), size(), most, temperature, values_.data());
  logits_ = std::span(values_).first(size());
  largest_ = 0.0F;
}

std::size_t Candidates::keep_range(std::span<const float> keys, std::size_t begin, std::size_t end,
                                   const Interval& interval, std::size_t kept) {
  const kernels::CandidateRange range{keys.data(), logits_.data(), tokens(), begin, end};
  return kept + kernels_->keep(range, interval, values_.data() + kept, tokens_.data() + kept);
}

void Candidates::cut(std::span<const float> keys, std::size_t last) {
  const float bound = keys[last];
  reserve(size());
  const std::size_t front = keep_range(keys, 0, last + 1, {.low = bound}, 0);
  hold(keep_range(keys, last + 1, size(), {.low = bound, .above = true}, front));
}

void Candidates::keep_likeliest(std::size_t count) {
  likeliest_first_ = true;
  if (count >= size()) return;
  // The count-th of the blocks' largest is no larger than the count-th of all.
  const std::size_t blocks = divide_up(size(), kernels::kMaximaBlock);
  if (count <= blocks / 4) {
    keys_.resize(2 * blocks);
    const auto [maxima, ranked] = std::pair(std::span(keys_).first(blocks), std::span(keys_).last(blocks));
    kernels_->block_maxima(logits_.data(), size(), maxima.data());
    std::ranges::copy(maxima, ranked.begin());
    const auto least = ranked.begin() + static_cast<std::ptrdiff_t>(count) - 1;
    std::nth_element(ranked.begin(), least, ranked.end(), std::greater<>());
    keep_from(*least, maxima);
  }
  if (count == size()) return;
  cut(logits_,
      running_sum_.ranked(logits_, {.logits = logits_, .largest = 0.0F, .count = true}, Part::absolute(count)));
}

void Candidates::keep_from(float least, std::span<const float> maxima) {
  reserve(size());
  std::size_t kept = 0;
  for (std::size_t block = 0; block < maxima.size(); ++block) {
    if (maxima[block] < least) continue;
    const std::size_t begin = block * kernels::kMaximaBlock;
    kept = keep_range(logits_, begin, std::min(begin + kernels::kMaximaBlock, size()), {.low = least}, kept);
  }
  hold(kept);
}

Part Candidates::narrow(const Part& part) {
  if (size() <= kFewCandidates) return part;
  const float most = largest();
  reserve_others();
  std::size_t near = 0;
  std::uint64_t whole = 0;
  for (std::size_t begin = 0; begin < size(); begin += kPiece) {
    const std::size_t end = std::min(begin + kPiece, size());
    const kernels::CandidateRange piece{logits_.data(), logits_.data(), tokens(), begin, end};
    near += kernels_->keep(piece, {.low = most - kNear}, other_values_.data() + near, other_tokens_.data() + near);
    if (near > size() / kNearPart) return part;
    whole += kernels_->sum_weights(logits_.data() + begin, end - begin, most);
  }
  const std::uint64_t wanted = part.of(whole);
  if (kernels_->sum_weights(other_values_.data(), near, most) >= wanted) {
    values_.swap(other_values_);
    tokens_.swap(other_tokens_);
    hold(near);
  }
  return Part::absolute(wanted);
}

void Candidates::keep_share(double share) {
  likeliest_first_ = true;
  const Part part = narrow(Part::share(share));
  cut(logits_, running_sum_.ranked(logits_, weights(), part));
}

void Candidates::keep_typical_share(double share) {
  likeliest_first_ = true;
  const float most = largest();
  const std::uint64_t total = kernels_->sum_weights(logits_.data(), size(), most);
  const std::uint64_t distances = kernels_->sum_distances(logits_.data(), size(), most);
  const auto mean = static_cast<float>(static_cast<double>(distances) / static_cast<double>(total));
  keys_.resize(size());
  kernels_->typicality(logits_.data(), size(), most, mean, keys_.data());
  cut(keys_, running_sum_.ranked(keys_, weights(), Part::share(share)));
  largest_.reset();
}

void Candidates::keep_within(double distance) {
  const float most = largest();
  const float bound = std::min(static_cast<float>(static_cast<double>(most) - distance), most);
  reserve(size());
  hold(keep_range(logits_, 0, size(), {.low = bound}, 0));
}

void Candidates::drop_within(double distance) {
  const auto bound = static_cast<float>(static_cast<double>(largest()) - distance);
  reserve_others();
  const kernels::CandidateRange all{logits_.data(), logits_.data(), nullptr, 0, size()};
  const std::size_t near = kernels_->keep(all, {.low = bound}, other_values_.data(), other_tokens_.data());
  if (near == 0) return;
  const auto last = std::min_element(other_values_.rbegin() + static_cast<std::ptrdiff_t>(other_values_.size() - near),
                                     other_values_.rend());
  const auto place = static_cast<std::size_t>(other_tokens_[static_cast<std::size_t>(other_values_.rend() - last) - 1]);
  const Candidate kept = at(place);
  reserve(size());
  const std::size_t front = keep_range(logits_, 0, place, {.high = bound}, 0);
  values_[front] = kept.logit;
  tokens_[front] = kept.token;
  hold(keep_range(logits_, place + 1, size(), {.high = bound}, front + 1));
  largest_.reset();
}

Candidate Candidates::draw(std::uint64_t fraction) {
  Part part = Part::beyond(fraction);
  if (!likeliest_first_) return at(running_sum_.in_order(weights(), part));
  part = narrow(part);
  return at(running_sum_.ranked(logits_, weights(), part));
}

}  // namespace engine::runtime
