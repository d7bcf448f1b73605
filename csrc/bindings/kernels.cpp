#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <algorithm>
#include <limits>
#include <vector>

#include "base/float_environment.h"
#include "base/logarithm.h"
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "model/forward/activation_buffer.h"
#include "model/kv_cache.h"

// Single kernels on arrays: what the digest of the arithmetic is made of.
namespace engine::bindings {
namespace {

namespace py = pybind11;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Halves = py::array_t<std::uint16_t, py::array::c_style | py::array::forcecast>;

std::size_t size_of(const py::array& array) { return static_cast<std::size_t>(array.size()); }

// weights: the rows' bytes as in a file, x: [tokens, columns]; returns [tokens, rows].
Floats multiply(const std::string& table_name, const std::string& type_name, const py::bytes& weights, std::size_t rows,
                const Floats& x) {
  const kernels::KernelTable& table = usable_kernel_table(table_name);
  require(x.ndim() == 2 && x.size() > 0, "x is not [tokens, columns]");
  const auto tokens = static_cast<std::size_t>(x.shape(0));
  kernels::Matrix matrix = matrix_of(type_name, weights, static_cast<std::size_t>(x.shape(1)));
  require(matrix.rows == rows, "weights of another size");
  AlignedBuffer packed(table.packed_bytes(matrix));
  matrix.packed = packed.bytes();
  table.pack(matrix, 0, matrix.groups());
  model::ActivationBuffer input(tokens, matrix.columns, table);
  AlignedBuffer scratch(kernels::multiply_scratch_bytes(matrix.columns));
  Floats out({tokens, rows});
  const InferenceFloatEnvironment environment;
  for (std::size_t t = 0; t < tokens; ++t) {
    input.set(t, matrix.columns, x.data(static_cast<py::ssize_t>(t)), matrix.activation_format(), table);
  }
  table.multiply(matrix, input.view(matrix.columns, matrix.activation_format()), tokens, 0, matrix.groups(),
                 out.mutable_data(), rows, scratch.as<std::byte>());
  return out;
}

Floats rms_norm(const std::string& table_name, const Floats& x, const Floats& weight, float epsilon) {
  require(x.size() > 0 && weight.size() == x.size(), "x and weight differ in size, or are empty");
  Floats out(x.size());
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name)
      .rms_norm(x.data(), weight.data(), epsilon, static_cast<std::size_t>(x.size()), out.mutable_data());
  return out;
}

Floats layer_norm(const std::string& table_name, const Floats& x, const Floats& weight, const Floats& bias,
                  float epsilon) {
  require(x.size() > 0 && weight.size() == x.size(), "x and weight differ in size, or are empty");
  require(bias.size() == x.size() || bias.size() == 0, "bias is of another size");
  Floats out(x.size());
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name)
      .layer_norm(x.data(), weight.data(), bias.size() == 0 ? nullptr : bias.data(), epsilon, size_of(x),
                  out.mutable_data());
  return out;
}

// (codes, multipliers, scales, sums) of one row, per 32 or per 256 values; sums by how many codes they are of.
py::tuple quantize(const std::string& table_name, const Floats& x, std::size_t block) {
  const bool super = block == 256;
  const auto n = static_cast<std::size_t>(x.size());
  require((block == 32 || block == 256) && n % block == 0, "block is not 32 or 256, or does not divide x");
  py::array_t<std::int8_t> codes(static_cast<py::ssize_t>(n));
  std::vector<std::int32_t> shifts(n / (super ? kernels::kSuperBlockPart : kernels::kBlockPart));
  std::vector<float> scales(n / block);
  std::vector<float> scaled_sums(n / block);
  std::vector<std::int32_t> block_sums(n / 32);
  std::vector<std::int16_t> half_sums(n / 16);
  std::vector<std::int16_t> part_sums(n / 32);
  const kernels::QuantizedRow row{codes.mutable_data(), shifts.data(),    scales.data(),   block_sums.data(),
                                  scaled_sums.data(),   half_sums.data(), part_sums.data()};
  const kernels::KernelTable& table = usable_kernel_table(table_name);
  const InferenceFloatEnvironment environment;
  (super ? table.quantize_super_blocks : table.quantize_blocks)(x.data(), n, row);
  for (std::int32_t& shift : shifts) shift = 1 << shift;
  py::dict sums;  // the key: how many values were summed
  sums[py::int_(32)] = super ? py::cast(part_sums) : py::cast(block_sums);
  if (super) sums[py::int_(16)] = half_sums;
  return py::make_tuple(codes, shifts, scales, sums);
}

