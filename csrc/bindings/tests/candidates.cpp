#include "kernels/candidates.h"

#include <pybind11/numpy.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "base/float_environment.h"
#include "bindings/arguments.h"
#include "bindings/register.h"
#include "runtime/sampling/sampler.h"

// What samplers do with the logits of a whole vocabulary, kernel by kernel.
namespace engine::bindings::tests {
namespace {

namespace py = pybind11;
using Floats = py::array_t<float, py::array::c_style | py::array::forcecast>;
using Integers = py::array_t<std::int32_t, py::array::c_style | py::array::forcecast>;

std::size_t count_of(const py::array& array) { return static_cast<std::size_t>(array.size()); }

const kernels::CandidateKernels& kernels_of(const std::string& table) { return *usable_kernel_table(table).candidates; }

// (largest, block maxima, sum of weights, the same and each of them, sum of distances)
py::tuple weigh(const std::string& table, const Floats& logits) {
  const std::size_t n = count_of(logits);
  require(n > 0, "no logits");
  const InferenceFloatEnvironment environment;
  const kernels::CandidateKernels& k = kernels_of(table);
  const kernels::Extremes extremes = k.extremes(logits.data(), n);
  Floats maxima(static_cast<py::ssize_t>((n + kernels::kMaximaBlock - 1) / kernels::kMaximaBlock));
  k.block_maxima(logits.data(), n, maxima.mutable_data());
  py::array_t<std::uint64_t> weights(logits.size());
  const float largest = extremes.largest;
  const std::uint64_t sum = k.weigh(logits.data(), n, largest, weights.mutable_data());
  return py::make_tuple(extremes.least, largest, maxima, k.sum_weights(logits.data(), n, largest), sum, weights,
                        k.sum_distances(logits.data(), n, largest));
}

Floats typicality(const std::string& table, const Floats& logits, float largest, float mean) {
  Floats out(logits.size());
  const InferenceFloatEnvironment environment;
  kernels_of(table).typicality(logits.data(), count_of(logits), largest, mean, out.mutable_data());
  return out;
}

Floats scale(const std::string& table, const Floats& logits, float largest, float temperature) {
  Floats out(logits.size());
  const InferenceFloatEnvironment environment;
  kernels_of(table).scale(logits.data(), count_of(logits), largest, temperature, out.mutable_data());
  return out;
}

py::array_t<std::uint16_t> bucket(const std::string& table, const Floats& keys, float high, float factor) {
  py::array_t<std::uint16_t> out(keys.size());
  const InferenceFloatEnvironment environment;
  kernels_of(table).bucket(keys.data(), count_of(keys), high, factor, out.mutable_data());
  return out;
}

// (logits, tokens) of those kept from `begin` on.
py::tuple keep(const std::string& table, const Floats& keys, const Floats& logits, const Integers& tokens,
               std::size_t begin, float low, float high, bool above, bool in_place) {
  const std::size_t n = count_of(keys);
  require(count_of(logits) == n && begin <= n && (tokens.size() == 0 || count_of(tokens) == n), "sizes differ");
  std::vector<float> values(logits.data(), logits.data() + n);
  std::vector<std::int32_t> ids(n);
  if (tokens.size() > 0) ids.assign(tokens.data(), tokens.data() + n);
  const std::int32_t* own = tokens.size() == 0 ? nullptr : in_place ? ids.data() : tokens.data();
  const kernels::CandidateRange range{keys.data(), in_place ? values.data() : logits.data(), own, begin, n};
  const InferenceFloatEnvironment environment;
  const std::size_t kept = kernels_of(table).keep(range, {low, high, above}, values.data(), ids.data());
  values.resize(kept);
  ids.resize(kept);
  return py::make_tuple(values, ids);
}

// Seconds of each of some draws, at successive positions.
std::vector<double> time_draws(const std::string& table, const runtime::SamplingOptions& options, const Floats& logits,
                               const std::vector<std::int32_t>& history, std::size_t draws) {
  runtime::check(options, count_of(logits));
  const InferenceFloatEnvironment environment;
  runtime::Sampler sampler(usable_kernel_table(table));
  runtime::Mirostat mirostat(options);
  std::vector<double> seconds;
  for (std::size_t i = 0; i < draws; ++i) {
    const auto begin = std::chrono::steady_clock::now();
    sampler.sample({logits.data(), count_of(logits)}, {}, history, i, options, mirostat);
    seconds.push_back(std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
  }
  return seconds;
}

}  // namespace

void register_candidates(py::module_& m) {
  m.def("weigh", &weigh, py::arg("table"), py::arg("logits"));
  m.def("typicality", &typicality, py::arg("table"), py::arg("logits"), py::arg("largest"), py::arg("mean"));
  m.def("scale", &scale, py::arg("table"), py::arg("logits"), py::arg("largest"), py::arg("temperature"));
  m.def("bucket", &bucket, py::arg("table"), py::arg("keys"), py::arg("high"), py::arg("factor"));
  m.def("keep", &keep, py::arg("table"), py::arg("keys"), py::arg("logits"), py::arg("tokens"), py::arg("begin"),
        py::arg("low"), py::arg("high"), py::arg("above"), py::arg("in_place"));
  m.def("time_draws", &time_draws, py::arg("table"), py::arg("options"), py::arg("logits"), py::arg("history"),
        py::arg("draws"));
}

}  // namespace engine::bindings::tests
