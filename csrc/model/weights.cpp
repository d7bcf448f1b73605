#include "model/weights.h"

#include <algorithm>
#include <chrono>
#include <set>

#include "base/cancelled.h"
#include "base/checked.h"
#include "base/thread_team.h"
#include "kernels/panel.h"
#include "quant/block.h"

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

  std::vector<float> vector(const std::string& name, std::size_t size) {
    const gguf::TensorInfo& tensor = require(name);
    check_shape(tensor, 1, size);
    std::vector<float> values(size);
    quant::dequantize_row(tensor.type, tensor.bytes.data(), size, values.data());
    return values;
  }

  std::vector<float> vector_if_present(const std::string& name, std::size_t size) {
    return find(name) != nullptr ? vector(name, size) : std::vector<float>{};
  }

  Projection projection(const std::string& name, std::size_t rows, std::size_t columns) {
    return {matrix(name + ".weight", rows, columns), vector_if_present(name + ".bias", rows)};
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

Layer find_layer(Tensors& tensors, const HyperParameters& shape, std::size_t index) {
  const std::string prefix = "blk." + std::to_string(index) + ".";
  Layer layer;
  layer.attention_norm = tensors.vector(prefix + "attn_norm.weight", shape.embedding);
  layer.query = tensors.projection(prefix + "attn_q", shape.query_width(), shape.embedding);
  layer.key = tensors.projection(prefix + "attn_k", shape.kv_width(), shape.embedding);
  layer.value = tensors.projection(prefix + "attn_v", shape.kv_width(), shape.embedding);
  layer.attention_output = tensors.projection(prefix + "attn_output", shape.embedding, shape.query_width());
  layer.feed_forward_norm = tensors.vector(prefix + "ffn_norm.weight", shape.embedding);
  layer.gate = tensors.projection(prefix + "ffn_gate", shape.feed_forward, shape.embedding);
  layer.up = tensors.projection(prefix + "ffn_up", shape.feed_forward, shape.embedding);
  layer.down = tensors.projection(prefix + "ffn_down", shape.embedding, shape.feed_forward);
  return layer;
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
  weights.rope_factors = tensors.vector_if_present("rope_freqs.weight", shape.rope_dimensions / 2);
  for (const float factor : weights.rope_factors) {
    if (!(factor > 0)) throw gguf::MalformedFile("tensor 'rope_freqs.weight' holds a factor that is not positive");
  }
  tensors.refuse_unused();
  return weights;
}

std::vector<kernels::Matrix*> multiplied_matrices(Weights& weights) {
  std::vector<kernels::Matrix*> matrices;
  for (Layer& layer : weights.layers) {
    for (Projection* projection :
         {&layer.query, &layer.key, &layer.value, &layer.attention_output, &layer.gate, &layer.up, &layer.down}) {
      matrices.push_back(&projection->weight);
    }
  }
  matrices.push_back(&weights.head.weight);
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

// Packs groups in steps, and lets go of their pages of the file after each, so that the two copies of a matrix are
// never in memory together. Ends early where the load is cancelled.
void pack_groups(kernels::Matrix& matrix, Range groups, const kernels::KernelTable& table, LoadControl& control) {
  constexpr std::size_t kStepBytes = std::size_t{1} << 20;
  const std::size_t group_bytes = matrix.row_bytes() * kernels::kGroupRows;
  const std::size_t step = std::max<std::size_t>(1, kStepBytes / group_bytes);
  for (std::size_t begin = groups.begin; begin < groups.end; begin += step) {
    if (control.cancelled.load(std::memory_order_relaxed)) return;
    const std::size_t end = std::min(begin + step, groups.end);
    table.pack(matrix, begin, end);
    const std::size_t first_byte = begin * group_bytes;
    const auto packed = matrix.raw.subspan(first_byte, std::min(end * group_bytes, matrix.raw.size()) - first_byte);
    gguf::MappedFile::release(packed);
    control.bytes_done.fetch_add(packed.size(), std::memory_order_relaxed);
  }
}

}  // namespace

Weights load_weights(const gguf::File& file, const HyperParameters& shape, const kernels::KernelTable& table,
                     unsigned threads, LoadControl& control) {
  ThreadTeam team(threads, std::chrono::microseconds(50));
  Weights weights = find_weights(file, shape);
  const std::vector<kernels::Matrix*> matrices = multiplied_matrices(weights);
  weights.packed = allocate_packed(matrices, table);
  if (weights.packed.size() == 0) return weights;
  // Every member packs the groups that it will multiply, so that their memory is near its processor.
  team.run([&](unsigned member) {
    for (kernels::Matrix* matrix : matrices) {
      pack_groups(*matrix, member_range(matrix->groups(), member, team.size()), table, control);
    }
  });
  if (control.cancelled.load(std::memory_order_relaxed)) throw Cancelled();
  return weights;
}

std::size_t weights_bytes(const gguf::File& file, const kernels::KernelTable& table, const TensorTypes& other) {
  const bool tied = file.find_tensor("output.weight") == nullptr;
  std::size_t bytes = 0;
  for (const gguf::TensorInfo& tensor : file.tensors()) {
    if (tensor.dimensions.size() < 2) continue;
    const auto replaced = other.find(tensor.name);
    const gguf::TypeTraits& traits = gguf::type_traits(replaced == other.end() ? tensor.type : replaced->second);
    const std::size_t raw = tensor.rows() * (tensor.columns() / traits.block_elements) * traits.block_bytes;
    const bool embedding = tensor.name == "token_embd.weight";
    if (embedding) bytes += raw;
    if (embedding && !tied) continue;
    kernels::Matrix matrix;
    matrix.type = traits.type;
    matrix.rows = tensor.rows();
    matrix.columns = tensor.columns();
    const std::size_t packed = packed_size(matrix, table);
    if (packed != 0 || !embedding) bytes += packed != 0 ? packed : raw;
  }
  return bytes;
}

}  // namespace engine::model
