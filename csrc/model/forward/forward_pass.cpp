#include "model/forward/forward_pass.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/checked.h"
#include "base/float_environment.h"
#include "base/logarithm.h"
#include "kernels/gemm/panel_row.h"
#include "model/forward/decoder_layer.h"
#include "quant/block.h"
#include "quant/finite.h"

namespace engine::model {
namespace {

// Logits of one digest chunk: fixed, so that the digest does not depend on the number of threads.
constexpr std::size_t kDigestChunk = 4096;
// Up to here every member makes all inputs for itself.
constexpr std::size_t kFewRows = 4;

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

float query_factor(const HyperParameters& shape, std::size_t position) {
  if (shape.temperature_scale == 0.0) return 1.0F;
  const std::size_t steps = position / shape.temperature_step;
  return static_cast<float>(natural_logarithm(static_cast<double>(steps) + 1.0) * shape.temperature_scale + 1.0);
}

std::size_t widest_input(const HyperParameters& shape) {
  return std::max({shape.embedding, shape.query_width(), shape.feed_forward, shape.experts.feed_forward});
}

}  // namespace

ForwardPass::ForwardPass(const Model& model, ThreadTeam& team, std::size_t max_rows)
    : model_(model),
      team_(team),
      attention_(model.shape(), model.kernels(), team.size()),
      max_rows_(max_rows),
      heads_width_(model.shape().query_width() + 2 * model.shape().kv_width()),
      residual_(max_rows * model.shape().embedding * sizeof(float)),
      heads_(max_rows * heads_width_ * sizeof(float)),
      projected_(max_rows * std::max(model.shape().embedding, model.shape().feed_forward) * sizeof(float)),
      hidden_(max_rows * std::max(model.shape().query_width(), model.shape().feed_forward) * sizeof(float)),
      input_(max_rows, widest_input(model.shape())) {
  const HyperParameters& shape = model.shape();
  for (std::size_t i = 0; i < shape.ropes.size(); ++i) {
    const std::span<const float> factors = model.weights().rope_factors;
    ropes_.emplace_back(shape.rope_dimensions, shape.ropes[i], i == 0 ? factors : std::span<const float>());
  }
  const std::vector<float>& long_factors = model.weights().long_rope_factors;
  if (!long_factors.empty()) long_rope_.emplace(shape.rope_dimensions, shape.ropes[0], long_factors);
  if (shape.experts.count != 0) experts_ = std::make_unique<ExpertBuffers>(shape, max_rows);
  for (unsigned i = 0; i < team.size(); ++i) {
    own_inputs_.emplace_back(kFewRows, widest_input(model.shape()));
    scratch_.emplace_back(kernels::multiply_scratch_bytes(widest_input(model.shape())));
  }
}

std::size_t ForwardPass::row_bytes(const HyperParameters& shape) {
  const std::size_t residual = shape.embedding;
  const std::size_t heads = shape.query_width() + 2 * shape.kv_width();
  const std::size_t projected = std::max(shape.embedding, shape.feed_forward);
  const std::size_t hidden = std::max(shape.query_width(), shape.feed_forward);
  const std::size_t experts = shape.experts.count == 0 ? 0 : ExpertBuffers::row_bytes(shape);
  return (residual + heads + projected + hidden) * sizeof(float) + ActivationBuffer::row_bytes(widest_input(shape)) +
         experts;
}

void ForwardPass::plan(std::span<const Segment> segments) {
  rows_.clear();
  attention_.clear();
  logit_rows_.clear();
  for (const Segment& segment : segments) {
    const std::size_t first_row = rows_.size();
    for (std::size_t i = 0; i < segment.tokens.size(); ++i) {
      const std::size_t position = segment.first_position + i;
      rows_.push_back({segment.tokens[i], position, segment.cache, query_factor(model_.shape(), position)});
      const bool last = i + 1 == segment.tokens.size();
      if (segment.want_every_logit || (segment.want_logits && last)) logit_rows_.push_back(rows_.size() - 1);
    }
    segment.cache->reserve(segment.first_position + segment.tokens.size());
    attention_.add(*segment.cache, first_row, segment.tokens.size(), segment.first_position);
  }
  non_finite_.assign(rows_.size(), kNoStage);
  attention_.prepare();
  extend_ropes(segments);
  const std::size_t logit_bytes = logit_rows_.size() * model_.shape().vocabulary * sizeof(float);
  if (logits_.size() < logit_bytes) logits_ = AlignedBuffer(logit_bytes);
  chunk_digests_.assign(logit_rows_.size() * chunks(), Digest{});
  chunk_bests_.resize(logit_rows_.size() * chunks());
}

void ForwardPass::extend_ropes(std::span<const Segment> segments) {
  for (const Segment& segment : segments) {
    const std::size_t positions = segment.first_position + segment.tokens.size();
    for (RopeTable& rope : ropes_) rope.extend(positions);
    if (long_rope_ && segment.cache->format().long_factors) long_rope_->extend(positions);
  }
}

bool ForwardPass::few_rows() const { return rows_.size() <= kFewRows; }

std::size_t ForwardPass::chunks() const { return (model_.shape().vocabulary + kDigestChunk - 1) / kDigestChunk; }

bool ForwardPass::run(std::span<const Segment> segments, const std::atomic<bool>& abort, OperationClock* clock) {
  plan(segments);
  aborted_ = false;
  clock_ = clock;
  team_.run([&](unsigned member) {
    const InferenceFloatEnvironment environment;
    Worker worker(*this, member);
    worker.embed();
    for (std::size_t i = 0; i < model_.weights().layers.size(); ++i) {
      if (!few_rows()) {  // else the whole step is soon over
        if (member == 0) aborted_ = abort.load(std::memory_order_relaxed);
        worker.wait();
        if (aborted_) return;
      }
      decoder_layer(worker, model_.weights().layers[i], i);
    }
    worker.compute_logits();
  });
  if (clock != nullptr) clock->charge(Operation::Wait);  // until the last member was done
  if (!aborted_) blame_logits();
  return !aborted_;
}

void ForwardPass::blame(std::size_t row, std::uint32_t stage) {
  std::uint32_t none = kNoStage;
  // Several members may make the same row, and find the same.
  std::atomic_ref(non_finite_[row]).compare_exchange_strong(none, stage, std::memory_order_relaxed);
}

void ForwardPass::blame_logits() {
  for (std::size_t i = 0; i < logit_rows_.size(); ++i) {
    const auto first = chunk_bests_.begin() + static_cast<std::ptrdiff_t>(i * chunks());
    const auto last = first + static_cast<std::ptrdiff_t>(chunks());
    if (std::find(first, last, kNonFiniteKey) != last) blame(logit_rows_[i], output_stage());
  }
}

NonFinitePlace ForwardPass::place_of(std::uint32_t stage, std::size_t row) const {
  const std::size_t position = rows_[row].position;
  if (stage == 0) return {Part::Embedding, 0, position};
  const std::size_t layer = (stage - 1) / 2;
  if (layer == model_.shape().layers) return {Part::Output, 0, position};
  return {stage % 2 == 1 ? Part::Attention : Part::FeedForward, layer, position};
}

std::optional<NonFinitePlace> ForwardPass::non_finite(std::size_t begin, std::size_t count) const {
  for (std::size_t row = begin; row < begin + count; ++row) {
    if (non_finite_[row] != kNoStage) return place_of(non_finite_[row], row);
  }
  return std::nullopt;
}

std::optional<NonFinitePlace> ForwardPass::non_finite_state(std::size_t row, const float* state) const {
  if (const auto place = non_finite(row, 1)) return place;
  if (!std::isinf(quant::largest_magnitude({state, model_.shape().embedding}))) return std::nullopt;
  return place_of(std::isnan(state[0]) ? output_stage() - 1 : output_stage(), row);
}

void ForwardPass::hidden_state(std::size_t row, float* out) const {
  const HyperParameters& shape = model_.shape();
  model_.kernels().rms_norm(residual_.as<float>() + row * shape.embedding, model_.weights().output_norm.data(),
                            shape.norm_epsilon, shape.embedding, out);
}

std::span<const float> ForwardPass::logits(std::size_t index) const {
  const std::size_t vocabulary = model_.shape().vocabulary;
  return {logits_.as<float>() + index * vocabulary, vocabulary};
}

Digest ForwardPass::digest(std::size_t index) const {
  Digest digest;
  for (std::size_t c = 0; c < chunks(); ++c) digest.fold(chunk_digests_[index * chunks() + c]);
  return digest;
}

std::int32_t ForwardPass::best_token(std::size_t index) const {
  const auto first = chunk_bests_.begin() + static_cast<std::ptrdiff_t>(index * chunks());
  const auto best = std::max_element(first, first + static_cast<std::ptrdiff_t>(chunks()));  // the first of equals
  const std::span<const float> all = logits(index);
  auto token = static_cast<std::size_t>(best - first) * kDigestChunk;
  while (order_key(all[token]) != *best) ++token;
  return static_cast<std::int32_t>(token);
}

Worker::Worker(ForwardPass& pass, unsigned member)
    : pass_(pass),
      shape_(pass.model_.shape()),
      kernels_(pass.model_.kernels()),
      member_(member),
      members_(pass.team_.size()),
      clock_(member == 0 ? pass.clock_ : nullptr),
      normalized_(shape_.embedding),
      scratch_(pass.scratch_[member].as<std::byte>()) {}

Range Worker::my_rows(std::size_t count) const { return member_range(count, member_, members_); }

Range Worker::my_groups(const Projection& projection) const {
  return member_range(projection.weight.groups(), member_, members_);
}

Range Worker::my_columns(const Projection& projection) const {
  const Range groups = my_groups(projection);
  return {std::min(groups.begin * kernels::kGroupRows, projection.weight.rows),
          std::min(groups.end * kernels::kGroupRows, projection.weight.rows)};
}

void Worker::wait() {
  pass_.team_.barrier();
  charge(Operation::Wait);
}

void Worker::embed() {
  charge(Operation::Other);
  const kernels::Matrix& embedding = pass_.model_.weights().token_embedding.weight;
  const Range rows = my_rows(pass_.rows_.size());
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    const auto token = static_cast<std::size_t>(pass_.rows_[r].token);
    const std::byte* source = scratch_;
    if (embedding.raw.empty()) {
      kernels::unpack_panel_row(embedding, token, scratch_);
    } else {
      source = embedding.raw.data() + token * embedding.row_bytes();
    }
    float* residual = pass_.residual(r);
    quant::dequantize_row(embedding.type, source, shape_.embedding, residual);
    if (shape_.embedding_scale == 1.0F) continue;
    for (std::size_t i = 0; i < shape_.embedding; ++i) residual[i] *= shape_.embedding_scale;
  }
  charge(Operation::Embedding);
  wait();
}

