#include "model/weights.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <initializer_list>
#include <numeric>
#include <optional>
#include <set>
#include <tuple>
#include <utility>

#include "base/cancelled.h"
#include "base/checked.h"
#include "base/thread_team.h"
#include "kernels/panel.h"
#include "quant/block.h"
#include "quant/finite.h"

namespace engine::model {
namespace {

std::string shape_text(std::size_t rows, std::size_t columns) {
  return "[" + std::to_string(rows) + ", " + std::to_string(columns) + "]";
}

// What a matrix takes of the buffer of all: the next one begins on a cache line.
std::size_t packed_size(const kernels::Matrix& matrix, const kernels::KernelTable& table) {
  return round_up(table.packed_bytes(matrix), kernels::kLineBytes);
}

// Hands out the file's tensors by name and remembers which were asked for.
class Tensors {
 public:
  explicit Tensors(const gguf::File& file) : file_(file) {}

  const gguf::TensorInfo* find(const std::string& name) {
    used_.insert(name);
    return file_.find_tensor(name);
  }

  kernels::Matrix matrix(const std::string& name, std::size_t rows, std::size_t columns) {
    const gguf::TensorInfo& tensor = require(name);
    check_shape(tensor, rows, columns);
    kernels::Matrix matrix;
    matrix.type = tensor.type;
    matrix.rows = rows;
    matrix.columns = columns;
    matrix.raw = tensor.bytes;
    return matrix;
  }

  // One matrix [rows, columns] of each expert.
  std::vector<kernels::Matrix> experts(const std::string& name, std::size_t count, std::size_t rows,
                                       std::size_t columns) {
    const gguf::TensorInfo& tensor = require(name);
    check_shape(tensor, count * rows, columns);
    if (tensor.dimensions.size() < 3 || tensor.dimensions[2] != count) {
      throw gguf::MalformedFile("tensor " + gguf::quoted(name) + " is not of " + std::to_string(count) + " experts");
    }
    const kernels::Matrix all = matrix(name, count * rows, columns);
    std::vector<kernels::Matrix> parts;
    parts.reserve(count);
    for (std::size_t i = 0; i < count; ++i) parts.push_back(rows_of(all, i * rows, rows));
    return parts;
  }

  // Rows [begin, begin + count) of a matrix, as one of their own.
  static kernels::Matrix rows_of(const kernels::Matrix& all, std::size_t begin, std::size_t count) {
    kernels::Matrix part = all;
    part.rows = count;
    part.raw = all.raw.subspan(begin * all.row_bytes(), count * all.row_bytes());
    return part;
  }

  std::vector<float> vector(const std::string& name, std::size_t size) {
    const gguf::TensorInfo& tensor = require(name);
    check_shape(tensor, 1, size);
    std::vector<float> values(size);
    quant::dequantize_row(tensor.type, tensor.bytes.data(), size, values.data());
    if (std::isinf(quant::largest_magnitude(values))) throw NonFiniteWeights(name, 0);
    return values;
  }

  std::vector<float> vector_if_present(const std::string& name, std::size_t size) {
    return find(name) != nullptr ? vector(name, size) : std::vector<float>{};
  }

  Projection projection(const std::string& name, std::size_t rows, std::size_t columns) {
    return {matrix(name + ".weight", rows, columns), vector_if_present(name + ".bias", rows)};
  }

  // Consecutive rows of one tensor as projections of their own, `rows` each.
  template <std::size_t kParts>
  std::array<Projection, kParts> parts(const std::string& name, const std::array<std::size_t, kParts>& rows,
                                       std::size_t columns) {
    const std::size_t total = std::accumulate(rows.begin(), rows.end(), std::size_t{0});
    const Projection all = projection(name, total, columns);
    std::array<Projection, kParts> parts;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < kParts; begin += rows[i++]) {
      parts[i].weight = rows_of(all.weight, begin, rows[i]);
      if (all.bias.empty()) continue;
      const auto first = all.bias.begin() + static_cast<std::ptrdiff_t>(begin);
      parts[i].bias.assign(first, first + static_cast<std::ptrdiff_t>(rows[i]));
    }
    return parts;
  }

