#include "quant/model_quantization.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>
#include <span>

#include "base/cancelled.h"
#include "base/checked.h"
#include "base/float_environment.h"
#include "base/thread_team.h"
#include "gguf/header.h"
#include "quant/finite.h"
#include "quant/target_file.h"

namespace engine::quant {
namespace {

using gguf::TensorInfo;
using gguf::TensorType;

// Values of a piece: half a megabyte of floats stays in a core's second cache.
constexpr std::size_t kPieceValues = std::size_t{128} * 1024;
constexpr std::uint64_t kFetchBytes = std::uint64_t{4} << 20;
constexpr float kTooLarge = 0x1p30F;  // more than any type's scales can hold
constexpr float kTooImportant = 0x1p100F;
constexpr std::uint32_t kQuantizationVersion = 2;
constexpr std::string_view kVersionKey = "general.quantization_version";
constexpr std::string_view kFileTypeKey = "general.file_type";
// What a file that is one of several has; the new one is whole.
constexpr std::array<std::string_view, 3> kSplitKeys{"split.no", "split.count", "split.tensors.count"};

std::uint64_t bytes_of(TensorType type, std::uint64_t values) {
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  return values / traits.block_elements * traits.block_bytes;
}

std::size_t rows_of_expert(const TensorInfo& tensor) { return tensor.dimensions.size() > 1 ? tensor.dimensions[1] : 1; }

std::size_t rows_of_piece(const TensorInfo& tensor) {
  return std::max<std::size_t>(1, kPieceValues / tensor.columns());
}

// No piece has rows of two experts: each has its own importance.
std::size_t pieces_of_expert(const TensorInfo& tensor) {
  return divide_up(rows_of_expert(tensor), rows_of_piece(tensor));
}

// Without the outermost dimensions of 1, as files have it.
std::span<const std::uint64_t> stored_dimensions(const TensorInfo& tensor) {
  std::span<const std::uint64_t> dimensions = tensor.dimensions;
  while (dimensions.size() > 1 && dimensions.back() == 1) dimensions = dimensions.first(dimensions.size() - 1);
  return dimensions;
}

[[noreturn]] void refuse(const TensorInfo& tensor, std::string_view why) {
  throw UnquantizableTensor("tensor " + gguf::quoted(tensor.name) + " " + std::string(why));
}

[[noreturn]] void refuse_as_too_large(const ModelQuantization::Target& target) {
  refuse(*target.source, "holds numbers too large for " + std::string(gguf::type_traits(target.type).name));
}

// `importance`: of the columns, or null. Past these limits sums overflow inside a search, and what comes of it is a
// block of zeros or of chance, with scales that look sound.
void require_searchable(const ModelQuantization::Target& target, std::span<const float> values,
                        const float* importance) {
  const float magnitude = largest_magnitude(values);
  if (std::isinf(magnitude)) refuse(*target.source, "holds NaN or infinities");
  if (magnitude >= kTooLarge) refuse_as_too_large(target);
  if (importance == nullptr) return;
  const float most = largest_magnitude(std::span(importance, target.source->columns()));
  if (most * std::max(1.0F, magnitude * magnitude) >= kTooImportant) {
    refuse(*target.source, "has an importance too large for its numbers");
  }
}

}  // namespace

// Rows of one tensor, all of one expert.
struct ModelQuantization::Piece {
  std::size_t target;
  std::size_t expert;
  std::size_t row;  // counted over all experts
  std::size_t rows;
};

// One thread's memory.
class ModelQuantization::Worker {
 public:
  Worker(const Kernels& kernels, std::span<const Target> targets) : kernels_(kernels) {
    std::size_t raw = 0;
    std::size_t values = 0;
    std::size_t bytes = 0;
    for (const Target& target : targets) {
      const std::size_t most =
          std::min(rows_of_piece(*target.source), rows_of_expert(*target.source)) * target.source->columns();
      raw = std::max<std::size_t>(raw, bytes_of(target.source->type, most));
      if (target.type == target.source->type) continue;
      values = std::max(values, most);
      bytes = std::max<std::size_t>(bytes, bytes_of(target.type, most));
    }
    raw_.resize(raw);
    values_.resize(values);
    bytes_.resize(bytes);
  }

