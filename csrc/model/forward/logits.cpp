#include "model/forward/logits.h"

#include <algorithm>
#include <bit>
#include <limits>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "model/forward/worker.h"

namespace engine::model {
namespace {

// Logits of one digest chunk: fixed, so that the digest does not depend on the number of threads.
constexpr std::size_t kDigestChunk = 4096;

// What order_key() is for NaN and infinities.
constexpr std::int32_t kNonFiniteKey = std::numeric_limits<std::int32_t>::max();

// Orders logits as numbers are ordered, with both zeros alike and those that are not finite above all.
std::int32_t order_key(float logit) {
  const auto bits = std::bit_cast<std::int32_t>(logit + 0.0F);
  const std::int32_t key = bits ^ ((bits >> 31) & 0x7FFFFFFF);
  return (bits & 0x7FFFFFFF) >= 0x7F800000 ? kNonFiniteKey : key;
}

std::int32_t largest_key(const float* logits, std::size_t n) {
  std::int32_t largest = std::numeric_limits<std::int32_t>::min();
  for (std::size_t i = 0; i < n; ++i) largest = std::max(largest, order_key(logits[i]));
  return largest;
}

}  // namespace

void Logits::prepare() {
  const std::size_t bytes = rows_.size() * vocabulary_ * sizeof(float);
  if (values_.size() < bytes) values_ = AlignedBuffer(bytes);
  digests_.assign(rows_.size() * chunks(), Digest{});
  largest_.resize(rows_.size() * chunks());
}

void Logits::compute(Worker& worker) {
  if (rows_.empty()) return;
  const HyperParameters& shape = worker.shape();
  const Projection& head = worker.step().model.weights().head;
  worker.normalize_output(rows_, head);
  auto* all = values_.as<float>();
  worker.multiply(head, worker.groups(head), rows_.size(), all, vocabulary_);
  const Range columns = worker.columns(head);
  for (std::size_t t = 0; t < rows_.size(); ++t) {
    float* logits = all + t * vocabulary_;
    if (shape.logit_scale != 1.0F) {
      for (std::size_t i = columns.begin; i < columns.end; ++i) logits[i] *= shape.logit_scale;
    }
    if (shape.logit_soft_cap == 0.0F) continue;
    worker.kernels().soft_cap(logits + columns.begin, columns.end - columns.begin, shape.logit_soft_cap);
  }
  worker.charge(Operation::Logits);
  worker.wait();
  summarize(worker);
  worker.charge(Operation::Logits);
}

void Logits::summarize(const Worker& worker) {
  const Range mine = worker.share(digests_.size());
  for (std::size_t i = mine.begin; i < mine.end; ++i) {
    const std::size_t begin = i % chunks() * kDigestChunk;
    const std::size_t size = std::min(kDigestChunk, vocabulary_ - begin);
    const float* logits = of(i / chunks()).data() + begin;
    digests_[i] = digest_of(logits, size);
    largest_[i] = largest_key(logits, size);
  }
}

std::size_t Logits::chunks() const { return divide_up(vocabulary_, kDigestChunk); }

std::span<const std::int32_t> Logits::largest_of(std::size_t index) const {
  return std::span(largest_).subspan(index * chunks(), chunks());
}

Digest Logits::digest(std::size_t index) const {
  Digest digest;
  for (std::size_t c = 0; c < chunks(); ++c) digest.fold(digests_[index * chunks() + c]);
  return digest;
}

std::int32_t Logits::best_token(std::size_t index) const {
  const std::span<const std::int32_t> largest = largest_of(index);
  const auto best = std::ranges::max_element(largest);  // the first of equals
  const std::span<const float> all = of(index);
  auto token = static_cast<std::size_t>(best - largest.begin()) * kDigestChunk;
  while (order_key(all[token]) != *best) ++token;
  return static_cast<std::int32_t>(token);
}

bool Logits::finite(std::size_t index) const {
  const std::span<const std::int32_t> largest = largest_of(index);
  return std::ranges::find(largest, kNonFiniteKey) == largest.end();
}

}  // namespace engine::model