  // A tensor nobody asked for means that the model computes something this architecture does not.
  void refuse_unused() const {
    for (const gguf::TensorInfo& tensor : file_.tensors()) {
      if (!used_.contains(std::string(tensor.name))) {
        throw UnsupportedModel("tensor " + gguf::quoted(tensor.name) + " has no place in this architecture");
      }
    }
  }

 private:
  const gguf::TensorInfo& require(const std::string& name) {
    const gguf::TensorInfo* tensor = find(name);
    if (tensor == nullptr) throw gguf::MalformedFile("tensor " + gguf::quoted(name) + " is missing");
    return *tensor;
  }

  static void check_shape(const gguf::TensorInfo& tensor, std::size_t rows, std::size_t columns) {
    if (tensor.columns() == columns && tensor.rows() == rows) return;
    throw gguf::MalformedFile("tensor " + gguf::quoted(tensor.name) + " is " +
                              shape_text(tensor.rows(), tensor.columns()) + " where the metadata wants " +
                              shape_text(rows, columns));
  }

  const gguf::File& file_;
  std::set<std::string> used_;
};

void find_heads(Tensors& tensors, const HyperParameters& shape, const std::string& prefix, Layer& layer) {
  if (tensors.find(prefix + "attn_qkv.weight") != nullptr) {
    const std::array<std::size_t, 3> rows{shape.query_width(), shape.kv_width(), shape.kv_width()};
    const auto parts = tensors.parts(prefix + "attn_qkv", rows, shape.embedding);
    std::tie(layer.query, layer.key, layer.value) = std::tie(parts[0], parts[1], parts[2]);
  } else {
    layer.query = tensors.projection(prefix + "attn_q", shape.query_width(), shape.embedding);
    layer.key = tensors.projection(prefix + "attn_k", shape.kv_width(), shape.embedding);
    layer.value = tensors.projection(prefix + "attn_v", shape.kv_width(), shape.embedding);
  }
  if (shape.head_norm == HeadNorm::None) return;
  const bool whole = shape.head_norm == HeadNorm::Whole;
  layer.query_norm = tensors.vector(prefix + "attn_q_norm.weight", whole ? shape.query_width() : shape.head_dim);
  layer.key_norm = tensors.vector(prefix + "attn_k_norm.weight", whole ? shape.kv_width() : shape.head_dim);
}

FeedForward find_dense(Tensors& tensors, const HyperParameters& shape, const std::string& prefix,
                       const std::string& suffix) {
  FeedForward dense;
  const gguf::TensorInfo* up = tensors.find(prefix + "ffn_up" + suffix + ".weight");
  if (up != nullptr && up->rows() == 2 * shape.feed_forward) {  // gates above ups
    const std::array<std::size_t, 2> rows{shape.feed_forward, shape.feed_forward};
    const auto parts = tensors.parts(prefix + "ffn_up" + suffix, rows, shape.embedding);
    std::tie(dense.gate, dense.up) = std::tie(parts[0], parts[1]);
  } else {
    dense.gate = tensors.projection(prefix + "ffn_gate" + suffix, shape.feed_forward, shape.embedding);
    dense.up = tensors.projection(prefix + "ffn_up" + suffix, shape.feed_forward, shape.embedding);
  }
  dense.down = tensors.projection(prefix + "ffn_down" + suffix, shape.embedding, shape.feed_forward);
  return dense;
}

void find_experts(Tensors& tensors, const HyperParameters& shape, const std::string& prefix, Layer& layer) {
  const std::size_t count = shape.experts.count;
  const std::size_t width = shape.experts.feed_forward;
  layer.router.weight = tensors.matrix(prefix + "ffn_gate_inp.weight", count, shape.embedding);
  const auto gates = tensors.experts(prefix + "ffn_gate_exps.weight", count, width, shape.embedding);
  const auto ups = tensors.experts(prefix + "ffn_up_exps.weight", count, width, shape.embedding);
  const auto downs = tensors.experts(prefix + "ffn_down_exps.weight", count, shape.embedding, width);
  for (std::size_t i = 0; i < count; ++i) {
    layer.experts.push_back({.gate = {gates[i], {}}, .up = {ups[i], {}}, .down = {downs[i], {}}});
  }
  if (shape.feed_forward == 0) return;
  layer.dense_share.weight = tensors.matrix(prefix + "ffn_gate_inp_shexp.weight", 1, shape.embedding);
  layer.dense = find_dense(tensors, shape, prefix, "_shexp");
}

Layer find_layer(Tensors& tensors, const HyperParameters& shape, std::size_t index) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  Layer layer;
  if (shape.input_norms) layer.attention_norm = tensors.vector(prefix + "attn_norm.weight", shape.embedding);
  find_heads(tensors, shape, prefix, layer);
  layer.attention_output = tensors.projection(prefix + "attn_output", shape.embedding, shape.query_width());
  if (shape.input_norms) layer.feed_forward_norm = tensors.vector(prefix + "ffn_norm.weight", shape.embedding);
  if (shape.experts.count != 0) {
    find_experts(tensors, shape, prefix, layer);
  } else {
    layer.dense = find_dense(tensors, shape, prefix, "");
  }
  if (shape.output_norms) {
    layer.attention_output_norm = tensors.vector(prefix + "post_attention_norm.weight", shape.embedding);
    layer.feed_forward_output_norm = tensors.vector(prefix + "post_ffw_norm.weight", shape.embedding);
  }
  return layer;
}