  // The piece's rows in the target's type, until the next call.
  std::span<const std::byte> convert(const gguf::TensorReader& reader, const Target& target, const Piece& piece,
                                     const float* importance) {
    const TensorInfo& source = *target.source;
    const std::size_t columns = source.columns();
    const std::size_t count = piece.rows * columns;
    const std::span<std::byte> rows = std::span(raw_).first(source_bytes(target, piece));
    const std::uint64_t begin = piece.row * bytes_of(source.type, columns);
    reader.read(source, begin, rows);
    reader.fetch(source, begin + rows.size(), kFetchBytes);
    if (target.type == source.type) {
      if (!all_finite(source.type, rows)) refuse(source, "holds NaN or infinities");
      return rows;
    }
    const std::span<float> values = std::span(values_).first(count);
    kernels_.dequantize(source.type, rows.data(), count, values.data());
    require_searchable(target, values, importance);
    const std::span<std::byte> out = std::span(bytes_).first(bytes_of(target.type, count));
    kernels_.quantize(target.type, values.data(), piece.rows, columns, importance, out.data());
    if (!all_finite(target.type, out)) refuse_as_too_large(target);
    return out;
  }

  static std::size_t source_bytes(const Target& target, const Piece& piece) {
    return bytes_of(target.source->type, piece.rows * target.source->columns());
  }

