#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <tuple>
#include <vector>

#include "base/digest.h"
#include "base/float_environment.h"
#include "base/thread_team.h"
#include "base/trial.h"
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "kernels/gemm/panel.h"
#include "kernels/gemm/panel_row.h"
#include "model/forward/activation_buffer.h"

namespace engine::bindings::tests {
namespace {

namespace py = pybind11;
using Clock = std::chrono::steady_clock;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;

std::size_t size_of(const py::array& array) { return static_cast<std::size_t>(array.size()); }

// Packs the rows of a file.
AlignedBuffer packed_panel(kernels::Matrix& matrix) {
  AlignedBuffer packed(kernels::panel_bytes(matrix));
  matrix.packed = packed.bytes();
  kernels::pack_panels(matrix, 0, matrix.groups());
  return packed;
}

// weights: rows as in a file; the same bytes, out of a panel that they were packed into.
py::bytes through_panel(const std::string& type, const std::string& weights, std::size_t columns) {
  kernels::Matrix matrix = matrix_of(type, weights, columns);
  const AlignedBuffer packed = packed_panel(matrix);
  std::string out(weights.size(), '\0');
  auto* row = reinterpret_cast<std::byte*>(out.data());
  for (std::size_t r = 0; r < matrix.rows; ++r) kernels::unpack_panel_row(matrix, r, row + r * matrix.row_bytes());
  return out;
}

// The same rows as floats, [rows, columns].
Floats panel_floats(const std::string& type, const std::string& weights, std::size_t columns) {
  kernels::Matrix matrix = matrix_of(type, weights, columns);
  const AlignedBuffer packed = packed_panel(matrix);
  AlignedBuffer scratch(matrix.row_bytes());
  Floats out({static_cast<py::ssize_t>(matrix.rows), static_cast<py::ssize_t>(columns)});
  for (std::size_t r = 0; r < matrix.rows; ++r) {
    kernels::dequantize_panel_row(matrix, r, scratch.bytes().data(), out.mutable_data() + r * columns);
  }
  return out;
}

// (sums, maximum, denominator) of a total that a split was added to; both are given as such, sums [head_dim].
py::tuple merge_split(const std::string& table_name, const std::tuple<Floats, float, float>& split,
                      const std::tuple<Floats, float, float>& total) {
  const auto& [split_sums, split_maximum, split_denominator] = split;
  const auto& [total_sums, total_maximum, total_denominator] = total;
  require(split_sums.size() == total_sums.size(), "split and total differ in size");
  Floats out(std::vector<py::ssize_t>{total_sums.size()}, total_sums.data());
  kernels::SoftmaxState state{total_maximum, total_denominator};
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name)
      .merge_split({split_maximum, split_denominator}, split_sums.data(), size_of(out), state, out.mutable_data());
  return py::make_tuple(out, state.maximum, state.denominator);
}

std::int32_t largest_key(const std::string& table, const Floats& values) {
  require(values.size() > 0, "no values");
  const InferenceFloatEnvironment environment;
  return usable_kernel_table(table).largest_key(values.data(), size_of(values));
}

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
std::vector<double> time_multiply(const std::string& table_name, const std::string& type, const std::string& weights,
                                  std::size_t columns, std::size_t tokens, unsigned threads, double seconds) {
  const kernels::KernelTable& table = usable_kernel_table(table_name);
  kernels::Matrix matrix = matrix_of(type, weights, columns);
  require(tokens > 0 && threads > 0, "there are no tokens or threads");
  const InferenceFloatEnvironment environment;
  AlignedBuffer packed(table.packed_bytes(matrix));
  matrix.packed = packed.bytes();
  table.pack(matrix, 0, matrix.groups());
  model::ActivationBuffer input(tokens, columns, table);
  fill(input, tokens, matrix, table);
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
      table.multiply(matrix, input.view(columns, matrix.activation_format()), tokens, groups.begin, groups.end,
                     out.data(), matrix.rows, scratch[member].as<std::byte>());
    });
    samples.push_back(seconds_since(start));
  }
  return samples;
}

}  // namespace

void register_kernels(py::module_& m) {
  m.def("through_panel", &through_panel, py::arg("type"), py::arg("weights"), py::arg("columns"));
  m.def("panel_floats", &panel_floats, py::arg("type"), py::arg("weights"), py::arg("columns"));
  m.def("merge_split", &merge_split, py::arg("table"), py::arg("split"), py::arg("total"));
  m.def(
      "digest", [](const Floats& values) { return digest_of(values.data(), size_of(values)).hexadecimal(); },
      py::arg("values"));
  m.def(
      "processor_runs",
      [](bool refused) {
        return refused ? processor_runs([]() -> std::uint64_t { __builtin_trap(); })
                       : processor_runs([]() -> std::uint64_t { return 0; });
      },
      py::arg("refused"));
  m.def("largest_key", &largest_key, py::arg("table"), py::arg("values"));
  m.def("time_multiply", &time_multiply, py::arg("table"), py::arg("type"), py::arg("weights"), py::arg("columns"),
        py::arg("tokens"), py::arg("threads"), py::arg("seconds"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace engine::bindings::tests