std::vector<float> find_factors(Tensors& tensors, const std::string& name, std::size_t count) {
  std::vector<float> factors = tensors.vector_if_present(name, count);
  for (const float factor : factors) {
    if (!(factor > 0)) throw gguf::MalformedFile("tensor '" + name + "' holds a factor that is not positive");
  }
  return factors;
}

void find_rope_factors(Tensors& tensors, const HyperParameters& shape, Weights& weights) {
  const std::size_t pairs = shape.rope_dimensions / 2;
  if (shape.rope_factors == RopeFactors::Single) {
    weights.rope_factors = find_factors(tensors, "rope_freqs.weight", pairs);
  }
  if (shape.rope_factors != RopeFactors::LongAndShort) return;
  const std::string names[] = {"rope_factors_short.weight", "rope_factors_long.weight"};
  weights.rope_factors = find_factors(tensors, names[0], pairs);
  weights.long_rope_factors = find_factors(tensors, names[1], pairs);
  const bool has_short = !weights.rope_factors.empty();
  if (has_short == !weights.long_rope_factors.empty()) return;
  throw gguf::MalformedFile("tensor " + gguf::quoted(names[has_short ? 1 : 0]) + " is missing beside " +
                            gguf::quoted(names[has_short ? 0 : 1]));
}

Weights find_weights(const gguf::File& file, const HyperParameters& shape) {
  Tensors tensors(file);
  Weights weights;
  weights.token_embedding = tensors.matrix("token_embd.weight", shape.vocabulary, shape.embedding);
  for (std::size_t i = 0; i < shape.layers; ++i) weights.layers.push_back(find_layer(tensors, shape, i));
  weights.output_norm = tensors.vector("output_norm.weight", shape.embedding);
  const bool tied = tensors.find("output.weight") == nullptr;
  weights.head.weight = tensors.matrix(tied ? "token_embd.weight" : "output.weight", shape.vocabulary, shape.embedding);
  weights.head.bias = tensors.vector_if_present("output.bias", shape.vocabulary);
  find_rope_factors(tensors, shape, weights);
  tensors.refuse_unused();
  return weights;
}