ActivationBuffer& Worker::input() { return pass_.few_rows() ? pass_.own_inputs_[member_] : pass_.input_; }

template <typename Make>
void Worker::make_input(std::size_t rows, std::size_t width, const Make& make) {
  input_width_ = width;
  const bool own = pass_.few_rows();
  const Range mine = own ? Range{0, rows} : my_rows(rows);
  for (std::size_t r = mine.begin; r < mine.end; ++r) make(r);
  if (!own) wait();
}

void Worker::normalize(const std::vector<float>& weight, std::initializer_list<const Projection*> readers) {
  const std::uint32_t stage_before = stage_++;
  make_input(pass_.rows_.size(), shape_.embedding, [&](std::size_t r) {
    const float* x = pass_.residual(r);
    if (!weight.empty()) {
      kernels_.rms_norm(x, weight.data(), shape_.norm_epsilon, shape_.embedding, normalized_.data());
      x = normalized_.data();
      check_norm(r, x, stage_before);
    }
    charge(Operation::Norm);
    for (const kernels::ActivationFormat format : {kernels::ActivationFormat::F32, kernels::ActivationFormat::Q8Block,
                                                   kernels::ActivationFormat::Q8SuperBlock}) {
      const bool wanted =
          std::ranges::any_of(readers, [&](const Projection* p) { return p->weight.activation_format() == format; });
      if (wanted) input().set(r, input_width_, x, format, kernels_);
    }
    charge(Operation::QuantizeInput);
  });
}

