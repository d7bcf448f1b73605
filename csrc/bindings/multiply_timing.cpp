#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

#include "base/float_environment.h"
#include "base/thread_team.h"
#include "bindings/register.h"
#include "kernels/kernel_table.h"
#include "model/forward/activation_buffer.h"

// Matrix multiplications timed where Python takes no part.
namespace engine::bindings {
namespace {

namespace py = pybind11;
using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// Inputs as random as a normalised hidden state; always the same.
void fill(model::ActivationBuffer& input, std::size_t tokens, const kernels::Matrix& matrix,
          const kernels::KernelTable& table) {
  std::uint32_t state = 1;
  std::vector<float> row(matrix.columns);
  for (std::size_t t = 0; t < tokens; ++t) {
    for (std::size_t i = 0; i < matrix.columns; ++i) {
      state = state * 1664525u + 1013904223u;
      row[i] = static_cast<float>(state >> 8) * 0x1p-23F - 1.0F;
    }
    input.set(t, matrix.columns, row.data(), matrix.activation_format(), table);
  }
}

// Seconds of each pass over the whole matrix by all threads, at least three.
std::vector<double> time_multiply(const std::string& table_name, gguf::TensorType type, const std::string& weights,
                                  std::size_t columns, std::size_t tokens, unsigned threads, double seconds) {
  const py::gil_scoped_release release;
  const kernels::KernelTable* table = kernels::find_kernel_table(table_name);
  if (table == nullptr || !table->unavailable().empty()) throw std::invalid_argument("kernel table " + table_name);
  const gguf::TypeTraits& traits = gguf::type_traits(type);
  const std::size_t row_bytes = columns / traits.block_elements * traits.block_bytes;
  if (columns == 0 || columns % traits.block_elements != 0 || weights.empty() || weights.size() % row_bytes != 0 ||
      tokens == 0 || threads == 0) {
    throw std::invalid_argument("weights are not whole rows, or there are no tokens or threads");
  }
  kernels::Matrix matrix;
  matrix.type = type;
  matrix.rows = weights.size() / row_bytes;
  matrix.columns = columns;
  matrix.raw = {reinterpret_cast<const std::byte*>(weights.data()), weights.size()};
  const InferenceFloatEnvironment environment;
  AlignedBuffer packed(table->packed_bytes(matrix));
  matrix.packed = packed.bytes();
  table->pack(matrix, 0, matrix.groups());
  model::ActivationBuffer input(tokens, columns);
  fill(input, tokens, matrix, *table);
  std::vector<float> out(tokens * matrix.rows);  // [tokens, rows]
  std::vector<AlignedBuffer> scratch;
  scratch.reserve(threads);
  for (unsigned i = 0; i < threads; ++i) scratch.emplace_back(kernels::multiply_scratch_bytes(columns));
  ThreadTeam team(threads, std::chrono::microseconds{200});
  std::vector<double> samples;
  const Clock::time_point began = Clock::now();
  while (samples.size() < 3 || seconds_since(began) < seconds) {
    const Clock::time_point start = Clock::now();
    team.run([&](unsigned member) {
      const InferenceFloatEnvironment of_thread;
      const Range groups = member_range(matrix.groups(), member, threads);
      table->multiply(matrix, input.view(columns, matrix.activation_format()), tokens, groups.begin, groups.end,
                      out.data(), matrix.rows, scratch[member].as<std::byte>());
    });
    samples.push_back(seconds_since(start));
  }
  return samples;
}

}  // namespace

void register_multiply_timing(py::module_& m) {
  m.def(
      "time_multiply",
      [](const std::string& table, const std::string& type_name, const std::string& weights, std::size_t columns,
         std::size_t tokens, unsigned threads, double seconds) {
        return time_multiply(table, tensor_type(type_name), weights, columns, tokens, threads, seconds);
      },
      py::arg("table"), py::arg("type"), py::arg("weights"), py::arg("columns"), py::arg("tokens"), py::arg("threads"),
      py::arg("seconds"));
}

}  // namespace engine::bindings
