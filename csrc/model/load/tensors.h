#pragma once

#include <array>
#include <cstddef>
#include <numeric>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "gguf/file.h"
#include "gguf/tensor_reader.h"
#include "model/load/hyper_parameters.h"
#include "model/load/weights.h"

namespace engine::model {

// Whether nothing multiplies by a tensor: one of a layer that is not run, or of a part that sees or hears.
bool is_unused(std::string_view name, const HyperParameters& shape);

// Rows [begin, begin + count) of a projection, as one of their own.
Projection rows_of(const Projection& all, std::size_t begin, std::size_t count);

// Hands out the file's tensors by name and remembers which were used. Methods throw gguf::MalformedFile (a tensor is
// missing or has another shape), NonFiniteWeights; what reads a tensor, std::system_error too.
class Tensors {
 public:
  Tensors(const gguf::File& file, const gguf::TensorReader& reader) : file_(file), reader_(reader) {}

  // nullptr where there is none.
  const gguf::TensorInfo* find(const std::string& name);

  // A matrix without a bias.
  Projection matrix(const std::string& name, std::size_t rows, std::size_t columns);
  Projection projection(const std::string& name, std::size_t rows, std::size_t columns);
  // One matrix [rows, columns] of each expert or head, all of one tensor.
  std::vector<Projection> matrices(const std::string& name, std::size_t count, std::size_t rows, std::size_t columns);
  // The same of experts, with their biases where there are some.
  std::vector<Projection> experts(const std::string& stem, std::size_t count, std::size_t rows, std::size_t columns);
  // Consecutive rows of one tensor as projections of their own, `rows` each.
  template <std::size_t kParts>
  std::array<Projection, kParts> parts(const std::string& name, const std::array<std::size_t, kParts>& rows,
                                       std::size_t columns) {
    const std::size_t total = std::accumulate(rows.begin(), rows.end(), std::size_t{0});
    const Projection all = projection(name, total, columns);
    std::array<Projection, kParts> parts;
    std::size_t begin = 0;
    for (std::size_t i = 0; i < kParts; begin += rows[i++]) parts[i] = rows_of(all, begin, rows[i]);
    return parts;
  }

  // [count, size]
  std::vector<float> vectors(const std::string& name, std::size_t count, std::size_t size);
  std::vector<float> vector(const std::string& name, std::size_t size) { return vectors(name, 1, size); }
  std::vector<float> vector_if_present(const std::string& name, std::size_t size);
  Norm norm(const std::string& name, NormKind kind, std::size_t size, std::size_t count = 1);

  // An unused tensor means that the model computes something this architecture does not. Throws UnsupportedModel.
  void refuse_unused(const HyperParameters& shape) const;

 private:
  const gguf::TensorInfo& require(const std::string& name);

  const gguf::File& file_;
  const gguf::TensorReader& reader_;
  std::set<std::string> used_;
};

}  // namespace engine::model