Floats rotate(const std::string& table_name, const Floats& heads, std::size_t head_dim, const Floats& cosines,
              const Floats& sines, bool halves) {
  Floats out(std::vector<py::ssize_t>{heads.size()}, heads.data());
  const std::size_t dimensions = size_of(cosines) * 2;
  require(head_dim > 0 && size_of(heads) % head_dim == 0, "heads are not whole");
  require(cosines.size() == sines.size() && dimensions <= head_dim, "cosines and sines do not fit the heads");
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name)
      .rotate(out.mutable_data(), static_cast<std::size_t>(heads.size()) / head_dim, head_dim, dimensions,
              cosines.data(), sines.data(), halves ? kernels::RopeLayout::Halves : kernels::RopeLayout::Adjacent);
  return out;
}

Halves half_from_float(const std::string& table_name, const Floats& x) {
  Halves out(x.size());
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name).half_from_float(x.data(), static_cast<std::size_t>(x.size()), out.mutable_data());
  return out;
}

template <auto kKernel>
Floats multiply_gate(const std::string& table_name, const Floats& gate, const Floats& up) {
  require(gate.size() == up.size(), "gate and up differ in size");
  Floats out(std::vector<py::ssize_t>{gate.size()}, gate.data());
  const InferenceFloatEnvironment environment;
  (usable_kernel_table(table_name).*kKernel)(out.mutable_data(), up.data(), size_of(gate));
  return out;
}

// A function of single numbers.
template <auto kKernel>
Floats map(const std::string& table_name, const Floats& x) {
  Floats out(std::vector<py::ssize_t>{x.size()}, x.data());
  const InferenceFloatEnvironment environment;
  (usable_kernel_table(table_name).*kKernel)(out.mutable_data(), size_of(x));
  return out;
}

Floats soft_cap(const std::string& table_name, const Floats& x, float cap) {
  require(cap > 0.0F, "cap is not positive");
  Floats out(std::vector<py::ssize_t>{x.size()}, x.data());
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name).soft_cap(out.mutable_data(), size_of(x), cap);
  return out;
}

Floats softmax(const std::string& table_name, const Floats& x) {
  require(x.size() > 0, "x is empty");
  Floats out(std::vector<py::ssize_t>{x.size()}, x.data());
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name).softmax(out.mutable_data(), size_of(x));
  return out;
}

// (codes, scales as f16) of keys or values.
py::tuple quantize_kv(const std::string& table_name, const Floats& x) {
  const std::size_t n = size_of(x);
  require(n % kernels::kKvScaleChannels == 0, "x is not whole blocks of 32");
  py::array_t<std::int8_t> codes(static_cast<py::ssize_t>(n));
  Halves scales(static_cast<py::ssize_t>(n / kernels::kKvScaleChannels));
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name).quantize_kv(x.data(), n, codes.mutable_data(), scales.mutable_data());
  return py::make_tuple(codes, scales);
}