 private:
  Kernels kernels_;
  std::vector<std::byte> raw_;
  std::vector<float> values_;
  std::vector<std::byte> bytes_;
};

ModelQuantization::ModelQuantization(std::shared_ptr<const gguf::File> file, Recipe recipe, ImportanceMatrix importance,
                                     Kernels kernels, unsigned threads)
    : file_(std::move(file)), importance_(std::move(importance)), kernels_(kernels), threads_(threads) {
  if (threads == 0) throw std::invalid_argument("threads must be at least 1");
  plan_targets(recipe);
  check_importance();
  plan_header(recipe);
  std::size_t pieces = 0;
  pieces_left_ = std::vector<std::atomic<std::size_t>>(targets_.size());
  for (std::size_t t = 0; t < targets_.size(); ++t) {
    const TensorInfo& source = *targets_[t].source;
    const std::size_t own = source.rows() / rows_of_expert(source) * pieces_of_expert(source);
    pieces_left_[t].store(own, std::memory_order_relaxed);
    pieces += own;
    pieces_end_.push_back(pieces);
    source_bytes_ += source.size_bytes;
  }
}

void ModelQuantization::plan_targets(Recipe recipe) {
  file_->require_own_types();
  for (const TensorInfo& tensor : file_->tensors()) targets_.push_back({&tensor, tensor.type, 0, 0});
  std::ranges::sort(targets_, [](const Target& left, const Target& right) {
    return recipe_precedes(left.source->name, right.source->name);
  });
  std::vector<RecipeTensor> tensors;
  tensors.reserve(targets_.size());
  for (const Target& target : targets_) {
    tensors.push_back({target.source->name, target.source->type, target.source->dimensions});
  }
  const std::vector<TensorType> types = target_types(recipe, read_model_traits(*file_), tensors, !importance_.empty());
  for (std::size_t t = 0; t < targets_.size(); ++t) targets_[t].type = types[t];
}

void ModelQuantization::plan_header(Recipe recipe) {
  gguf::Header header;
  for (std::size_t i = 0; i < file_->keys().size(); ++i) {
    const std::string_view key = file_->keys()[i];
    const bool dropped =
        key == kVersionKey || key == kFileTypeKey || std::ranges::find(kSplitKeys, key) != kSplitKeys.end();
    if (!dropped) header.add_pair(file_->pairs()[i]);
  }
  header.add_unsigned(kVersionKey, kQuantizationVersion);
  header.add_unsigned(kFileTypeKey, file_type(recipe));
  std::uint64_t offset = 0;
  for (Target& target : targets_) {
    target.bytes = bytes_of(target.type, target.source->columns() * target.source->rows());
    target.offset = offset;
    header.add_tensor(target.source->name, target.type, stored_dimensions(*target.source), offset);
    offset += round_up(target.bytes, file_->alignment());
  }
  header_ = header.bytes(file_->alignment());
  for (Target& target : targets_) target.offset += header_.size();
  file_bytes_ = header_.size() + offset;
}

void ModelQuantization::check_importance() const {
  for (const auto& [name, values] : importance_) {
    if (std::isinf(largest_magnitude(values))) {
      throw std::invalid_argument("the importance of " + gguf::quoted(name) + " is not finite");
    }
  }
  for (const Target& target : targets_) {
    const TensorInfo& source = *target.source;
    const auto found = importance_.find(source.name);
    if (found == importance_.end() || target.type == source.type || is_embedding(source.name)) continue;
    const std::size_t wanted = source.rows() / rows_of_expert(source) * source.columns();
    if (found->second.size() == wanted) continue;
    throw std::invalid_argument("the importance of " + gguf::quoted(source.name) + " has " +
                                std::to_string(found->second.size()) + " values where the tensor has " +
                                std::to_string(wanted) + " columns");
  }
}

const float* ModelQuantization::importance_of(const Target& target, std::size_t expert) const {
  const TensorInfo& source = *target.source;
  const auto found = importance_.find(source.name);
  if (found == importance_.end()) return nullptr;
  if (found->second.size() != source.rows() / rows_of_expert(source) * source.columns()) return nullptr;
  return found->second.data() + expert * source.columns();
}

ModelQuantization::Piece ModelQuantization::piece(std::size_t index) const {
  const auto after = std::ranges::upper_bound(pieces_end_, index);
  const auto target = static_cast<std::size_t>(after - pieces_end_.begin());
  const std::size_t within = target == 0 ? index : index - pieces_end_[target - 1];
  const TensorInfo& source = *targets_[target].source;
  const std::size_t expert = within / pieces_of_expert(source);
  const std::size_t begin = within % pieces_of_expert(source) * rows_of_piece(source);
  const std::size_t rows = std::min(rows_of_piece(source), rows_of_expert(source) - begin);
  return {target, expert, expert * rows_of_expert(source) + begin, rows};
}

void ModelQuantization::work(Worker& worker, const gguf::TensorReader& source, const TargetFile& file) {
  const KeptSubnormals environment;
  const std::size_t pieces = pieces_end_.empty() ? 0 : pieces_end_.back();
  while (!failure_.happened()) {
    const std::size_t index = next_piece_.fetch_add(1, std::memory_order_relaxed);
    if (index >= pieces) return;
    try {
      if (cancelled_.load(std::memory_order_relaxed)) throw Cancelled();
      const Piece current = piece(index);
      const Target& target = targets_[current.target];
      current_.store(current.target, std::memory_order_relaxed);
      const std::uint64_t row_bytes = bytes_of(target.type, target.source->columns());
      file.write(worker.convert(source, target, current, importance_of(target, current.expert)),
                 target.offset + current.row * row_bytes);
      finish_piece(current);
    } catch (...) {
      failure_.keep();
    }
  }
}

void ModelQuantization::finish_piece(const Piece& piece) {
  bytes_done_.fetch_add(Worker::source_bytes(targets_[piece.target], piece), std::memory_order_relaxed);
  if (pieces_left_[piece.target].fetch_sub(1, std::memory_order_relaxed) == 1) {
    tensors_done_.fetch_add(1, std::memory_order_relaxed);
  }
}

void ModelQuantization::run(const std::string& path) {
  NewFile file(path);
  write(file.fd(), path);
  file.keep();
}

void ModelQuantization::write(int fd, const std::string& name) {
  if (started_.exchange(true)) throw std::logic_error("a quantization runs once");
  const gguf::TensorReader source(*file_);
  ThreadTeam team(threads_, std::chrono::microseconds(0));
  std::vector<Worker> workers(team.size(), Worker(kernels_, targets_));
  const TargetFile file(fd, file_bytes_, name);
  file.write(std::as_bytes(std::span(header_)), 0);
  team.run([&](unsigned member) { work(workers[member], source, file); });
  failure_.rethrow();
  source.require_unchanged();
}

QuantizationProgress ModelQuantization::progress() const {
  const std::size_t current = current_.load(std::memory_order_relaxed);
  return {bytes_done_.load(std::memory_order_relaxed), source_bytes_, tensors_done_.load(std::memory_order_relaxed),
          targets_.size(), current < targets_.size() ? targets_[current].source->name : std::string_view{}};
}

}  // namespace engine::quant