void Worker::check_norm(std::size_t row, const float* normalized, std::uint32_t stage) {
  if (std::isnan(normalized[0])) [[unlikely]]
    pass_.blame(row, stage);  // then all of it is
}

void Worker::multiply(const Projection& projection, Range groups, std::size_t rows, float* out, std::size_t stride) {
  const kernels::Matrix& matrix = projection.weight;
  kernels_.multiply(matrix, input().view(input_width_, matrix.activation_format()), rows, groups.begin, groups.end, out,
                    stride, scratch_);
  if (projection.bias.empty()) return;
  const std::size_t end = std::min(groups.end * kernels::kGroupRows, matrix.rows);
  for (std::size_t t = 0; t < rows; ++t) {
    for (std::size_t i = groups.begin * kernels::kGroupRows; i < end; ++i) out[t * stride + i] += projection.bias[i];
  }
}

std::array<Worker::Heads, 3> Worker::heads_of(const Layer& layer) const {
  return {Heads{&layer.query, &layer.query_norm, 0, shape_.heads, Heads::Kind::Query},
          Heads{&layer.key, &layer.key_norm, shape_.heads, shape_.kv_heads, Heads::Kind::Key},
          Heads{&layer.value, nullptr, shape_.heads + shape_.kv_heads, shape_.kv_heads, Heads::Kind::Value}};
}