// Queries [n, head_dim] over keys and values [64, head_dim], stored as one block of a cache; from an empty state and
// merged into an empty total. Returns (sums [n, head_dim], maxima, denominators).
py::tuple attend(const std::string& table_name, const std::string& kv_cache, const Floats& queries, const Floats& keys,
                 const Floats& values, const std::vector<std::size_t>& visible, float scale, float soft_cap,
                 std::vector<std::size_t> hidden) {
  const kernels::KernelTable& table = usable_kernel_table(table_name);
  require(queries.ndim() == 2, "queries are not [n, head_dim]");
  const auto n = static_cast<std::size_t>(queries.shape(0));
  const auto head_dim = static_cast<std::size_t>(queries.shape(1));
  require(visible.size() == n && std::ranges::is_sorted(visible), "visible is not one number a query, ascending");
  require(n == 0 || (visible.front() >= 1 && visible.back() <= kernels::kKeyBlock), "visible is not between 1 and 64");
  if (hidden.empty()) hidden.assign(n, 0);
  require(hidden.size() == n && std::ranges::is_sorted(hidden), "hidden is not one number a query, ascending");
  require(std::ranges::equal(hidden, visible, std::ranges::less()), "hidden is not below visible");
  require(size_of(keys) == kernels::kKeyBlock * head_dim && keys.size() == values.size(),
          "keys and values are not one block of heads this wide");
  model::HyperParameters shape;
  shape.layers = shape.heads = shape.kv_heads = 1;
  shape.head_dim = head_dim;
  shape.layer_shapes.resize(1);
  model::KvCache cache(shape, kv_type(kv_cache), kernels::kKeyBlock);
  cache.reserve(kernels::kKeyBlock);
  model::ActivationBuffer codes(n, head_dim);
  constexpr kernels::SoftmaxState kEmpty{-std::numeric_limits<float>::infinity(), 0.0F};
  std::vector<kernels::SoftmaxState> states(n, kEmpty);
  std::vector<kernels::SoftmaxState> totals(n, kEmpty);
  std::vector<float> sums(n * head_dim, 0.0F);
  Floats out({n, head_dim});
  std::fill_n(out.mutable_data(), n * head_dim, 0.0F);
  const InferenceFloatEnvironment environment;
  for (std::size_t j = 0; j < kernels::kKeyBlock; ++j) {
    cache.store_key(table, 0, 0, j, keys.data() + j * head_dim);
    cache.store_value(table, 0, 0, j, values.data() + j * head_dim);
  }
  std::vector<const float*> query_pointers;
  for (std::size_t i = 0; i < n; ++i) {
    query_pointers.push_back(queries.data() + i * head_dim);
    if (cache.type() == kernels::KvType::Q8_0) {
      codes.set(i, head_dim, query_pointers[i], kernels::ActivationFormat::Q8Block, table);
    }
  }
  const kernels::AttentionBlock block{.head_dim = head_dim,
                                      .scale = scale,
                                      .soft_cap = soft_cap,
                                      .keys = cache.keys(0, 0, 0),
                                      .values = cache.values(0, 0, 0),
                                      .next_keys = cache.keys(0, 0, 0),
                                      .first = 0,
                                      .queries = n,
                                      .query = query_pointers.data(),
                                      .codes = codes.view(head_dim, kernels::ActivationFormat::Q8Block),
                                      .hidden = hidden.data(),
                                      .visible = visible.data(),
                                      .state = states.data(),
                                      .output = sums.data()};
  (cache.type() == kernels::KvType::F16 ? table.attend_f16 : table.attend_q8_0)(block);
  std::vector<float> maxima;
  std::vector<float> denominators;
  for (std::size_t i = 0; i < n; ++i) {
    table.merge_split(states[i], sums.data() + i * head_dim, head_dim, totals[i], out.mutable_data() + i * head_dim);
    maxima.push_back(totals[i].maximum);
    denominators.push_back(totals[i].denominator);
  }
  return py::make_tuple(out, maxima, denominators);
}

// rows and weights: [taps, n]; returns [n].
Floats convolve(const std::string& table_name, const Floats& rows, const Floats& weights) {
  require(rows.ndim() == 2 && rows.size() > 0 && weights.size() == rows.size(), "rows and weights are not [taps, n]");
  const auto taps = static_cast<std::size_t>(rows.shape(0));
  const auto n = static_cast<std::size_t>(rows.shape(1));
  std::vector<const float*> pointers;
  pointers.reserve(taps);
  for (std::size_t k = 0; k < taps; ++k) pointers.push_back(rows.data() + k * n);
  Floats out(static_cast<py::ssize_t>(n));
  const InferenceFloatEnvironment environment;
  usable_kernel_table(table_name).convolve(pointers.data(), weights.data(), taps, n, n, out.mutable_data());
  return out;
}

