#include "model/forward/logits.h"

#include <algorithm>

#include "base/checked.h"
#include "kernels/kernel_table.h"
#include "kernels/order_key.h"
#include "model/forward/worker.h"

namespace engine::model {
namespace {

// Logits of one digest chunk: fixed, so that the digest does not depend on the number of threads.
constexpr std::size_t kDigestChunk = 4096;

}  // namespace

void Logits::prepare() {
  const std::size_t bytes = rows_.size() * vocabulary_ * sizeof(float);
  if (values_.size() < bytes) values_ = AlignedBuffer(bytes);
  digests_.assign(rows_.size() * chunks(), Digest{});
  largest_.resize(rows_.size() * chunks());
}

void Logits::compute(Worker& worker) {
  if (rows_.empty()) return;
  const Projection& head = worker.step().model.weights().head;
  worker.normalize_output(rows_, head);
  const Range mine = worker.columns(head);
  for (std::size_t begin = mine.begin; begin < mine.end;) {
    const std::size_t chunk = begin / kDigestChunk;
    const Range columns{begin, std::min(mine.end, (chunk + 1) * kDigestChunk)};
    project(worker, head, columns);
    if (begin == chunk * kDigestChunk && ends_chunk(columns.end)) summarize(chunk, worker.kernels());
    begin = columns.end;
  }
  worker.charge(Operation::Logits);
  worker.wait();
  // A chunk that members share is left to the first of them.
  const std::size_t last = mine.end / kDigestChunk;
  if (!ends_chunk(mine.end) && mine.begin <= last * kDigestChunk) summarize(last, worker.kernels());
  worker.charge(Operation::Logits);
}

void Logits::project(Worker& worker, const Projection& head, Range columns) {
  const HyperParameters& shape = worker.shape();
  auto* all = values_.as<float>();
  const Range groups{columns.begin / kernels::kGroupRows, divide_up(columns.end, kernels::kGroupRows)};
  worker.multiply(head, groups, rows_.size(), all, vocabulary_);
  for (std::size_t t = 0; t < rows_.size(); ++t) {
    float* logits = all + t * vocabulary_;
    if (shape.logit_scale != 1.0F) {
      for (std::size_t i = columns.begin; i < columns.end; ++i) logits[i] *= shape.logit_scale;
    }
    if (shape.logit_soft_cap == 0.0F) continue;
    worker.kernels().soft_cap(logits + columns.begin, columns.end - columns.begin, shape.logit_soft_cap);
  }
}

void Logits::summarize(std::size_t chunk, const kernels::KernelTable& kernels) {
  const std::size_t begin = chunk * kDigestChunk;
  const std::size_t size = std::min(kDigestChunk, vocabulary_ - begin);
  for (std::size_t t = 0; t < rows_.size(); ++t) {
    const float* logits = of(t).data() + begin;
    digests_[t * chunks() + chunk] = digest_of(logits, size);
    largest_[t * chunks() + chunk] = kernels.largest_key(logits, size);
  }
}

bool Logits::ends_chunk(std::size_t column) const { return column % kDigestChunk == 0 || column == vocabulary_; }

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
  while (kernels::order_key(all[token]) != *best) ++token;
  return static_cast<std::int32_t>(token);
}

bool Logits::finite(std::size_t index) const {
  const std::span<const std::int32_t> largest = largest_of(index);
  return std::ranges::find(largest, kernels::kNonFiniteKey) == largest.end();
}

}  // namespace engine::model
