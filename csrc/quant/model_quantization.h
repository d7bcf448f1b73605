#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "base/first_failure.h"
#include "gguf/file.h"
#include "gguf/tensor_reader.h"
#include "quant/recipe.h"
#include "quant/row_quantizer.h"

namespace engine::quant {

class TargetFile;

// A tensor holds NaN, numbers too large for the scales of its type, or such as its importance makes too
// large to be summed. The message names it.
class UnquantizableTensor : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// How much the errors of each column count, by tensor; for experts one row after another, [experts, columns].
using ImportanceMatrix = std::map<std::string, std::vector<float>, std::less<>>;

struct QuantizationProgress {
  std::uint64_t bytes_done;  // read of the source's tensors
  std::uint64_t bytes_total;
  std::size_t tensors_done;
  std::size_t tensors_total;
  std::string_view tensor;  // one of those that are worked on
};

// One model's weights in another recipe's types, as a GGUF v3 file. Threads work on pieces of whole rows; a piece a
// thread is all that is in memory.
class ModelQuantization {
 public:
  struct Kernels {
    QuantizeRows quantize;
    Dequantize dequantize;
  };
  struct Target {
    const gguf::TensorInfo* source;
    gguf::TensorType type;
    std::uint64_t offset;  // in the file
    std::uint64_t bytes;
  };

  // Throws MalformedFile, UnsupportedModel, std::invalid_argument (no threads; importance that is not finite, or of
  // another size than its tensor; that of an embedding may differ, and is ignored then).
  ModelQuantization(std::shared_ptr<const gguf::File> file, Recipe recipe, ImportanceMatrix importance, Kernels kernels,
                    unsigned threads);

  // Makes the file; on failure nothing is left of it. Either of these, once. Throws std::system_error (also where
  // threads cannot be made), gguf::ChangedFile (the source is not what it was when its header was read),
  // UnquantizableTensor, Cancelled, std::bad_alloc, std::logic_error.
  void run(const std::string& path);
  // Fills an open, empty file. `name` is for messages.
  void write(int fd, const std::string& name);

  // May be called from any thread, before, during and after run().
  void cancel() { cancelled_.store(true, std::memory_order_relaxed); }
  QuantizationProgress progress() const;

  // The tensors in the order of the file.
  const std::vector<Target>& targets() const { return targets_; }
  std::uint64_t file_bytes() const { return file_bytes_; }

 private:
  struct Piece;
  class Worker;

  void plan_targets(Recipe recipe);
  void plan_header(Recipe recipe);
  void check_importance() const;
  const float* importance_of(const Target& target, std::size_t expert) const;
  Piece piece(std::size_t index) const;
  void work(Worker& worker, const gguf::TensorReader& source, const TargetFile& file);
  void finish_piece(const Piece& piece);

  std::shared_ptr<const gguf::File> file_;
  ImportanceMatrix importance_;
  Kernels kernels_;
  unsigned threads_;
  std::vector<Target> targets_;
  std::vector<std::size_t> pieces_end_;  // [targets] the sum of the pieces of all up to it
  std::string header_;
  std::uint64_t file_bytes_ = 0;
  std::uint64_t source_bytes_ = 0;

  std::atomic<bool> started_{false};
  std::atomic<bool> cancelled_{false};
  FirstFailure failure_;
  std::atomic<std::size_t> next_piece_{0};
  std::vector<std::atomic<std::size_t>> pieces_left_;  // [targets]
  std::atomic<std::uint64_t> bytes_done_{0};
  std::atomic<std::size_t> tensors_done_{0};
  std::atomic<std::size_t> current_{0};
};

}  // namespace engine::quant
