#include "model/forward_pass.h"

#include <algorithm>

#include "base/float_environment.h"
#include "quant/block.h"

namespace engine::model {
namespace {

// Logits of one digest chunk: fixed, so that the digest does not depend on the number of threads.
constexpr std::size_t kDigestChunk = 4096;

std::size_t widest_input(const HyperParameters& shape) {
  return std::max({shape.embedding, shape.query_width(), shape.feed_forward});
}

}  // namespace

ForwardPass::ForwardPass(const Model& model, ThreadTeam& team, std::size_t max_rows)
    : model_(model),
      team_(team),
      rope_(model.shape().rope_dimensions, model.shape().rope_base, model.weights().rope_factors),
      attention_(model.shape(), model.kernels(), team.size()),
      max_rows_(max_rows),
      heads_width_(model.shape().query_width() + 2 * model.shape().kv_width()),
      residual_(max_rows * model.shape().embedding * sizeof(float)),
      heads_(max_rows * heads_width_ * sizeof(float)),
      projected_(max_rows * std::max(model.shape().embedding, model.shape().feed_forward) * sizeof(float)),
      gates_(max_rows * model.shape().feed_forward * sizeof(float)),
      input_(max_rows, widest_input(model.shape())) {
  for (unsigned i = 0; i < team.size(); ++i) {
    scratch_.emplace_back(kernels::multiply_scratch_bytes(widest_input(model.shape())));
  }
}

std::size_t ForwardPass::row_bytes(const HyperParameters& shape) {
  const std::size_t residual = shape.embedding;
  const std::size_t heads = shape.query_width() + 2 * shape.kv_width();
  const std::size_t projected = std::max(shape.embedding, shape.feed_forward);
  const std::size_t gates = shape.feed_forward;
  return (residual + heads + projected + gates) * sizeof(float) + ActivationBuffer::row_bytes(widest_input(shape));
}

void ForwardPass::plan(std::span<const Segment> segments) {
  rows_.clear();
  attention_.clear();
  logit_rows_.clear();
  std::size_t positions = 0;
  for (const Segment& segment : segments) {
    const std::size_t first_row = rows_.size();
    for (std::size_t i = 0; i < segment.tokens.size(); ++i) {
      rows_.push_back({segment.tokens[i], segment.first_position + i, segment.cache});
      const bool last = i + 1 == segment.tokens.size();
      if (segment.want_every_logit || (segment.want_logits && last)) logit_rows_.push_back(rows_.size() - 1);
    }
    segment.cache->reserve(segment.first_position + segment.tokens.size());
    positions = std::max(positions, segment.first_position + segment.tokens.size());
    attention_.add(*segment.cache, first_row, segment.tokens.size(), segment.first_position);
  }
  attention_.prepare();
  rope_.extend(positions);
  const std::size_t logit_bytes = logit_rows_.size() * model_.shape().vocabulary * sizeof(float);
  if (logits_.size() < logit_bytes) logits_ = AlignedBuffer(logit_bytes);
  const std::size_t chunks = (model_.shape().vocabulary + kDigestChunk - 1) / kDigestChunk;
  chunk_digests_.assign(logit_rows_.size() * chunks, Digest{});
}

bool ForwardPass::run(std::span<const Segment> segments, const std::atomic<bool>& abort) {
  plan(segments);
  aborted_ = false;
  team_.run([&](unsigned member) {
    const InferenceFloatEnvironment environment;
    Worker worker(*this, member);
    worker.embed();
    for (std::size_t i = 0; i < model_.weights().layers.size(); ++i) {
      if (member == 0) aborted_ = abort.load(std::memory_order_relaxed);
      team_.barrier();
      if (aborted_) return;
      model_.architecture().layer(worker, model_.weights().layers[i], i);
    }
    worker.compute_logits();
  });
  return !aborted_;
}

std::span<const float> ForwardPass::logits(std::size_t index) const {
  const std::size_t vocabulary = model_.shape().vocabulary;
  return {logits_.as<float>() + index * vocabulary, vocabulary};
}

Digest ForwardPass::digest(std::size_t index) const {
  const std::size_t chunks = chunk_digests_.size() / logit_rows_.size();
  Digest digest;
  for (std::size_t c = 0; c < chunks; ++c) digest.fold(chunk_digests_[index * chunks + c]);
  return digest;
}

Worker::Worker(ForwardPass& pass, unsigned member)
    : pass_(pass),
      shape_(pass.model_.shape()),
      kernels_(pass.model_.kernels()),
      member_(member),
      members_(pass.team_.size()),
      scratch_(pass.scratch_[member].as<std::byte>()) {}

Range Worker::my_rows(std::size_t count) const { return member_range(count, member_, members_); }

Range Worker::my_groups(const Projection& projection) const {
  return member_range(projection.weight.groups(), member_, members_);
}

void Worker::embed() {
  const kernels::Matrix& embedding = pass_.model_.weights().token_embedding;
  const Range rows = my_rows(pass_.rows_.size());
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    const std::byte* source =
        embedding.raw.data() + static_cast<std::size_t>(pass_.rows_[r].token) * embedding.row_bytes();
    quant::dequantize_row(embedding.type, source, shape_.embedding, pass_.residual(r));
  }
  pass_.team_.barrier();
}