std::vector<kernels::Matrix*> multiplied_matrices(Weights& weights) {
  std::vector<kernels::Matrix*> matrices;
  const auto add = [&](std::initializer_list<Projection*> projections) {
    for (Projection* projection : projections) {
      if (projection->weight.rows != 0) matrices.push_back(&projection->weight);
    }
  };
  for (Layer& layer : weights.layers) {
    add({&layer.query, &layer.key, &layer.value, &layer.attention_output, &layer.router, &layer.dense_share,
         &layer.dense.gate, &layer.dense.up, &layer.dense.down});
    for (FeedForward& expert : layer.experts) add({&expert.gate, &expert.up, &expert.down});
  }
  add({&weights.head});
  return matrices;
}

// One buffer for all: most matrices of a small model would not fill a huge page of their own.
AlignedBuffer allocate_packed(std::span<kernels::Matrix* const> matrices, const kernels::KernelTable& table) {
  std::size_t bytes = 0;
  for (const kernels::Matrix* matrix : matrices) bytes += packed_size(*matrix, table);
  AlignedBuffer buffer(bytes);
  std::size_t begin = 0;
  for (kernels::Matrix* matrix : matrices) {
    matrix->packed = buffer.bytes().subspan(begin, table.packed_bytes(*matrix));
    begin += packed_size(*matrix, table);
  }
  return buffer;
}

// By the tensor that holds the matrix, of which the row may be another.
NonFiniteWeights non_finite(const gguf::File& file, const kernels::Matrix& matrix, std::size_t row) {
  const std::byte* at = matrix.raw.data() + row * matrix.row_bytes();
  const auto tensor = std::ranges::find_if(file.tensors(), [&](const gguf::TensorInfo& info) {
    return at >= info.bytes.data() && at < info.bytes.data() + info.bytes.size();
  });
  return {tensor->name, static_cast<std::size_t>(at - tensor->bytes.data()) / matrix.row_bytes()};
}

// The first of rows [begin, end) with a weight that is not finite, or `end`.
std::size_t find_non_finite_row(const kernels::Matrix& matrix, std::size_t begin, std::size_t end) {
  const std::size_t size = matrix.row_bytes();
  if (quant::all_finite(matrix.type, matrix.raw.subspan(begin * size, (end - begin) * size))) return end;
  while (quant::all_finite(matrix.type, matrix.raw.subspan(begin * size, size))) ++begin;
  return begin;
}

// Checks and packs groups in steps, and lets go of their pages of the file after each, so that the two copies of a
// matrix are never in memory together. Ends early where the load is cancelled, and at a row that is not finite, which
// it returns; else it returns how many rows there are.
std::size_t pack_groups(kernels::Matrix& matrix, Range groups, const kernels::KernelTable& table,
                        LoadControl& control) {
  constexpr std::size_t kStepBytes = std::size_t{1} << 20;
  const std::size_t group_bytes = matrix.row_bytes() * kernels::kGroupRows;
  const std::size_t step = std::max<std::size_t>(1, kStepBytes / group_bytes);
  for (std::size_t begin = groups.begin; begin < groups.end; begin += step) {
    if (control.cancelled.load(std::memory_order_relaxed)) break;
    const std::size_t end = std::min(begin + step, groups.end);
    const std::size_t last_row = std::min(end * kernels::kGroupRows, matrix.rows);
    const std::size_t bad_row = find_non_finite_row(matrix, begin * kernels::kGroupRows, last_row);
    if (bad_row != last_row) return bad_row;
    if (matrix.packed.empty()) continue;
    table.pack(matrix, begin, end);
    const std::size_t first_byte = begin * group_bytes;
    const auto packed = matrix.raw.subspan(first_byte, std::min(end * group_bytes, matrix.raw.size()) - first_byte);
    gguf::MappedFile::release(packed);
    control.bytes_done.fetch_add(packed.size(), std::memory_order_relaxed);
  }
  return matrix.rows;
}

// A matrix by its place among those that are packed, and a row.
using Place = std::pair<std::size_t, std::size_t>;

