#include "model/forward/heads.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "base/checked.h"
#include "kernels/kernel_table.h"

namespace engine::model {
namespace {

// Members own whole heads, as many as make whole groups, so that they can finish them at once.
std::size_t heads_of_step(const HyperParameters& shape) {
  return kernels::kGroupRows / std::gcd(kernels::kGroupRows, shape.head_dim);
}

}  // namespace

Heads::Heads(Worker& worker, Kind kind, const Layer& layer, std::size_t index)
    : worker_(worker),
      kind_(kind),
      layer_(index),
      projection_(kind == Kind::Query ? &layer.query
                  : kind == Kind::Key ? &layer.key
                                      : &layer.value),
      norm_(kind == Kind::Query ? &layer.query_norm : &layer.key_norm),
      first_(0),
      count_(kind == Kind::Query ? worker.shape().heads : worker.shape().kv_heads) {
  if (kind != Kind::Query) first_ = worker.shape().heads;
  if (kind == Kind::Value) first_ += count_;
}

void Heads::project(Worker& worker, const Layer& layer, std::size_t index) {
  const std::array all{Heads(worker, Kind::Query, layer, index), Heads(worker, Kind::Key, layer, index),
                       Heads(worker, Kind::Value, layer, index)};
  const std::size_t rows = worker.step().rows.size();
  if (worker.step().few_rows() && worker.shape().head_norm != HeadNorm::Whole) {
    const Range mine = worker.share(all[0].steps() + all[1].steps() + all[2].steps());
    std::size_t begin = 0;
    for (const Heads& heads : all) {
      heads.project_whole_heads(mine, begin);
      begin += heads.steps();
    }
  } else {
    for (const Heads& heads : all) heads.multiply(worker.groups(*heads.projection_));
    worker.charge(Operation::Matmul);
    worker.wait();
    const Range mine = worker.share(rows);
    for (const Heads& heads : all) {
      for (std::size_t r = mine.begin; r < mine.end; ++r) heads.finish({0, heads.count_}, r);
    }
  }
  worker.wait();
}

std::size_t Heads::steps() const { return divide_up(count_, heads_of_step(worker_.shape())); }

void Heads::project_whole_heads(Range mine, std::size_t begin) const {
  const std::size_t head_dim = worker_.shape().head_dim;
  const std::size_t step = heads_of_step(worker_.shape());
  const Range own{std::clamp(mine.begin, begin, begin + steps()) - begin,
                  std::clamp(mine.end, begin, begin + steps()) - begin};
  const Range range{own.begin * step, std::min(own.end * step, count_)};
  if (range.begin >= range.end) return;
  multiply({range.begin * head_dim / kernels::kGroupRows, divide_up(range.end * head_dim, kernels::kGroupRows)});
  worker_.charge(Operation::Matmul);
  for (std::size_t r = 0; r < worker_.step().rows.size(); ++r) finish(range, r);
}

void Heads::multiply(Range groups) const {
  Step& step = worker_.step();
  worker_.multiply(*projection_, groups, step.rows.size(), step.heads_of(0) + first_ * worker_.shape().head_dim,
                   step.heads_width);
}

void Heads::normalize(Range range, float* first) const {
  const HyperParameters& shape = worker_.shape();
  const bool whole = shape.head_norm == HeadNorm::Whole;  // then all heads of a row are here
  const std::size_t width = whole ? count_ * shape.head_dim : shape.head_dim;
  const std::size_t stride = shape.head_norm == HeadNorm::OwnWeights ? shape.head_dim : 0;  // from head to head
  for (std::size_t h = range.begin; h < range.end; h += width / shape.head_dim, first += width) {
    normalize_row(worker_.step().model, first, norm_->weight.data() + h * stride, nullptr, width, first);
  }
  worker_.charge(Operation::Norm);
}

void Heads::rotate(Range range, const Step::Row& row, float* first) const {
  const HyperParameters& shape = worker_.shape();
  if (const auto rope = shape.layer_shapes[layer_].rope) {
    const RopeTable& table = worker_.step().rope(*rope, *row.cache);
    worker_.kernels().rotate(first, range.end - range.begin, shape.head_dim, shape.rope_dimensions,
                             table.cosines(row.position), table.sines(row.position), shape.rope_layout);
  }
  worker_.charge(Operation::Rope);
}

void Heads::finish(Range range, std::size_t index) const {
  const std::size_t head_dim = worker_.shape().head_dim;
  const Step::Row& row = worker_.step().rows[index];
  float* first = worker_.step().heads_of(index) + (first_ + range.begin) * head_dim;
  if (kind_ != Kind::Value) {
    const bool normalized = !norm_->weight.empty();
    const bool rotated_first = worker_.shape().rotated_before_norm;
    if (normalized && !rotated_first) normalize(range, first);
    rotate(range, row, first);
    if (normalized && rotated_first) normalize(range, first);
  }
  if (kind_ == Kind::Query) {
    if (row.query_factor == 1.0F) return;
    for (std::size_t i = 0; i < (range.end - range.begin) * head_dim; ++i) first[i] *= row.query_factor;
    return;
  }
  for (std::size_t h = range.begin; h < range.end; ++h, first += head_dim) {
    if (kind_ == Kind::Key) {
      row.cache->store_key(worker_.kernels(), layer_, h, row.position, first);
    } else {
      row.cache->store_value(worker_.kernels(), layer_, h, row.position, first);
    }
  }
  worker_.charge(Operation::KvStore);
}

}  // namespace engine::model