void Worker::project_heads(const Layer& layer, std::size_t index) {
  const std::size_t rows = pass_.rows_.size();
  if (pass_.few_rows() && shape_.head_norm != HeadNorm::Whole) {
    // Members own whole heads, as many as make whole groups, so that they can finish them at once.
    const std::size_t step = kernels::kGroupRows / std::gcd(kernels::kGroupRows, shape_.head_dim);
    std::size_t begin = 0;  // among all steps
    const auto steps = [&](const Heads& heads) { return divide_up(heads.count, step); };
    const auto all = heads_of(layer);
    const Range mine = member_range(steps(all[0]) + steps(all[1]) + steps(all[2]), member_, members_);
    for (const Heads& heads : all) {
      const Range own{std::clamp(mine.begin, begin, begin + steps(heads)) - begin,
                      std::clamp(mine.end, begin, begin + steps(heads)) - begin};
      begin += steps(heads);
      const Range range{own.begin * step, std::min(own.end * step, heads.count)};
      if (range.begin >= range.end) continue;
      const Range groups{range.begin * shape_.head_dim / kernels::kGroupRows,
                         divide_up(range.end * shape_.head_dim, kernels::kGroupRows)};
      multiply(*heads.projection, groups, rows, pass_.heads(0) + heads.first * shape_.head_dim, pass_.heads_width_);
      charge(Operation::Matmul);
      for (std::size_t r = 0; r < rows; ++r) finish_heads(heads, range, r, index);
    }
  } else {
    for (const Heads& heads : heads_of(layer)) {
      multiply(*heads.projection, my_groups(*heads.projection), rows, pass_.heads(0) + heads.first * shape_.head_dim,
               pass_.heads_width_);
    }
    charge(Operation::Matmul);
    wait();
    const Range mine = my_rows(rows);
    for (const Heads& heads : heads_of(layer)) {
      for (std::size_t r = mine.begin; r < mine.end; ++r) finish_heads(heads, {0, heads.count}, r, index);
    }
  }
  wait();
}

void Worker::normalize_heads(const Heads& heads, Range range, float* first) {
  const bool whole = shape_.head_norm == HeadNorm::Whole;  // then all heads of a row are here
  const std::size_t width = whole ? heads.count * shape_.head_dim : shape_.head_dim;
  for (std::size_t h = range.begin; h < range.end; h += width / shape_.head_dim, first += width) {
    kernels_.rms_norm(first, heads.norm->data(), shape_.norm_epsilon, width, first);
  }
  charge(Operation::Norm);
}

void Worker::finish_heads(const Heads& heads, Range range, std::size_t row, std::size_t layer) {
  const ForwardPass::Row& place = pass_.rows_[row];
  float* first = pass_.heads(row) + (heads.first + range.begin) * shape_.head_dim;
  const std::size_t width = (range.end - range.begin) * shape_.head_dim;
  if (heads.kind != Heads::Kind::Value) {
    if (!heads.norm->empty()) normalize_heads(heads, range, first);
    if (const auto rope = shape_.layer_shapes[layer].rope) {
      const RopeTable& table = pass_.rope(*rope, *place.cache);
      kernels_.rotate(first, range.end - range.begin, shape_.head_dim, shape_.rope_dimensions,
                      table.cosines(place.position), table.sines(place.position), shape_.rope_layout);
    }
    charge(Operation::Rope);
  }
  if (heads.kind == Heads::Kind::Query) {
    if (place.query_factor == 1.0F) return;
    for (std::size_t i = 0; i < width; ++i) first[i] *= place.query_factor;
    return;
  }
  for (std::size_t h = range.begin; h < range.end; ++h, first += shape_.head_dim) {
    if (heads.kind == Heads::Kind::Key) {
      place.cache->store_key(kernels_, layer, h, place.position, first);
    } else {
      place.cache->store_value(kernels_, layer, h, place.position, first);
    }
  }
  charge(Operation::KvStore);
}

void Worker::attend(std::size_t layer) {
  pass_.attention_.attend(layer, member_, pass_.heads(0), pass_.heads_width_, pass_.hidden_.as<float>(),
                          shape_.query_width());
  charge(Operation::Attention);
  wait();
}