double sum_exponentials(const std::string& table_name, const Floats& logits, float maximum) {
  const InferenceFloatEnvironment environment;
  return usable_kernel_table(table_name).sum_exponentials(logits.data(), maximum, size_of(logits));
}

// (sum of weights, sum of weighted excesses).
py::tuple compare_logits(const std::string& table_name, const Floats& logits, const Floats& others, float maximum) {
  require(logits.size() == others.size(), "logits and others differ in size");
  const InferenceFloatEnvironment environment;
  const kernels::LogitComparison sums =
      usable_kernel_table(table_name).compare_logits(logits.data(), others.data(), maximum, size_of(logits));
  return py::make_tuple(sums.weights, sums.excesses);
}

}  // namespace

void register_kernels(py::module_& m) {
  py::module_ submodule = m.def_submodule("kernels");
  submodule.def("multiply", &multiply, py::arg("table"), py::arg("type"), py::arg("weights"), py::arg("rows"),
                py::arg("x"));
  submodule.def("rms_norm", &rms_norm, py::arg("table"), py::arg("x"), py::arg("weight"), py::arg("epsilon"));
  submodule.def("layer_norm", &layer_norm, py::arg("table"), py::arg("x"), py::arg("weight"), py::arg("bias"),
                py::arg("epsilon"));
  submodule.def("quantize", &quantize, py::arg("table"), py::arg("x"), py::arg("block"));
  submodule.def("rotate", &rotate, py::arg("table"), py::arg("heads"), py::arg("head_dim"), py::arg("cosines"),
                py::arg("sines"), py::arg("halves"));
  submodule.def("half_from_float", &half_from_float, py::arg("table"), py::arg("x"));
  submodule.def("silu_multiply", &multiply_gate<&kernels::KernelTable::silu_multiply>, py::arg("table"),
                py::arg("gate"), py::arg("up"));
  submodule.def("gelu_multiply", &multiply_gate<&kernels::KernelTable::gelu_multiply>, py::arg("table"),
                py::arg("gate"), py::arg("up"));
  submodule.def("clamped_silu_multiply", &multiply_gate<&kernels::KernelTable::clamped_silu_multiply>, py::arg("table"),
                py::arg("gate"), py::arg("up"));
  submodule.def("gelu", &map<&kernels::KernelTable::gelu>, py::arg("table"), py::arg("x"));
  submodule.def("squared_relu", &map<&kernels::KernelTable::squared_relu>, py::arg("table"), py::arg("x"));
  submodule.def("sigmoid", &map<&kernels::KernelTable::sigmoid>, py::arg("table"), py::arg("x"));
  submodule.def("soft_cap", &soft_cap, py::arg("table"), py::arg("x"), py::arg("cap"));
  submodule.def("softmax", &softmax, py::arg("table"), py::arg("x"));
  submodule.def("quantize_kv", &quantize_kv, py::arg("table"), py::arg("x"));
  submodule.def("attend", &attend, py::arg("table"), py::arg("kv_cache"), py::arg("queries"), py::arg("keys"),
                py::arg("values"), py::arg("visible"), py::arg("scale"), py::arg("soft_cap") = 0.0F,
                py::arg("hidden") = std::vector<std::size_t>{});
  submodule.def("convolve", &convolve, py::arg("table"), py::arg("rows"), py::arg("weights"));
  submodule.def("sum_exponentials", &sum_exponentials, py::arg("table"), py::arg("logits"), py::arg("maximum"));
  submodule.def("compare_logits", &compare_logits, py::arg("table"), py::arg("logits"), py::arg("others"),
                py::arg("maximum"));
  submodule.def("natural_logarithm", &natural_logarithm, py::arg("x"));
  register_row_quantizers(submodule);
}

}  // namespace engine::bindings