// Checks and packs a member's part of the matrices; the place of the first of its rows that is not finite.
std::optional<Place> pack_part(std::span<kernels::Matrix* const> matrices, unsigned member, unsigned members,
                               const kernels::KernelTable& table, LoadControl& control) {
  for (std::size_t i = 0; i < matrices.size(); ++i) {
    kernels::Matrix& matrix = *matrices[i];
    const std::size_t row = pack_groups(matrix, member_range(matrix.groups(), member, members), table, control);
    if (row != matrix.rows) return Place{i, row};
  }
  return std::nullopt;
}

// The rows of the matrices that a tensor is divided into.
std::vector<std::size_t> rows_of_parts(const gguf::TensorInfo& tensor, const HyperParameters& shape) {
  if (tensor.dimensions.size() > 2) {
    return std::vector<std::size_t>(tensor.rows() / tensor.dimensions[1], tensor.dimensions[1]);
  }
  if (tensor.name.ends_with(".attn_qkv.weight")) return {shape.query_width(), shape.kv_width(), shape.kv_width()};
  const bool gates_and_ups = tensor.name.ends_with(".ffn_up.weight") && tensor.rows() == 2 * shape.feed_forward;
  if (gates_and_ups) return {shape.feed_forward, shape.feed_forward};
  return {tensor.rows()};
}

}  // namespace

Weights load_weights(const gguf::File& file, const HyperParameters& shape, const kernels::KernelTable& table,
                     unsigned threads, LoadControl& control) {
  ThreadTeam team(threads, std::chrono::microseconds(50));
  Weights weights = find_weights(file, shape);
  std::vector<kernels::Matrix*> matrices = multiplied_matrices(weights);
  weights.packed = allocate_packed(matrices, table);
  const bool tied = weights.head.weight.raw.data() == weights.token_embedding.raw.data();
  if (!tied) matrices.push_back(&weights.token_embedding);  // without memory to be packed to: it is checked
  // Every member packs the groups that it will multiply, so that their memory is near its processor.
  std::vector<std::optional<Place>> bad(team.size());
  team.run([&](unsigned member) { bad[member] = pack_part(matrices, member, team.size(), table, control); });
  if (control.cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  std::erase(bad, std::nullopt);
  if (bad.empty()) return weights;
  const auto [index, row] = **std::ranges::min_element(bad);
  throw non_finite(file, *matrices[index], row);
}

NonFiniteWeights::NonFiniteWeights(std::string_view tensor, std::size_t row)
    : MalformedFile("tensor " + gguf::quoted(tensor) + " has weights that are not finite in row " +
                    std::to_string(row)),
      tensor_(tensor),
      row_(row) {}

WeightsSize weights_size(const gguf::File& file, const kernels::KernelTable& table, const TensorTypes& other) {
  const HyperParameters shape = read_hyper_parameters(file);
  const bool tied = file.find_tensor("output.weight") == nullptr;
  WeightsSize size;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    const bool shares = tensor.name.ends_with(".ffn_gate_inp_shexp.weight");  // a matrix of one row
    if (tensor.dimensions.size() < 2 && !shares) continue;
    const auto replaced = other.find(tensor.name);
    const gguf::TypeTraits& traits = gguf::type_traits(replaced == other.end() ? tensor.type : replaced->second);
    const std::size_t row = tensor.columns() / traits.block_elements * traits.block_bytes;
    const std::size_t raw = tensor.rows() * row;
    const bool embedding = tensor.name == "token_embd.weight";
    if (embedding) {
      size.memory += raw;
      size.token += row;
    }
    if (embedding && !tied) continue;
    kernels::Matrix matrix;
    matrix.type = traits.type;
    matrix.columns = tensor.columns();
    std::size_t packed = 0;
    for (const std::size_t rows : rows_of_parts(tensor, shape)) {
      matrix.rows = rows;
      packed += packed_size(matrix, table);
    }
    const std::size_t ready = packed != 0 ? packed : raw;
    if (packed != 0 || !embedding) size.memory += ready;
    const bool experts = tensor.dimensions.size() > 2 && shape.experts.count != 0;
    size.token += experts ? ready / shape.experts.count * shape.experts.used : ready;
  }
  return size;
}

}  // namespace engine::model
