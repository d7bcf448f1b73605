#include "model/load/weights.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <limits>
#include <numeric>
#include <set>
#include <tuple>
#include <utility>

#include "base/cancelled.h"
#include "base/checked.h"
#include "base/first_failure.h"
#include "base/thread_team.h"
#include "gguf/tensor_reader.h"
#include "kernels/gemm/panel.h"
#include "kernels/kernel_table.h"
#include "model/load/tensors.h"
#include "quant/block.h"
#include "quant/finite.h"

namespace engine::model {
namespace {

constexpr const char* kTokenTypes = "token_types.weight";
constexpr const char* kClassifierOutput = "cls.output.weight";

// Bytes of a matrix in the memory of all: packed, up to the cache line where the next begins, or as in the file.
std::size_t memory_size(const kernels::Matrix& matrix, const kernels::KernelTable& table) {
  const std::size_t packed = table.packed_bytes(matrix);
  return packed != 0 ? round_up(packed, kernels::kLineBytes) : matrix.rows * matrix.row_bytes();
}

// The rows of queries, keys and values that are one tensor.
std::array<std::size_t, 3> fused_heads(const HyperParameters& shape) {
  return {shape.query_width(), shape.kv_width(), shape.kv_width()};
}

// The rows of a convolution's two gates and its input, which are one tensor.
std::array<std::size_t, 3> fused_convolution(const HyperParameters& shape) {
  return {shape.embedding, shape.embedding, shape.embedding};
}

// Whether a tensor has the gates of a feed-forward of this width above its ups.
bool holds_gates(const gguf::TensorInfo& up, const HyperParameters& shape, std::size_t width) {
  return is_gated(shape.activation) && up.rows() == 2 * width;
}

void find_head_norms(Tensors& tensors, const HyperParameters& shape, const std::string& prefix, Layer& layer) {
  const std::string names[] = {prefix + "attn_q_norm", prefix + "attn_k_norm"};
  if (shape.head_norm == HeadNorm::None) return;
  if (shape.head_norm == HeadNorm::IfPresent && tensors.find(names[0] + ".weight") == nullptr) return;
  const bool whole = shape.head_norm == HeadNorm::Whole;
  const bool own = shape.head_norm == HeadNorm::OwnWeights;
  layer.query_norm =
      tensors.norm(names[0], shape.norm, whole ? shape.query_width() : shape.head_dim, own ? shape.heads : 1);
  layer.key_norm =
      tensors.norm(names[1], shape.norm, whole ? shape.kv_width() : shape.head_dim, own ? shape.kv_heads : 1);
}

void find_latent_heads(Tensors& tensors, const HyperParameters& shape, const std::string& prefix, Layer& layer) {
  const LatentShape& latent = shape.latent;
  const std::size_t query_rows = shape.heads * latent.key_width(shape.rope_dimensions);
  if (latent.query_rank == 0) {
    layer.query = tensors.projection(prefix + "attn_q", query_rows, shape.embedding);
  } else {
    layer.query_down = tensors.projection(prefix + "attn_q_a", latent.query_rank, shape.embedding);
    layer.query_norm = tensors.norm(prefix + "attn_q_a_norm", shape.norm, latent.query_rank);
    layer.query = tensors.projection(prefix + "attn_q_b", query_rows, latent.query_rank);
  }
  layer.key = tensors.projection(prefix + "attn_kv_a_mqa", shape.head_dim, shape.embedding);
  layer.key_norm = tensors.norm(prefix + "attn_kv_a_norm", shape.norm, latent.rank);
  layer.head_keys = tensors.matrices(prefix + "attn_k_b.weight", shape.heads, latent.rank, latent.unrotated);
  layer.head_values = tensors.matrices(prefix + "attn_v_b.weight", shape.heads, latent.value_width, latent.rank);
}

void find_heads(Tensors& tensors, const HyperParameters& shape, const std::string& prefix, Layer& layer) {
  if (shape.latent.rank != 0) {
    find_latent_heads(tensors, shape, prefix, layer);
    return;
  }
  if (tensors.find(prefix + "attn_qkv.weight") != nullptr) {
    const auto parts = tensors.parts(prefix + "attn_qkv", fused_heads(shape), shape.embedding);
    std::tie(layer.query, layer.key, layer.value) = std::tie(parts[0], parts[1], parts[2]);
  } else {
    layer.query = tensors.projection(prefix + "attn_q", shape.query_width(), shape.embedding);
    layer.key = tensors.projection(prefix + "attn_k", shape.kv_width(), shape.embedding);
    layer.value = tensors.projection(prefix + "attn_v", shape.kv_width(), shape.embedding);
  }
  if (shape.sinks) layer.sinks = tensors.vector(prefix + "attn_sinks.weight", shape.heads);
  find_head_norms(tensors, shape, prefix, layer);
}

// `values` [rows, columns] with columns outermost.
std::vector<float> transposed(std::span<const float> values, std::size_t rows, std::size_t columns) {
  std::vector<float> result(values.size());
  for (std::size_t i = 0; i < values.size(); ++i) result[i % columns * rows + i / columns] = values[i];
  return result;
}

void find_convolution(Tensors& tensors, const HyperParameters& shape, const std::string& prefix, Layer& layer) {
  const std::size_t width = shape.embedding;
  const auto parts = tensors.parts(prefix + "shortconv.in_proj", fused_convolution(shape), width);
  ConvolutionWeights& convolution = layer.convolution;
  std::tie(convolution.input_gate, convolution.output_gate, convolution.input) = std::tie(parts[0], parts[1], parts[2]);
  const std::size_t taps = shape.recurrent.taps;
  convolution.taps = transposed(tensors.vectors(prefix + "shortconv.conv.weight", width, taps), width, taps);
  layer.attention_output = tensors.projection(prefix + "shortconv.out_proj", width, width);
}

void find_mixer(Tensors& tensors, const HyperParameters& shape, std::size_t index, const std::string& prefix,
                Layer& layer) {
  switch (shape.layer_shapes[index].mixer) {
    case Mixer::ShortConvolution:
      return find_convolution(tensors, shape, prefix, layer);
    case Mixer::Attention:
      find_heads(tensors, shape, prefix, layer);
      layer.attention_output = tensors.projection(prefix + "attn_output", shape.embedding, shape.attention_width());
  }
}

FeedForward find_dense(Tensors& tensors, const HyperParameters& shape, const std::string& prefix,
                       const std::string& suffix, std::size_t width) {
  FeedForward dense;
  const gguf::TensorInfo* up = tensors.find(prefix + "ffn_up" + suffix + ".weight");
  if (up != nullptr && holds_gates(*up, shape, width)) {
    const std::array<std::size_t, 2> rows{width, width};
    const auto parts = tensors.parts(prefix + "ffn_up" + suffix, rows, shape.embedding);
    std::tie(dense.gate, dense.up) = std::tie(parts[0], parts[1]);
  } else {
    if (is_gated(shape.activation))
      dense.gate = tensors.projection(prefix + "ffn_gate" + suffix, width, shape.embedding);
    dense.up = tensors.projection(prefix + "ffn_up" + suffix, width, shape.embedding);
  }
  dense.down = tensors.projection(prefix + "ffn_down" + suffix, shape.embedding, width);
  return dense;
}

void find_experts(Tensors& tensors, const HyperParameters& shape, const std::string& prefix, Layer& layer) {
  const std::size_t count = shape.experts.count;
  const std::size_t width = shape.experts.feed_forward;
  layer.router = tensors.projection(prefix + "ffn_gate_inp", count, shape.embedding);
  if (shape.experts.biased) layer.choice_bias = tensors.vector_if_present(prefix + "exp_probs_b.bias", count);
  const auto gates = tensors.experts(prefix + "ffn_gate_exps", count, width, shape.embedding);
  const auto ups = tensors.experts(prefix + "ffn_up_exps", count, width, shape.embedding);
  const auto downs = tensors.experts(prefix + "ffn_down_exps", count, shape.embedding, width);
  for (std::size_t i = 0; i < count; ++i) {
    layer.experts.push_back({.gate = gates[i], .up = ups[i], .down = downs[i]});
  }
  if (shape.experts.shared == 0) return;
  if (shape.experts.shares)
    layer.dense_share = tensors.matrix(prefix + "ffn_gate_inp_shexp.weight", 1, shape.embedding);
  layer.dense = find_dense(tensors, shape, prefix, "_shexp", shape.experts.shared);
}

Layer find_layer(Tensors& tensors, const HyperParameters& shape, std::size_t index) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  Layer layer;
  const auto norm = [&](std::string_view name) {
    return tensors.norm(prefix + std::string(name), shape.norm, shape.embedding);
  };
  if (shape.input_norms) layer.attention_norm = norm("attn_norm");
  find_mixer(tensors, shape, index, prefix, layer);
  if (shape.parallel && tensors.find(prefix + std::string(shape.feed_forward_norm) + ".weight") == nullptr) {
    layer.feed_forward_norm = layer.attention_norm;
  } else if (shape.input_norms) {
    layer.feed_forward_norm = norm(shape.feed_forward_norm);
  }
  if (shape.has_experts(index)) {
    find_experts(tensors, shape, prefix, layer);
  } else {
    layer.dense = find_dense(tensors, shape, prefix, "", shape.feed_forward);
  }
  if (shape.residual_norms) {
    layer.attention_residual_norm = norm("attn_output_norm");
    layer.feed_forward_residual_norm = norm("layer_output_norm");
  }
  if (shape.output_norms) {
    layer.attention_output_norm = norm("post_attention_norm");
    layer.feed_forward_output_norm = norm("post_ffw_norm");
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

// What a text's vector passes behind the layers: projections of some embedding models, the classifier of rerankers.
void find_pooled(Tensors& tensors, const HyperParameters& shape, Weights& weights) {
  std::size_t width = shape.embedding;
  for (const std::string name : {"dense_2", "dense_3"}) {
    const gguf::TensorInfo* dense = tensors.find(name + ".weight");
    if (dense == nullptr) continue;
    weights.pooled.push_back(tensors.projection(name, dense->rows(), width));
    width = dense->rows();
  }
  if (tensors.find("cls.weight") != nullptr) {
    weights.classifier.dense = tensors.projection("cls", shape.embedding, shape.embedding);
  }
  const gguf::TensorInfo* output = tensors.find(kClassifierOutput);
  if (output == nullptr) return;
  if (output->rows() != 1) throw UnsupportedModel("a classifier of " + std::to_string(output->rows()) + " classes");
  weights.classifier.output = tensors.projection("cls.output", 1, shape.embedding);
}

Weights find_weights(const gguf::File& file, const gguf::TensorReader& reader, const HyperParameters& shape) {
  Tensors tensors(file, reader);
  Weights weights;
  weights.token_embedding = tensors.matrix("token_embd.weight", shape.vocabulary, shape.embedding);
  if (shape.learned_positions) {
    weights.positions = tensors.matrix("position_embd.weight", shape.context_length, shape.embedding);
  }
  const gguf::TensorInfo* types = shape.token_types ? tensors.find(kTokenTypes) : nullptr;
  if (types != nullptr) weights.token_types = tensors.matrix(kTokenTypes, types->rows(), shape.embedding);
  if (shape.embedding_norm) weights.embedding_norm = tensors.norm("token_embd_norm", shape.norm, shape.embedding);
  for (std::size_t i = 0; i < shape.layers; ++i) weights.layers.push_back(find_layer(tensors, shape, i));
  if (shape.output_norm) {
    weights.output_norm = tensors.norm(std::string(shape.output_norm_name), shape.norm, shape.embedding);
  }
  if (shape.causal) {
    const bool tied = tensors.find("output.weight") == nullptr;
    weights.head = tensors.matrix(tied ? "token_embd.weight" : "output.weight", shape.vocabulary, shape.embedding);
    weights.head.bias = tensors.vector_if_present("output.bias", shape.vocabulary);
  } else {
    find_pooled(tensors, shape, weights);
  }
  find_rope_factors(tensors, shape, weights);
  tensors.refuse_unused(shape);
  return weights;
}

// Whether the head is the token embedding, which is in memory once then.
bool is_tied(const Weights& weights) { return weights.head.source.tensor == weights.token_embedding.source.tensor; }

// A matrix on its way from the file into memory.
struct Transfer {
  Projection* projection;
  bool packed;  // else as in the file
  std::span<std::byte> memory;
};

std::vector<Transfer> transfers_of(Weights& weights, const kernels::KernelTable& table) {
  std::vector<Transfer> transfers;
  const auto add = [&](Projection& projection) {
    const kernels::Matrix& matrix = projection.weight;
    if (matrix.rows != 0) transfers.push_back({&projection, table.packed_bytes(matrix) != 0, {}});
  };
  for (Layer& layer : weights.layers) {
    for_each_matrix(layer, [&](Projection& projection, MatrixUse) { add(projection); });
  }
  add(weights.head);
  for (Projection& projection : weights.pooled) add(projection);
  add(weights.classifier.dense);
  add(weights.classifier.output);
  if (!is_tied(weights)) transfers.push_back({&weights.token_embedding, false, {}});
  for (Projection* vectors : {&weights.positions, &weights.token_types}) {
    if (vectors->weight.rows != 0) transfers.push_back({vectors, false, {}});
  }
  return transfers;
}

// One buffer for all: most matrices of a small model would not fill a huge page of their own.
AlignedBuffer allocate(std::span<Transfer> transfers, const kernels::KernelTable& table) {
  const auto size = [&](const Transfer& transfer) {
    const kernels::Matrix& matrix = transfer.projection->weight;
    return transfer.packed ? memory_size(matrix, table) : matrix.rows * matrix.row_bytes();
  };
  std::size_t bytes = 0;
  for (const Transfer& transfer : transfers) bytes += size(transfer);
  AlignedBuffer buffer(bytes);
  std::size_t begin = 0;
  for (Transfer& transfer : transfers) {
    kernels::Matrix& matrix = transfer.projection->weight;
    transfer.memory = buffer.bytes().subspan(begin, size(transfer));
    if (transfer.packed) {
      matrix.packed = transfer.memory.first(table.packed_bytes(matrix));
    } else {
      matrix.raw = transfer.memory;
    }
    begin += size(transfer);
  }
  return buffer;
}

// The first of the rows with a weight that is not finite; there must be one.
std::size_t find_non_finite_row(gguf::TensorType type, std::size_t row_bytes, std::span<const std::byte> rows) {
  std::size_t row = 0;
  while (quant::all_finite(type, rows.subspan(row * row_bytes, row_bytes))) ++row;
  return row;
}

// Reads, checks and packs matrices in steps that stay in a processor's cache until they are packed.
class Loader {
 public:
  Loader(const gguf::TensorReader& reader, const kernels::KernelTable& table, LoadControl& control,
         std::span<const Transfer> transfers, unsigned members)
      : reader_(reader), table_(table), control_(control), transfers_(transfers), bad_(members, kNowhere) {}

  // A member's groups of every matrix. Ends early where the load is cancelled, has failed elsewhere, or at a row that
  // is not finite.
  void load(unsigned member) noexcept {
    try {
      std::vector<std::byte> scratch;
      for (std::size_t i = 0; i < transfers_.size(); ++i) {
        const kernels::Matrix& matrix = transfers_[i].projection->weight;
        const Range groups = member_range(matrix.groups(), member, static_cast<unsigned>(bad_.size()));
        const std::size_t row = load_groups(transfers_[i], groups, scratch);
        if (row == matrix.rows) continue;
        bad_[member] = Place{i, row};
        return;
      }
    } catch (...) {
      failure_.keep();
    }
  }

  // Throws what failed first, Cancelled, gguf::ChangedFile, NonFiniteWeights.
  void finish() {
    failure_.rethrow();
    if (control_.cancelled.load(std::memory_order_relaxed)) throw Cancelled();
    reader_.require_unchanged();
    const auto [index, row] = *std::ranges::min_element(bad_);
    if (index == kNowhere.first) return;
    const TensorRows& source = transfers_[index].projection->source;
    throw NonFiniteWeights(source.tensor->name, source.first + row);
  }

 private:
  // A matrix by its place among the transfers, and a row.
  using Place = std::pair<std::size_t, std::size_t>;

  static constexpr Place kNowhere{std::numeric_limits<std::size_t>::max(), 0};  // behind every other
  static constexpr std::size_t kStepBytes = std::size_t{256} << 10;
  static constexpr std::size_t kFetchBytes = std::size_t{4} << 20;

  // The first row that is not finite, or how many the matrix has.
  std::size_t load_groups(const Transfer& transfer, Range groups, std::vector<std::byte>& scratch) {
    const kernels::Matrix& matrix = transfer.projection->weight;
    const std::size_t step = std::max<std::size_t>(1, kStepBytes / (matrix.row_bytes() * kernels::kGroupRows));
    for (std::size_t begin = groups.begin; begin < groups.end; begin += step) {
      if (control_.cancelled.load(std::memory_order_relaxed) || failure_.happened()) break;
      const std::size_t end = std::min(begin + step, groups.end);
      const std::size_t first = begin * kernels::kGroupRows;
      const std::size_t count = std::min(end * kernels::kGroupRows, matrix.rows) - first;
      const std::span<const std::byte> rows = read_rows(transfer, first, count, scratch);
      const bool finite =
          transfer.packed ? pack(matrix, {begin, end}, count, rows) : quant::all_finite(matrix.type, rows);
      if (!finite) return first + find_non_finite_row(matrix.type, matrix.row_bytes(), rows);
      control_.bytes_done.fetch_add(rows.size(), std::memory_order_relaxed);
    }
    return matrix.rows;
  }

  // Reads rows to where they stay, or into the scratch that they are packed from.
  std::span<const std::byte> read_rows(const Transfer& transfer, std::size_t first, std::size_t count,
                                       std::vector<std::byte>& scratch) const {
    const TensorRows& source = transfer.projection->source;
    const std::size_t row_bytes = transfer.projection->weight.row_bytes();
    const std::size_t bytes = count * row_bytes;
    const std::size_t offset = (source.first + first) * row_bytes;
    if (offset / kFetchBytes != (offset + bytes) / kFetchBytes || first == 0) {
      reader_.fetch(*source.tensor, offset + bytes, kFetchBytes);
    }
    if (transfer.packed) scratch.resize(std::max(scratch.size(), bytes));
    const std::span<std::byte> rows =
        transfer.packed ? std::span(scratch).first(bytes) : transfer.memory.subspan(first * row_bytes, bytes);
    reader_.read(*source.tensor, offset, rows);
    return rows;
  }

  bool pack(const kernels::Matrix& matrix, Range groups, std::size_t rows, std::span<const std::byte> raw) const {
    const std::size_t group_bytes = matrix.packed.size() / matrix.groups();
    kernels::Matrix part = matrix;
    part.rows = rows;
    part.raw = raw;
    part.packed = matrix.packed.subspan(groups.begin * group_bytes, (groups.end - groups.begin) * group_bytes);
    return table_.pack(part, 0, part.groups());
  }

  const gguf::TensorReader& reader_;
  const kernels::KernelTable& table_;
  LoadControl& control_;
  std::span<const Transfer> transfers_;
  std::vector<Place> bad_;  // [members] the first row of each that is not finite
  FirstFailure failure_;
};

// Whether a tensor of several rows is one that is kept as a matrix: neither an unused one nor heads' norms,
// experts' biases and what convolutions multiply channels by.
bool is_multiplied(std::string_view name, const HyperParameters& shape) {
  if (name.ends_with("_norm.weight") || name.ends_with(".shortconv.conv.weight")) return false;
  return name.ends_with(".weight") && !is_unused(name, shape);
}

// Whether it has several rows, or is one of those that are projections to a single number.
bool is_matrix(const gguf::TensorInfo& tensor) {
  return tensor.dimensions.size() > 1 || tensor.name.ends_with(".ffn_gate_inp_shexp.weight") ||
         tensor.name == kClassifierOutput;
}

// The part of the tensor's `all` that a row uses: less than all of experts. A file without experts may have a tensor
// that is named as theirs; it is refused when it is loaded.
std::size_t used_by_row(const gguf::TensorInfo& tensor, const HyperParameters& shape, std::size_t all) {
  const bool experts = shape.experts.count != 0 && tensor.name.ends_with("_exps.weight");
  return experts ? all / shape.experts.count * shape.experts.used : all;
}

// The rows of the matrices that a tensor is divided into.
std::vector<std::size_t> rows_of_parts(const gguf::TensorInfo& tensor, const HyperParameters& shape) {
  if (tensor.dimensions.size() > 2) {
    return std::vector<std::size_t>(tensor.rows() / tensor.dimensions[1], tensor.dimensions[1]);
  }
  const auto listed = [](const auto& rows) { return std::vector<std::size_t>(rows.begin(), rows.end()); };
  if (tensor.name.ends_with(".attn_qkv.weight")) return listed(fused_heads(shape));
  if (tensor.name.ends_with(".shortconv.in_proj.weight")) return listed(fused_convolution(shape));
  for (const auto& [end, width] :
       {std::pair(".ffn_up.weight", shape.feed_forward), std::pair(".ffn_up_shexp.weight", shape.experts.shared)}) {
    if (tensor.name.ends_with(end) && holds_gates(tensor, shape, width)) return {width, width};
  }
  return {tensor.rows()};
}

}  // namespace

Weights load_weights(const gguf::File& file, const HyperParameters& shape, const kernels::KernelTable& table,
                     unsigned threads, LoadControl& control) {
  ThreadTeam team(threads, std::chrono::microseconds(50));
  const gguf::TensorReader reader(file);
  Weights weights = find_weights(file, reader, shape);
  std::vector<Transfer> transfers = transfers_of(weights, table);
  weights.memory = allocate(transfers, table);
  Loader loader(reader, table, control, transfers, team.size());
  // Every member loads the groups that it will multiply, so that their memory is near its processor.
  team.run([&](unsigned member) { loader.load(member); });
  loader.finish();
  if (is_tied(weights)) weights.token_embedding.weight = weights.head.weight;
  return weights;
}

NonFiniteWeights::NonFiniteWeights(std::string_view tensor, std::size_t row)
    : MalformedFile("tensor " + gguf::quoted(tensor) + " has weights that are not finite in row " +
                    std::to_string(row)),
      tensor_(tensor),
      row_(row) {}

WeightsSize weights_size(const gguf::File& file, const kernels::KernelTable& table, const TensorTypes& other) {
  const HyperParameters shape = read_hyper_parameters(file);
  const bool tied = shape.causal && file.find_tensor("output.weight") == nullptr;
  WeightsSize size;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!is_matrix(tensor) || !is_multiplied(tensor.name, shape)) continue;
    const auto replaced = other.find(tensor.name);
    const gguf::TypeTraits& traits = gguf::type_traits(replaced == other.end() ? tensor.type : replaced->second);
    const std::size_t row = tensor.columns() / traits.block_elements * traits.block_bytes;
    const bool embedding =
        tensor.name == "token_embd.weight" || tensor.name == "position_embd.weight" || tensor.name == kTokenTypes;
    if (embedding) size.token += row;
    kernels::Matrix matrix;
    matrix.type = traits.type;
    matrix.columns = tensor.columns();
    std::size_t ready = 0;
    for (const std::size_t rows : rows_of_parts(tensor, shape)) {
      matrix.rows = rows;
      ready += memory_size(matrix, table);
    }
    if (embedding && !(tied && tensor.name == "token_embd.weight")) {
      size.memory += tensor.rows() * row;
      continue;
    }
    size.memory += ready;
    size.token += used_by_row(tensor, shape, ready);
  }
  return size;
}

std::size_t layer_macs(const gguf::File& file) {
  const HyperParameters shape = read_hyper_parameters(file);
  std::size_t macs = 0;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (!tensor.name.starts_with("blk.") || !is_matrix(tensor) || !is_multiplied(tensor.name, shape)) continue;
    macs += used_by_row(tensor, shape, tensor.rows() * tensor.columns());
  }
  return macs;
}

}  // namespace engine::model