void Worker::normalize(const std::vector<float>& weight, std::initializer_list<const Projection*> readers) {
  input_width_ = shape_.embedding;
  const Range rows = my_rows(pass_.rows_.size());
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    kernels_.rms_norm(pass_.residual(r), weight.data(), shape_.norm_epsilon, shape_.embedding, input(r));
    for (const kernels::ActivationFormat format :
         {kernels::ActivationFormat::Q8Block, kernels::ActivationFormat::Q8SuperBlock}) {
      const bool wanted =
          std::ranges::any_of(readers, [&](const Projection* p) { return p->weight.activation_format() == format; });
      if (wanted) pass_.input_.quantize(r, input_width_, format, kernels_);
    }
  }
  pass_.team_.barrier();
}

void Worker::multiply(const Projection& projection, Range groups, std::size_t rows, float* out, std::size_t stride) {
  const kernels::Matrix& matrix = projection.weight;
  kernels_.multiply(matrix, pass_.input_.view(input_width_, matrix.activation_format()), rows, groups.begin, groups.end,
                    out, stride, scratch_);
  if (projection.bias.empty()) return;
  const std::size_t end = std::min(groups.end * kernels::kGroupRows, matrix.rows);
  for (std::size_t t = 0; t < rows; ++t) {
    for (std::size_t i = groups.begin * kernels::kGroupRows; i < end; ++i) out[t * stride + i] += projection.bias[i];
  }
}

void Worker::project_heads(const Layer& layer) {
  float* out = pass_.heads(0);
  for (const Projection* projection : {&layer.query, &layer.key, &layer.value}) {
    multiply(*projection, my_groups(*projection), pass_.rows_.size(), out, pass_.heads_width_);
    out += projection->weight.rows;
  }
  pass_.team_.barrier();
}

void Worker::rotate_and_store(std::size_t layer, kernels::RopeLayout layout) {
  const Range rows = my_rows(pass_.rows_.size());
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    const ForwardPass::Row& row = pass_.rows_[r];
    float* heads = pass_.heads(r);
    kernels_.rotate(heads, shape_.heads + shape_.kv_heads, shape_.head_dim, shape_.rope_dimensions,
                    pass_.rope_.cosines(row.position), pass_.rope_.sines(row.position), layout);
    const float* keys = heads + shape_.query_width();
    row.cache->store(kernels_, layer, row.position, keys, keys + shape_.kv_width());
  }
  pass_.team_.barrier();
}

void Worker::attend(std::size_t layer) {
  input_width_ = shape_.query_width();
  pass_.attention_.attend(layer, member_, pass_.heads(0), pass_.heads_width_, input(0), input_width_);
  pass_.team_.barrier();
}

void Worker::add_projection(const Projection& projection) {
  const std::size_t count = pass_.rows_.size();
  const Range rows = my_rows(count);
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    pass_.input_.quantize(r, input_width_, projection.weight.activation_format(), kernels_);
  }
  pass_.team_.barrier();
  const Range groups = my_groups(projection);
  const std::size_t width = projection.weight.rows;
  auto* out = pass_.projected_.as<float>();
  multiply(projection, groups, count, out, width);
  const std::size_t end = std::min(groups.end * kernels::kGroupRows, width);
  for (std::size_t r = 0; r < count; ++r) {
    float* residual = pass_.residual(r);
    for (std::size_t i = groups.begin * kernels::kGroupRows; i < end; ++i) residual[i] += out[r * width + i];
  }
  pass_.team_.barrier();
}

void Worker::gate_with_silu(const Projection& gate, const Projection& up) {
  const std::size_t count = pass_.rows_.size();
  const std::size_t width = shape_.feed_forward;
  const Range groups = my_groups(gate);
  const std::size_t begin = groups.begin * kernels::kGroupRows;
  const std::size_t end = std::min(groups.end * kernels::kGroupRows, width);
  auto* gates = pass_.gates_.as<float>();
  auto* ups = pass_.projected_.as<float>();
  multiply(gate, groups, count, gates, width);
  multiply(up, groups, count, ups, width);
  pass_.team_.barrier();  // the input is read by others until here
  input_width_ = width;
  for (std::size_t r = 0; r < count; ++r) {
    kernels_.silu_multiply(gates + r * width + begin, ups + r * width + begin, end - begin);
    std::copy(gates + r * width + begin, gates + r * width + end, input(r) + begin);
  }
  pass_.team_.barrier();
}

void Worker::compute_logits() {
  const std::size_t count = pass_.logit_rows_.size();
  const Projection& head = pass_.model_.weights().head;
  const Range rows = my_rows(count);
  input_width_ = shape_.embedding;
  for (std::size_t i = rows.begin; i < rows.end; ++i) {
    kernels_.rms_norm(pass_.residual(pass_.logit_rows_[i]), pass_.model_.weights().output_norm.data(),
                      shape_.norm_epsilon, shape_.embedding, input(i));
    pass_.input_.quantize(i, input_width_, head.weight.activation_format(), kernels_);
  }
  pass_.team_.barrier();
  multiply(head, my_groups(head), count, pass_.logits_.as<float>(), shape_.vocabulary);
  pass_.team_.barrier();
  digest_logits();
}

void Worker::digest_logits() {
  const std::size_t chunks = (shape_.vocabulary + kDigestChunk - 1) / kDigestChunk;
  const Range mine = my_rows(pass_.chunk_digests_.size());
  for (std::size_t i = mine.begin; i < mine.end; ++i) {
    const std::size_t begin = i % chunks * kDigestChunk;
    const std::size_t size = std::min(kDigestChunk, shape_.vocabulary - begin);
    pass_.chunk_digests_[i] = digest_of(pass_.logits(i / chunks).data() + begin, size);
  }
}

}  // namespace engine::model
