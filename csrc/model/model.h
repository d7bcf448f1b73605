#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "gguf/file.h"
#include "model/load/hyper_parameters.h"
#include "model/load/load_control.h"
#include "model/load/weights.h"

namespace engine::kernels {
struct KernelTable;
}

namespace engine::model {

// A loaded model: immutable, shared by any number of sequences.
class Model {
 public:
  // Throws std::system_error, gguf::MalformedFile, gguf::ChangedFile (the file is not what it was when `file` was
  // read), UnsupportedModel, std::bad_alloc; std::invalid_argument for a kernel table that is unknown or that this
  // machine cannot run; Cancelled.
  Model(std::shared_ptr<const gguf::File> file, const std::string& kernel_table, unsigned threads,
        LoadControl& control);

  const gguf::File& file() const { return *file_; }
  const kernels::KernelTable& kernels() const { return kernels_; }
  const HyperParameters& shape() const { return shape_; }
  const Weights& weights() const { return weights_; }
  bool has_token(std::int32_t token) const { return token >= 0 && static_cast<std::size_t>(token) < shape_.vocabulary; }
  // Throws std::invalid_argument, which names one that the vocabulary does not have.
  void require_tokens(std::span<const std::int32_t> tokens) const;
  // Throws std::invalid_argument where the model reads texts whole, and cannot go on with one.
  void require_decoder() const;
  // Memory of the matrices.
  std::size_t weights_bytes() const { return weights_.memory.size(); }

 private:
  const kernels::KernelTable& kernels_;
  std::shared_ptr<const gguf::File> file_;
  HyperParameters shape_;
  Weights weights_;
};

}  // namespace engine::model