void Worker::project_hidden(const Projection& projection) {
  const std::size_t count = pass_.rows_.size();
  const std::size_t columns = projection.weight.columns;
  make_input(count, columns, [&](std::size_t r) {
    input().set(r, columns, pass_.hidden_.as<float>() + r * columns, projection.weight.activation_format(), kernels_);
    charge(Operation::QuantizeInput);
  });
  multiply(projection, my_groups(projection), count, pass_.projected_.as<float>(), projection.weight.rows);
  charge(Operation::Matmul);
}

void Worker::add_projection(const Projection& projection, const std::vector<float>& norm) {
  const std::size_t count = pass_.rows_.size();
  project_hidden(projection);
  Range rows{0, count};
  Range columns = my_columns(projection);
  auto* out = pass_.projected_.as<float>();
  if (!norm.empty()) {
    wait();
    rows = my_rows(count);
    columns = {0, shape_.embedding};
    for (std::size_t r = rows.begin; r < rows.end; ++r) {
      float* own = out + r * shape_.embedding;
      kernels_.rms_norm(own, norm.data(), shape_.norm_epsilon, shape_.embedding, own);
      check_norm(r, own, stage_);
    }
    charge(Operation::Norm);
  }
  for (std::size_t r = rows.begin; r < rows.end; ++r) {
    float* residual = pass_.residual(r);
    const float* own = out + r * shape_.embedding;
    if (shape_.residual_scale == 1.0F) {
      for (std::size_t i = columns.begin; i < columns.end; ++i) residual[i] += own[i];
    } else {
      for (std::size_t i = columns.begin; i < columns.end; ++i) residual[i] += own[i] * shape_.residual_scale;
    }
  }
  charge(Operation::Residual);
  wait();
}

void Worker::activate(float* gates, const float* ups, std::size_t n) {
  (shape_.activation == Activation::Silu ? kernels_.silu_multiply : kernels_.gelu_multiply)(gates, ups, n);
}

void Worker::gate(const FeedForward& weights) {
  const std::size_t count = pass_.rows_.size();
  const std::size_t width = shape_.feed_forward;
  const Range groups = my_groups(weights.gate);
  const Range columns = my_columns(weights.gate);
  auto* gates = pass_.hidden_.as<float>();
  auto* ups = pass_.projected_.as<float>();
  multiply(weights.gate, groups, count, gates, width);
  multiply(weights.up, groups, count, ups, width);
  charge(Operation::Matmul);
  for (std::size_t r = 0; r < count; ++r) {
    const std::size_t first = r * width + columns.begin;
    activate(gates + first, ups + first, columns.end - columns.begin);
  }
  charge(Operation::Activation);
  wait();
}

void Worker::compute_logits() {
  const std::size_t count = pass_.logit_rows_.size();
  if (count == 0) return;
  const Projection& head = pass_.model_.weights().head;
  make_input(count, shape_.embedding, [&](std::size_t i) {
    pass_.hidden_state(pass_.logit_rows_[i], normalized_.data());
    check_norm(pass_.logit_rows_[i], normalized_.data(), stage_);
    charge(Operation::Norm);
    input().set(i, input_width_, normalized_.data(), head.weight.activation_format(), kernels_);
    charge(Operation::QuantizeInput);
  });
  multiply(head, my_groups(head), count, pass_.logits_.as<float>(), shape_.vocabulary);
  const Range columns = my_columns(head);
  for (std::size_t t = 0; t < count; ++t) {
    float* logits = pass_.logits_.as<float>() + t * shape_.vocabulary;
    if (shape_.logit_scale != 1.0F) {
      for (std::size_t i = columns.begin; i < columns.end; ++i) logits[i] *= shape_.logit_scale;
    }
    if (shape_.logit_soft_cap == 0.0F) continue;
    kernels_.soft_cap(logits + columns.begin, columns.end - columns.begin, shape_.logit_soft_cap);
  }
  charge(Operation::Logits);
  wait();
  summarize_logits();
  charge(Operation::Logits);
}

void Worker::summarize_logits() {
  const Range mine = my_rows(pass_.chunk_digests_.size());
  for (std::size_t i = mine.begin; i < mine.end; ++i) {
    const std::size_t begin = i % pass_.chunks() * kDigestChunk;
    const std::size_t size = std::min(kDigestChunk, shape_.vocabulary - begin);
    const float* logits = pass_.logits(i / pass_.chunks()).data() + begin;
    pass_.chunk_digests_[i] = digest_of(logits, size);
    pass_.chunk_bests_[i] = largest_key(logits, size);
  }
}

}  // namespace engine::model
